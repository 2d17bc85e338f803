"""The gate of a feed that could go faster than its readers: past trading at full speed."""

import asyncio
from typing import Final

from core.runtime.ports import MonotonicClock
from ingest.feed import FeedJournal, TickOutlet

_ASK_S: Final = 0.01  # between looks at the status board
_PATIENCE_S: Final = 1.0  # of waiting before the feed says that it waits


class ReaderGate:
    """Holds a source back while its slowest reader is more than so many ticks behind."""

    def __init__(self, in_flight_ticks: int, *, monotonic_ns: MonotonicClock) -> None:
        self._in_flight_ticks = in_flight_ticks
        self._monotonic_ns = monotonic_ns
        self._credit = 0  # ticks that may go out before the readers are looked at again

    async def pass_on(self, ticks: int, outlet: TickOutlet, journal: FeedJournal) -> None:
        """Wait until *ticks* more may go out; *journal* tells when that takes long."""
        waiting_since_ns = self._monotonic_ns()
        while self._credit <= 0:
            lag = await outlet.lag()
            self._credit = self._in_flight_ticks - lag if lag is not None else 0
            if self._credit > 0:
                break
            if self._monotonic_ns() - waiting_since_ns > _PATIENCE_S * 1e9:
                reason = "for an aggregator" if lag is None else "for the readers to catch up"
                journal.enter("waiting", reason)
            await asyncio.sleep(_ASK_S)
        if journal.state == "waiting":
            journal.enter("live")
        self._credit -= ticks
