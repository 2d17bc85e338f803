"""Drives the hub: ends the windows, and writes batches in slices so that nothing else waits."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from core.runtime.ports import Clock, MonotonicClock
from gateway.hub import Hub
from gateway.metrics import GatewayMetrics
from gateway.routes import Batches
from gateway.wire import PLAIN, Client, Wire

_SLICE: Final = 512  # writes before the loop sees to pings and HTTP; about 1 to 2 ms
_SECOND_NS: Final = 1_000_000_000
_EARLY_NS: Final = 1_000_000  # a timer may fire up to this much before its time


class Fanout:
    """The hub's clock and its way to the sockets; one timer in all, none per client.

    The queue of writes holds at most what one window made for each client: a window that ends
    while the last one is still being written joins the queue behind it.
    """

    def __init__(
        self, *, hub: Hub, metrics: GatewayMetrics, now_ns: Clock, monotonic_ns: MonotonicClock
    ) -> None:
        self.hub = hub
        self.wire: Wire = PLAIN  # takes what windows make to the clients
        self.on_written: Callable[[], None] = _nothing  # called when all that was due is written
        self._metrics = metrics
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns
        self._queue: deque[Batches] = deque()
        self._batches = self._messages = 0  # handed over, and not counted yet
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None  # for the next end of a window
        self._timer_ns = 0
        self._oldest_sealed_ns: int | None = None
        self._failure: Exception | None = None
        self._failed = asyncio.Event()

    async def watch(self) -> None:
        """Wait for ever; but raise what goes wrong in the loop's callbacks, which nobody awaits."""
        await self._failed.wait()
        assert self._failure is not None  # it is set first
        raise self._failure

    @property
    def idle(self) -> bool:
        """Is everything that was published written?"""
        return not (self._queue or self.hub.pending)

    def published(self, oldest_sealed_ns: int | None = None) -> None:
        """Messages were published to the hub; serve who need not wait, end the window in time."""
        if not self.hub.pending:
            if not self._queue:
                self._written()
            return
        if oldest_sealed_ns is not None and self._oldest_sealed_ns is None:
            self._oldest_sealed_ns = oldest_sealed_ns
        self._step(self._monotonic_ns())

    def settle(self, client: Client) -> None:
        """Write what is queued for *client* at once, so that what the caller writes comes after."""
        if client.group is not None:
            for batches in self._queue:
                batches.settle(client)

    def bring_up_to_date(self, client: Client) -> None:
        """Send *client* what is pending for it, and a cursor behind that."""
        self.settle(client)
        for send in self.hub.catch_up(client, self._monotonic_ns()):
            send.write((client,))

    def finish(self) -> None:
        """End all windows early and write everything."""
        self._enqueue(self.hub.flush(self._monotonic_ns()))
        while self._queue:
            self._serve(_SLICE)

    def _step(self, now_ns: int) -> None:
        self._enqueue(self.hub.step(now_ns, may_lead=not self._queue))
        due_ns = self.hub.due_ns
        if due_ns is not None and (self._timer is None or due_ns < self._timer_ns):
            self._schedule(due_ns, now_ns)

    def _schedule(self, due_ns: int, now_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0, due_ns - now_ns) / _SECOND_NS
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._guard, self._end_windows)
        self._timer_ns = due_ns

    def _guard(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as exc:  # noqa: BLE001 - else nobody would be served, in silence
            self._failure = exc
            self._failed.set()

    def _end_windows(self) -> None:
        self._timer = None
        now_ns = self._monotonic_ns()
        if now_ns < self._timer_ns < now_ns + _EARLY_NS:
            now_ns = self._timer_ns
        self._step(now_ns)

    def _enqueue(self, made: Iterable[Batches]) -> None:
        self._queue.extend(made)
        if not self._pumping:
            self._pump()

    def _pump(self) -> None:
        left = _SLICE
        while left > 0 and self._queue:
            left -= self._serve(left)
        self._pumping = bool(self._queue)
        if self._pumping:
            self._count()
            asyncio.get_running_loop().call_soon(self._guard, self._pump)
        elif not self.hub.pending:
            self._written()

    def _serve(self, most: int) -> int:
        """Serve at most about *most* clients of the first in the queue; the share of a slice."""
        first = self._queue[0]
        served = first.serve(most, self.wire)
        self._batches += served.batches
        self._messages += served.messages
        if first.done:
            self._queue.popleft()
        return served.batches or 1

    def _written(self) -> None:
        self._count()
        if self._oldest_sealed_ns is not None:
            age_ns = self._now_ns() - self._oldest_sealed_ns
            self._metrics.tick_age_seconds.observe(max(0, age_ns) / _SECOND_NS)
            self._oldest_sealed_ns = None
        self.on_written()

    def _count(self) -> None:
        self._metrics.batches.inc(self._batches)
        self._metrics.deliveries.inc(self._messages)
        self._batches = self._messages = 0


def _nothing() -> None:
    pass
