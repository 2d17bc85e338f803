"""Processor time, memory and socket queues of the measured processes, read from /proc (Linux)."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.bench.fanout import accounting
from tests.bench.processes import descendants

_ESTABLISHED = "01"


@dataclass(frozen=True)
class Spent:
    """What was used over a stretch, in cores; ``others``: of the first core, by anybody else."""

    seconds: float
    user: float
    system: float
    others: float

    @property
    def cores(self) -> float:
        return self.user + self.system


@dataclass(frozen=True)
class Used:
    """Counters of a process with its descendants, and of the core that it should have alone."""

    at_s: float
    reading: accounting.Reading
    core: accounting.CoreReading
    rss_bytes: int

    @classmethod
    def by(cls, root: int, core: int) -> Self:
        """Read them now."""
        pids = descendants(root)
        return cls(
            at_s=time.monotonic(),
            reading=accounting.read(pids),
            core=accounting.read_core(core),
            rss_bytes=accounting.resident_bytes(pids),
        )

    def since(self, before: "Used") -> Spent:
        """What was used from *before* to now."""
        seconds = self.at_s - before.at_s
        cpu = before.reading.until(self.reading)
        busy_s = self.core.busy_s - before.core.busy_s + self.core.steal_s - before.core.steal_s
        return Spent(
            seconds=seconds,
            user=cpu.user_s / seconds,
            system=cpu.system_s / seconds,
            others=max(0.0, (busy_s - cpu.total_s) / seconds),
        )


def send_queues(port: int) -> dict[int, int]:
    """Bytes that the kernel holds for each peer of *port*, by the peer's port."""
    return parse_queues(Path("/proc/net/tcp").read_text().splitlines()[1:], port)


def parse_queues(lines: Iterable[str], port: int) -> dict[int, int]:
    """As :func:`send_queues`, from the lines of `/proc/net/tcp` below its head."""
    wanted, found = f":{port:04X}", {}
    for line in lines:
        _, local, remote, state, queues = line.split(maxsplit=5)[:5]
        if local.endswith(wanted) and state == _ESTABLISHED:
            found[int(remote.rpartition(":")[2], 16)] = int(queues.partition(":")[0], 16)
    return found


class Watch:
    """When each queue was last seen to change: from then on its client has taken nothing."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self.changed_ns: dict[int, int] = {}
        self.gone_ns: dict[int, int] = {}  # when a connection was first seen to be no more

    def look(self, queues: dict[int, int], now_ns: int) -> None:
        """Take in what was read at *now_ns*."""
        for peer, size in queues.items():
            if self._last.get(peer) != size:
                self._last[peer] = size
                self.changed_ns[peer] = now_ns
        for peer in self._last.keys() - queues.keys() - self.gone_ns.keys():
            self.gone_ns[peer] = now_ns
