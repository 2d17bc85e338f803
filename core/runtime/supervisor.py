"""Run the services of one process, drain them in order, and end for certain.

Source of the scheme: structured concurrency as in trio's nurseries; the ordered drain is that of a
pipeline: what feeds the others stops first.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext

from core.market.errors import TickgateError
from core.runtime.ports import Service

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ECHO_S = 0.2  # nobody presses Ctrl-C twice within it
STUCK_EXIT = 70  # EX_SOFTWARE: services neither drained nor could be cancelled


class ServiceExited(TickgateError):
    """A service returned although nobody asked it to drain: a bug in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)

    def __str__(self) -> str:
        return f"{self.name} returned before it was asked to drain"


class StopRequest:
    """Why and when the process stops: the first signal drains, the second ends it at once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._signalled_s = 0.0

    def set(self) -> None:
        """Ask for an orderly end, as the first signal does."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    @property
    def by_signal(self) -> bool:
        """Did a signal ask for it?"""
        return bool(self._signalled_s)

    async def wait(self) -> None:
        await self._event.wait()

    def on_signal(self, signum: signal.Signals) -> None:
        """First call: drain. Second: die of *signum*, as a program without a handler would.

        One signal to a process and to its group arrives twice: what follows at once is an echo.
        """
        now_s = asyncio.get_running_loop().time()
        if not self._signalled_s:
            self._signalled_s = now_s
        self._event.set()
        if now_s - self._signalled_s < _ECHO_S:
            return
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)


@contextmanager
def stop_on_signals(
    stop: StopRequest, *, on_hangup: Callable[[StopRequest], None] | None = None
) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP go to *stop* within the block; SIGHUP to *on_hangup* if given.

    A SIGHUP that is ignored, as ``nohup`` has it, stays so: the program outlives its terminal.
    """
    loop = asyncio.get_running_loop()
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    for signum in STOP_SIGNALS:
        if signum != signal.SIGHUP or not outlives:
            loop.add_signal_handler(signum, stop.on_signal, signum)
    if on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, on_hangup, stop)
    try:
        yield
    finally:
        for signum in STOP_SIGNALS:
            loop.remove_signal_handler(signum)


async def supervise(
    *services: Service,
    drain_s: float,
    until: Collection[str] = (),
    stop: StopRequest | None = None,
    on_hangup: Callable[[StopRequest], None] | None = None,
) -> None:
    """Run *services*, listed sinks first, until a signal; then drain them, sources first.

    Each service has *drain_s* seconds to drain and is cancelled after. The first service to fail
    cancels the others and its error leaves as an ExceptionGroup: the process exits non-zero, and
    recovery is the same code path as a start. Should a service resist its cancellation, the process
    ends with exit code 70 rather than hang.

    Args:
        services: named uniquely.
        drain_s: seconds for each service.
        until: names of services that may return by themselves; once all of them have, the others
            are drained.
        stop: connected to the signals by the caller (:func:`stop_on_signals`); without one,
            signals are taken here.
        on_hangup: what SIGHUP does here instead of stopping; without *stop* only.

    Raises:
        ExceptionGroup: of the errors that services raised, :class:`ServiceExited` among them.
    """
    stop_given, stop = stop is not None, stop or StopRequest()
    last_resort = _LastResort(limit_s=drain_s * (len(services) + 1))
    unfinished = set(until)

    async def run(service: Service) -> None:
        try:
            await service.run()
        except BaseException:
            last_resort.arm()  # the others are being cancelled, or are about to be
            raise
        unfinished.discard(service.name)
        if not stop.is_set:
            if service.name not in until:
                raise ServiceExited(service.name)
            if not unfinished:
                stop.set()

    with nullcontext() if stop_given else stop_on_signals(stop, on_hangup=on_hangup):
        try:
            async with asyncio.TaskGroup() as group:
                running = [(s, group.create_task(run(s), name=s.name)) for s in services]
                await stop.wait()
                last_resort.arm()
                for service, task in reversed(running):
                    await _drain(service, task, drain_s)
        finally:
            last_resort.disarm()


async def _drain(service: Service, task: asyncio.Task[None], drain_s: float) -> None:
    if task.done():
        return
    service.begin_drain()
    _, late = await asyncio.wait({task}, timeout=drain_s)
    if late:
        log.warning("%s did not drain in %g s; cancelling it", service.name, drain_s)
        task.cancel()


class _LastResort:
    """Ends the process when a shutdown takes longer than all its parts together may."""

    def __init__(self, *, limit_s: float) -> None:
        self._limit_s = limit_s
        self._timer: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._limit_s, self._end)

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        names = sorted(task.get_name() for task in asyncio.all_tasks() if not task.done())
        log.error("still running %g s after the stop: %s; ending", self._limit_s, ", ".join(names))
        logging.shutdown()
        os._exit(STUCK_EXIT)
