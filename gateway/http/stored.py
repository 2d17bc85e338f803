"""Stored values that describe the present: newest bars and days, kept for moments."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from core.market.bar import Bar
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, SECOND_NS, Timeframe
from core.runtime.ports import MonotonicClock
from gateway.day_book import Days
from gateway.http.cache import SingleFlight
from gateway.http.days import REACH_DAYS
from gateway.http.metrics import HttpMetrics
from gateway.http.ports import History, Market

_FRESH_NS: Final = SECOND_NS
_MAX_KEYS: Final = 256  # different requests remembered, a few hundred KB each at the very most

Bars = Mapping[Symbol, Bar]
Parts = Mapping[Symbol, Sequence[Bar]]
V = TypeVar("V")
_Flight = SingleFlight[tuple[object, ...], V]


class StoredPresent:
    """Newest bars and days out of the database: one query per second and request, however many ask.

    Raises DatabaseUnavailable where a value is not held and the database is away.
    """

    def __init__(
        self,
        *,
        bars: History,
        market: Market,
        monotonic_ns: MonotonicClock,
        metrics: HttpMetrics,
    ) -> None:
        """A revision that *market* knows of makes what is held of that symbol old at once."""
        self._bars, self._market, self.monotonic_ns = bars, market, monotonic_ns

        def flight(cache: str, ttl_ns: int) -> SingleFlight[tuple[object, ...], V]:
            return SingleFlight(
                ttl_ns=ttl_ns,
                max_keys=_MAX_KEYS,
                monotonic_ns=monotonic_ns,
                on_lookup=metrics.lookups(cache),
            )

        self._latest: _Flight[Bars] = flight("latest", _FRESH_NS)
        self._newest: _Flight[Parts] = flight("newest", _FRESH_NS)
        # What was loaded is kept in the book of days; here callers only wait for one another.
        self._loads: SingleFlight[tuple[Symbol, ...], Mapping[Symbol, Days]] = SingleFlight(
            ttl_ns=0,
            max_keys=1,
            monotonic_ns=monotonic_ns,
            on_lookup=metrics.lookups("days"),
        )

    async def latest(self, symbols: Sequence[Symbol], timeframe: Timeframe) -> Bars:
        """The newest closed bars, at most a second old."""
        if not symbols:
            return {}
        key = (timeframe, *symbols, *self._revisions(symbols))
        return await self._latest.get(key, lambda: self._bars.latest(symbols, timeframe))

    async def newest(self, symbols: Sequence[Symbol], resolution: Resolution) -> Parts:
        """What is stored of each symbol's newest window of that length, at most a second old."""
        if not symbols:
            return {}
        key = (resolution, *symbols, *self._revisions(symbols))
        return await self._newest.get(key, lambda: self._bars.newest(symbols, resolution))

    async def days(self, symbols: Sequence[Symbol], day_ns: int) -> tuple[Bars, Bars]:
        """A day's roll-ups as they are stored this moment, and those of the day before.

        A stock does not trade every day: that is the newest day then on which it did, if any of
        the week before is.
        """
        today = await self._bars.day_bars(symbols, day_ns)
        before = dict(await self._bars.day_bars(symbols, day_ns - DAY_NS))
        for back in range(2, REACH_DAYS + 1):
            missing = [s for s in symbols if s not in before and self._market.is_stock(s)]
            if not missing:
                break
            before |= await self._bars.day_bars(missing, day_ns - back * DAY_NS)
        return today, before

    async def newest_minutes(self, symbols: Sequence[Symbol]) -> Bars:
        """The newest closed minutes as they are stored this moment."""
        return await self._bars.latest(symbols, Timeframe.MIN_1)

    async def load_days(
        self, symbols: Sequence[Symbol], load: Callable[[], Awaitable[Mapping[Symbol, Days]]]
    ) -> Mapping[Symbol, Days]:
        """What *load* gives; whoever asks for the same meanwhile waits for it, too."""
        return await self._loads.get(tuple(symbols), load)

    def _revisions(self, symbols: Sequence[Symbol]) -> tuple[int, ...]:
        return tuple(map(self._market.revisions, symbols))
