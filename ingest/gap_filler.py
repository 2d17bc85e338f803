"""Gap filler: opens a feed's gaps, asks the venue's history for what is missing, closes them."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from core.market.notice import GapState, Notice
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.runtime.ports import MonotonicClock
from core.runtime.retry import full_jitter
from ingest.errors import HistoryError
from ingest.feed import FeedJournal, WarnLimiter
from ingest.gap_watch import GapWatch, Hole
from ingest.history import Want
from ingest.limits import IngestLimits
from ingest.rest import VenueRest

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.05  # between looks for gaps that are due
_LOOKS: Final = 3  # in vain, at a history that lacks trades: it may be a little behind


class GapOutlet(Protocol):
    """Where gaps and what fills them go; :class:`ingest.publisher.Publisher` in production."""

    def tell(self, notices: Sequence[Notice]) -> None:
        """Put *notices* behind everything that was put before."""
        ...

    async def fill(self, ticks: Sequence[Tick]) -> list[Tick]:
        """Take missing *ticks*; returns those that were too late."""
        ...


@dataclass(slots=True, kw_only=True)
class GapFiller:
    """Works on one feed's gaps, one after the other, each for at most ``limits.gap_fill_s``.

    What waits is bounded by the watch: so many gaps per symbol. Without ``rest`` (nobody knows
    where the venue's history is) every gap is lost as soon as it is open.
    """

    watch: GapWatch
    outlet: GapOutlet
    journal: FeedJournal
    rest: VenueRest | None
    tickers: Mapping[Symbol, str]
    limits: IngestLimits
    monotonic_ns: MonotonicClock
    _open: deque[Hole] = field(init=False, default_factory=deque)
    _work: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _warnings: WarnLimiter = field(init=False, default_factory=WarnLimiter)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notice(), name=f"gaps {self.journal.feed}")
            group.create_task(self._fill(), name=f"gap filler {self.journal.feed}")

    async def _notice(self) -> None:
        while True:
            for hole in self.watch.due(now_ns=self.monotonic_ns()):
                self.journal.gaps_opened += 1
                self.journal.gap_trades += hole.trades
                self.outlet.tell([hole.notice(GapState.OPEN)])
                self._open.append(hole)
                self._work.set()
            await asyncio.sleep(_LOOK_S)

    async def _fill(self) -> None:
        while True:
            await self._work.wait()
            while self._open:
                hole = self._open.popleft()
                if not hole.is_closed:
                    await self._close(hole)
            self._work.clear()

    async def _close(self, hole: Hole) -> None:
        missing, reason = hole.trades, "they are older than max_lateness"
        try:
            await self._ask_for(hole)
        except HistoryError as exc:
            reason = str(exc)
        lost = sum(last - first + 1 for (first, last), _ in hole.lost())
        self.watch.close(hole)
        journal = self.journal
        journal.filled_trades += max(0, missing - lost)
        self.outlet.tell(hole.outcome())
        if not lost:
            journal.gaps_filled += 1
            log.info(
                "feed %s: gap of %s filled, trades %d to %d",
                journal.feed, hole.symbol, hole.first, hole.last,
            )  # fmt: skip
            return
        journal.gaps_lost += 1
        if self._warnings.allows(self.monotonic_ns()):
            log.warning(
                "feed %s: gap of %s lost, %d of trades %d to %d: %s%s", journal.feed,
                hole.symbol, lost, hole.first, hole.last, reason, self._warnings.more(),
            )  # fmt: skip

    async def _ask_for(self, hole: Hole) -> None:
        """Bring what is missing, as far as it may be let in.

        Raises:
            HistoryError: not all of it is to be had.
        """
        rest, limits = self.rest, self.limits
        ticker = self.tickers.get(hole.symbol)
        venue = self.journal.venue
        if rest is None or ticker is None:
            raise HistoryError(venue, "nobody knows where it is: set rest_url")
        if hole.trades > limits.gap_max_trades:
            raise HistoryError(venue, f"not asked for {hole.trades} trades")
        deadline_s = hole.opened_ns / 1e9 + limits.gap_fill_s

        def is_over(_: RetryCallState) -> bool:
            return self.monotonic_ns() / 1e9 >= deadline_s

        in_vain = 0
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(lambda exc: isinstance(exc, HistoryError) and exc.retryable),
            wait=full_jitter(
                first_s=limits.history_retry_first_s, cap_s=limits.history_retry_cap_s
            ),
            stop=is_over,
            reraise=True,
        ):
            with attempt:
                had, before = hole.trades, 0
                while hole.missing and hole.trades != before:  # it may give little at a time
                    before = hole.trades
                    await self._look(hole, ticker, rest, deadline_s)
                    if self.monotonic_ns() / 1e9 >= deadline_s:
                        break
                in_vain = in_vain + 1 if hole.trades == had else 0
                if hole.missing:
                    reason = f"{hole.trades} trades are not there"
                    raise HistoryError(rest.history.name, reason, retryable=in_vain < _LOOKS)

    async def _look(self, hole: Hole, ticker: str, rest: VenueRest, deadline_s: float) -> None:
        """Ask for every page of what is missing, once."""
        since_ns = hole.from_ns
        for first, last in list(hole.missing):
            want: Want | None = Want(ticker, first, last, since_ns)
            while want is not None:
                page = await rest.ask(want, deadline_s=deadline_s)
                for tick in await self.outlet.fill(page.ticks):
                    hole.refuse(tick)
                since_ns = max([since_ns, *(tick.event_ns for tick in page.ticks[-1:])])
                want = page.rest
