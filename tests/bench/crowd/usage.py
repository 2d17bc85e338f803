"""Processor time, memory and socket queues of the measured processes, read from /proc (Linux)."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import usage_of_tree

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_ESTABLISHED = "01"


@dataclass(frozen=True)
class Used:
    """Of a process and its descendants together, since they began; bytes are resident ones."""

    user_s: float
    system_s: float
    rss_bytes: int
    processes: int

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


def used_by(root: int) -> Used:
    """Read it now."""
    usages = usage_of_tree(root)
    times = [_times_s(usage.pid) for usage in usages]
    return Used(
        user_s=sum(user for user, _ in times),
        system_s=sum(system for _, system in times),
        rss_bytes=sum(usage.rss_kib for usage in usages) * 1024,
        processes=len(usages),
    )


def _times_s(pid: int) -> tuple[float, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICKS_PER_S, int(fields[12]) / _TICKS_PER_S


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
