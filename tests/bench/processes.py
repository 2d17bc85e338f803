"""What the processes of a system take: memory and processor time, read from /proc (Linux)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_ROLES = ("gateway", "aggregate", "ingest", "dev", "migrate")


@dataclass(frozen=True)
class Usage:
    """One process at one moment; memory in KiB, processor time in seconds since it began."""

    pid: int
    name: str
    python: bool
    rss_kib: int
    pss_kib: int
    cpu_s: float


def usage_of_tree(root: int) -> list[Usage]:
    """*root* and all its descendants, as far as they are still there when they are read."""
    found = []
    for pid in descendants(root):
        try:
            found.append(_usage(pid))
        except (OSError, IndexError):
            continue  # it ended meanwhile
    return found


def slope_per_minute(times_s: Sequence[float], values: Sequence[float]) -> float:
    """Least-squares slope of *values* over *times_s*, per minute; needs two different times."""
    mean_t, mean_v = sum(times_s) / len(times_s), sum(values) / len(values)
    covariance = sum((t - mean_t) * (v - mean_v) for t, v in zip(times_s, values, strict=True))
    return 60 * covariance / sum((t - mean_t) ** 2 for t in times_s)


def descendants(root: int) -> list[int]:
    """*root* and the processes that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(_parent(entry), []).append(int(entry.name))
            except (OSError, IndexError):
                continue
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _parent(entry: Path) -> int:
    return int(_stat_fields(entry)[1])


def _stat_fields(entry: Path) -> list[str]:
    """The fields of ``stat`` from the state on: the name before may hold anything."""
    return (entry / "stat").read_text().rpartition(")")[2].split()


def _usage(pid: int) -> Usage:
    entry = Path("/proc", str(pid))
    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    fields = _stat_fields(entry)
    memory = {
        line.split(":")[0]: int(line.split()[1])
        for line in (entry / "smaps_rollup").read_text().splitlines()[1:]
    }
    binary = Path(os.readlink(entry / "exe")).name
    python = binary.startswith("python")
    role = next((word for word in words if word in _ROLES), "")
    return Usage(
        pid=pid,
        name=f"tickgate {role}".strip() if python and role else binary,
        python=python,
        rss_kib=memory["Rss"],
        pss_kib=memory["Pss"],
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
    )
