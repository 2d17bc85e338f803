"""What the parts of a role ask of each other: clocks and the shape of a service."""

from collections.abc import Callable
from typing import Protocol

Clock = Callable[[], int]  # UNIX ns; time.time_ns in production, a fake in tests
MonotonicClock = Callable[[], int]  # ns of an arbitrary origin; time.monotonic_ns in production


class Service(Protocol):
    """A long-running part of a role, run by :func:`core.runtime.supervisor.supervise`."""

    @property
    def name(self) -> str:
        """Names the task and the log lines; unique within a process."""
        ...

    async def run(self) -> None:
        """Work until drained; an error that leaves is a bug and ends the role."""
        ...

    def begin_drain(self) -> None:
        """Take no new work; run() returns once what was taken is done. Does not block."""
        ...
