"""How symbols stand now: last trade, newest minute, day and day before."""

from collections.abc import Iterable
from dataclasses import dataclass

from core.market.bar import Bar
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import Timeframe
from core.runtime.ports import Clock
from gateway.http.answers import newest, newest_rolled
from gateway.http.days import day_so_far, symbols_by_day
from gateway.http.past import OVER_NS
from gateway.http.ports import Market
from gateway.http.stored import Bars, StoredPresent


@dataclass(frozen=True, slots=True)
class Standing:
    """How one symbol stands; None is what it does not have.

    ``minute`` is the newest one, ``closed`` the newest that is over; ``day`` goes on growing.
    """

    trade: Tick | None
    minute: Bar | None
    closed: Bar | None
    day: Bar | None
    previous_day: Bar | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Present:
    """Looks in memory where that knows, else in the database: a bounded number of queries."""

    market: Market
    stored: StoredPresent
    now_ns: Clock

    async def standings(self, symbols: Iterable[Symbol]) -> dict[Symbol, Standing]:
        """Of each symbol that has a trade or a minute."""
        names = sorted(symbols)
        days = self._days(names)
        today: dict[Symbol, Bar] = {}
        before: dict[Symbol, Bar] = {}
        for day_ns, some in days.items():
            today.update(await self.stored.day(some, day_ns))
            before.update(await self.stored.previous_day(some, day_ns))
        # Asked last: a minute stored in between is missed for a second, and not counted twice.
        latest = await self.stored.latest(names, Timeframe.MIN_1)
        shown = {name: day_ns for day_ns, some in days.items() for name in some}
        found: dict[Symbol, Standing] = {}
        for symbol in names:
            trade, held = self.market.last_trade(symbol), self.held(symbol, Timeframe.MIN_1)
            minute = newest(latest.get(symbol), *held)
            if trade is not None or minute is not None:
                found[symbol] = Standing(
                    trade=trade,
                    minute=minute,
                    closed=newest(latest.get(symbol), held[0]),
                    day=self._day(symbol, shown, today, latest),
                    previous_day=before.get(symbol),
                )
        return found

    async def newest(self, symbols: Iterable[Symbol], resolution: Resolution) -> dict[Symbol, Bar]:
        """The newest bar of each symbol that has one; the running one where there is one."""
        base, names = resolution.base, sorted(symbols)
        if resolution.is_stored:
            # A running bar is newer than any that is stored.
            unsure = [s for s in names if self.market.running_bar(s, base) is None]
            stored = await self.stored.latest(unsure, base)
            bars = {s: newest(stored.get(s), *self.held(s, base)) for s in names}
        else:
            parts = await self.stored.newest(names, resolution)
            over_ns = self.now_ns() - OVER_NS
            bars = {
                s: newest_rolled([*parts.get(s, ()), *self.held(s, base)], resolution, over_ns)
                for s in names
            }
        return {symbol: bar for symbol, bar in bars.items() if bar is not None}

    async def closed(self, symbols: Iterable[Symbol], timeframe: Timeframe) -> dict[Symbol, Bar]:
        """The newest closed bar of each symbol that has one."""
        names = sorted(symbols)
        stored = await self.stored.latest(names, timeframe)
        found = {s: newest(stored.get(s), self.market.closed_bar(s, timeframe)) for s in names}
        return {symbol: bar for symbol, bar in found.items() if bar is not None}

    def held(self, symbol: Symbol, timeframe: Timeframe) -> tuple[Bar | None, Bar | None]:
        """The newest closed bar in memory, and the running one."""
        closed = self.market.closed_bar(symbol, timeframe)
        return closed, self.market.running_bar(symbol, timeframe)

    def _day(
        self, symbol: Symbol, shown: dict[Symbol, int], today: Bars, latest: Bars
    ) -> Bar | None:
        if symbol not in shown:
            return None
        return day_so_far(
            today.get(symbol),
            day_ns=shown[symbol],
            newest_stored=latest.get(symbol),
            in_memory=self.held(symbol, Timeframe.MIN_1),
        )

    def _days(self, symbols: Iterable[Symbol]) -> dict[int, list[Symbol]]:
        newest_ns: dict[Symbol, int] = {}
        for symbol in symbols:
            trade = self.market.last_trade(symbol)
            bar = newest(*self.held(symbol, Timeframe.MIN_1))
            times = [trade.event_ns] if trade else []
            times += [bar.start_ns] if bar else []
            if times:
                newest_ns[symbol] = max(times)
        return symbols_by_day(newest_ns)
