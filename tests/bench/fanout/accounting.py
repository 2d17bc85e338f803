"""Processor time and memory of processes, and of whole cores, read from /proc (Linux)."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import descendants

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds."""

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of processes at one moment: exact run time, and its two parts, in coarse ticks."""

    run_s: float
    user_s: float
    system_s: float

    def until(self, later: "Reading") -> Cpu:
        """What was used up to *later*: the exact sum, divided as the coarse counters say."""
        run_s = later.run_s - self.run_s
        user_s, system_s = later.user_s - self.user_s, later.system_s - self.system_s
        share = user_s / (user_s + system_s) if user_s + system_s > 0 else 0.0
        return Cpu(run_s * share, run_s * (1 - share))


@dataclass(frozen=True, slots=True)
class CoreReading:
    """Counters of one core, in seconds."""

    busy_s: float
    steal_s: float


def tree(roots: Iterable[int]) -> list[int]:
    """The processes *roots* and all their descendants."""
    return [pid for root in roots for pid in descendants(root)]


def read(pids: Iterable[int]) -> Reading:
    """What *pids* have used, all their threads together.

    Raises:
        OSError: one has ended.
    """
    run_ns = user = system = 0
    for pid in pids:
        entry = Path("/proc", str(pid))
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
        user, system = user + int(fields[11]), system + int(fields[12])
        for task in (entry / "task").iterdir():
            run_ns += int((task / "schedstat").read_text().split()[0])
    return Reading(run_ns / 1e9, user * _TICK_S, system * _TICK_S)


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory of *pids*; what they share counts for each."""
    return sum(int(Path("/proc", str(pid), "statm").read_text().split()[1]) * _PAGE for pid in pids)


def read_core(core: int) -> CoreReading:
    """How long *core* has worked, and how long another guest of the machine had it."""
    for line in Path("/proc/stat").read_text().splitlines():
        words = line.split()
        if words[0] == f"cpu{core}":
            user, nice, system, _, _, irq, softirq, steal = map(int, words[1:9])
            busy = user + nice + system + irq + softirq
            return CoreReading(busy * _TICK_S, steal * _TICK_S)
    raise ValueError(f"no core {core}")
