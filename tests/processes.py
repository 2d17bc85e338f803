"""Processes that tests start: which should be gone."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def gone(pid: int) -> bool:
    """Has *pid* ended? One that waits for its parent to collect it has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def working_in(folder: Path) -> dict[int, str]:
    """Pid and command of each process that runs in *folder*, or has it in arguments or settings."""
    needle = str(folder).encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and any(needle in text for text in _traces(entry)):
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:
                    found[int(entry.name)] = command
    return found


def _traces(entry: Path) -> Iterator[bytes]:
    for name in ("cmdline", "environ"):
        with suppress(OSError):
            yield (entry / name).read_bytes()
    with suppress(OSError):
        yield str((entry / "cwd").readlink()).encode()
