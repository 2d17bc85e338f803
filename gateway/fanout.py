"""Drives the hub: ends the windows, and writes batches in slices so that nothing else waits."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from core.runtime.ports import Clock, MonotonicClock
from gateway.hub import Hub, Send
from gateway.metrics import GatewayMetrics
from gateway.routes import Client

_SLICE: Final = 256  # writes before the loop sees to pings and HTTP; about 2 ms
_PREPARATIONS: Final = 5  # times in a window that messages are encoded ahead of its end
_EARLY_NS: Final = 1_000_000  # timers fire up to this much early: that boundary is past
_SECOND_NS: Final = 1_000_000_000


class Fanout:
    """The hub's clock and its way to the sockets; one timer in all, none per client.

    The queue of writes holds at most what one window made for each client: a window that ends
    while the last one is still being written joins the queue behind it.
    """

    def __init__(
        self,
        *,
        hub: Hub,
        interval_ns: int,
        metrics: GatewayMetrics,
        now_ns: Clock,
        monotonic_ns: MonotonicClock,
    ) -> None:
        self.hub = hub
        self.on_written: Callable[[], None] = _nothing  # called when all that was due is written
        self._interval_ns = interval_ns
        self._metrics = metrics
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns
        self._queue: deque[tuple[Client, bytes]] = deque()
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None  # set while the hub has something pending
        self._window_end_ns = self._prepare_ns = 0
        self._oldest_sealed_ns: int | None = None

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
        now_ns = self._monotonic_ns()
        if self._timer is None:
            delay_ns = self._interval_ns - now_ns % self._interval_ns
            if delay_ns < _EARLY_NS:
                delay_ns += self._interval_ns
            self._window_end_ns = now_ns + delay_ns
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay_ns / _SECOND_NS, self._end_window)
        elif now_ns >= self._window_end_ns:  # the timer is late, this is the boundary
            self._timer.cancel()
            self._end_window()
            return
        self._enqueue(self.hub.lead(now_ns))
        if now_ns >= self._prepare_ns:
            self.hub.prepare()
            self._prepare_ns = now_ns + self._interval_ns // _PREPARATIONS

    def settle(self) -> None:
        """Write what is queued at once, so that what the caller writes comes after it."""
        while self._queue:
            client, framed = self._queue.popleft()
            client.deliver(framed)

    def finish(self) -> None:
        """End the window early and write everything."""
        self._enqueue(self.hub.flush(self._monotonic_ns()))
        self.settle()

    def _end_window(self) -> None:
        self._timer = None
        self._enqueue(self.hub.flush(self._monotonic_ns()))

    def _enqueue(self, sends: Iterable[Send]) -> None:
        batches = messages = 0
        for send in sends:
            self._queue.extend((client, send.framed) for client in send.clients)
            batches += len(send.clients)
            messages += send.messages * len(send.clients)
        if batches:
            self._metrics.batches.inc(batches)
            self._metrics.deliveries.inc(messages)
        if not self._pumping:
            self._pump()

    def _pump(self) -> None:
        for _ in range(min(_SLICE, len(self._queue))):
            client, framed = self._queue.popleft()
            client.deliver(framed)
        self._pumping = bool(self._queue)
        if self._pumping:
            asyncio.get_running_loop().call_soon(self._pump)
        elif not self.hub.pending:
            self._written()

    def _written(self) -> None:
        if self._oldest_sealed_ns is not None:
            age_ns = self._now_ns() - self._oldest_sealed_ns
            self._metrics.tick_age_seconds.observe(max(0, age_ns) / _SECOND_NS)
            self._oldest_sealed_ns = None
        self.on_written()


def _nothing() -> None:
    pass
