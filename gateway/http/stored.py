"""Stored values that describe the present: newest bars and days, kept for moments."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from core.market.bar import Bar
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, SECOND_NS, Timeframe
from core.runtime.ports import MonotonicClock
from gateway.http.cache import SingleFlight
from gateway.http.metrics import HttpMetrics
from gateway.http.ports import History, Market

_FRESH_NS: Final = SECOND_NS
_OVER_NS: Final = 60 * SECOND_NS  # a day that is over changes by late trades only
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
        self._bars, self._market = bars, market

        def flight(cache: str, ttl_ns: int) -> SingleFlight[tuple[object, ...], V]:
            return SingleFlight(
                ttl_ns=ttl_ns,
                max_keys=_MAX_KEYS,
                monotonic_ns=monotonic_ns,
                on_lookup=lambda outcome: metrics.cache_lookups.labels(cache, outcome).inc(),
            )

        self._latest: _Flight[Bars] = flight("latest", _FRESH_NS)
        self._newest: _Flight[Parts] = flight("newest", _FRESH_NS)
        self._days: _Flight[Bars] = flight("days", _FRESH_NS)
        self._previous: _Flight[Bars] = flight("previous_days", _OVER_NS)

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

    async def day(self, symbols: Sequence[Symbol], day_ns: int) -> Bars:
        """A day's roll-up as stored, at most a second old."""
        return await self._days.get(
            (day_ns, *symbols, *self._revisions(symbols)),
            lambda: self._bars.day_bars(symbols, day_ns),
        )

    async def previous_day(self, symbols: Sequence[Symbol], day_ns: int) -> Bars:
        """The roll-up of the day before *day_ns*, at most a minute old."""
        before_ns = day_ns - DAY_NS
        return await self._previous.get(
            (before_ns, *symbols, *self._revisions(symbols)),
            lambda: self._bars.day_bars(symbols, before_ns),
        )

    def _revisions(self, symbols: Sequence[Symbol]) -> tuple[int, ...]:
        return tuple(map(self._market.revisions, symbols))
