"""Closed bars of any length: rolled ones once their window is over, flat ones where wanted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from core.market.bar import Bar
from core.market.bar_columns import BarColumns
from core.market.bar_range import BarRange
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import DAY_NS, SECOND_NS, Timeframe
from core.runtime.ports import Clock
from gateway.http.behind import flat_until_ns, is_late, may_go_on
from gateway.http.filled import Fill, filled
from gateway.http.ports import History, Market

OVER_NS: Final = 5 * SECOND_NS
"""Wait for the last bar of a window before it is over: grace (2 s), flush and commit."""

LIVES_NS: Final = DAY_NS
"""A symbol that traded so long ago is taken to trade still: flat bars follow up to now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """Reads history as callers see it: by what is stored, the clock, and bars still running.

    *heard* tells whether memory would know by now that a bar closed, *behind* how far venues have
    come whose feeds are behind the clock: see :func:`gateway.http.behind.behind_ns`.
    """

    market: Market
    bars: History
    now_ns: Clock
    heard: Callable[[], bool]
    behind: Callable[[], Mapping[str, int]]

    async def columns(self, query: BarRange, *, fill: bool = False) -> tuple[BarColumns, bool]:
        """A page of closed bars in columns; with *fill* of flat ones, too. May windows go on?

        A rolled bar is there once its window is over: by the clock, and as no bar that it will be
        made of is running, so a replay of the past is not taken for complete. While windows may go
        on, whatever the clock, that they are over is told by no bar.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        resolution, stored = query.resolution, query
        open_ns = await self._open_ns(query.symbols, resolution)
        going_on_ns: Mapping[Symbol, int] = {}
        if fill or not resolution.is_stored:
            going_on_ns = await self.going_on_ns(query.symbols, resolution)
        least_ns = {s: min(at, going_on_ns.get(s, at)) for s, at in open_ns.items()}
        running_ns = {**going_on_ns, **least_ns}
        if not resolution.is_stored:
            over_ns = resolution.floor_ns(self.now_ns() - OVER_NS)
            stored = replace(query, end_ns=min(query.end_ns, over_ns - 1))
        found = await self.bars.columns(stored, running_ns=running_ns)
        if fill:
            found = await self._filled(found, query, running_ns)
        return found, bool(going_on_ns)

    async def _filled(
        self, found: BarColumns, query: BarRange, running_ns: Mapping[Symbol, int]
    ) -> BarColumns:
        """*found* with a flat bar for every window without one."""
        resolution, after, descending = query.resolution, query.after, query.descending
        first_ns = self._firsts_ns(
            query.symbols, resolution, query.start_ns, None if descending else after
        )
        if descending and after is not None:
            first_ns = {s: at for s, at in first_ns.items() if s >= after[0]}
        lasts_ns = await self._lasts_ns(list(first_ns), resolution, query.end_ns, running_ns)
        if descending and after is not None and after[0] in lasts_ns:
            before_ns = resolution.before_ns(after[1])
            lasts_ns[after[0]] = min(lasts_ns[after[0]], before_ns)
        return filled(
            found,
            Fill(
                resolution=resolution,
                first_ns=first_ns,
                last_ns=lasts_ns,
                closes=await self._closes(first_ns, resolution),
                descending=descending,
                limit=query.limit,
            ),
        )

    async def _open_ns(
        self, symbols: Sequence[Symbol], resolution: Resolution
    ) -> dict[Symbol, int]:
        """Where the oldest open window of each symbol begins, of those that have one.

        While nobody tells that a bar closed, it is open only as long as it is not stored.
        """
        base = resolution.base
        running = {s: bars for s in symbols if (bars := self.market.open_bars(s, base))}
        stored: Mapping[Symbol, Bar] = {}
        if running and not self.heard():
            stored = await self.bars.latest(list(running), base)
        still_open = {
            symbol: [bar.start_ns for bar in bars if _is_after(bar, stored.get(symbol))]
            for symbol, bars in running.items()
        }
        return {symbol: starts_ns[0] for symbol, starts_ns in still_open.items() if starts_ns}

    async def going_on_ns(
        self, symbols: Iterable[Symbol], resolution: Resolution
    ) -> dict[Symbol, int]:
        """From where on windows of symbols may go on, whatever the clock.

        In a replay that is so of the newest bar's, between two minutes: the next one may come at
        any moment; and of all after it, while trades are known that no bar holds yet.
        """
        market, base, behind = self.market, resolution.base, self.behind()
        known = {s: (market.closed_bar(s, base), market.last_trade(s)) for s in symbols}
        found = await self._not_stored(known, base)
        for symbol, (closed, trade) in known.items():
            newest_ns = max(closed.start_ns if closed else -1, trade.event_ns if trade else -1)
            come_ns = behind.get(symbol.partition(":")[0])
            if come_ns is None or newest_ns < 0 or symbol in found:
                continue
            if may_go_on(resolution, newest_ns, come_ns):
                found[symbol] = newest_ns
        return found

    async def _not_stored(
        self, known: Mapping[Symbol, tuple[Bar | None, Tick | None]], timeframe: Timeframe
    ) -> dict[Symbol, int]:
        """Where what is stored ends, of those whose last trade is behind that, and is no live one.

        *known* are their newest closed bars and last trades; a bar may be older than what is
        stored, as a revised one.
        """
        over_ns = self.now_ns() - OVER_NS
        late_ns = {
            symbol: trade.event_ns
            for symbol, (closed, trade) in known.items()
            if trade is not None and is_late(timeframe, closed, trade, over_ns)
        }
        stored = await self.bars.latest(list(late_ns), timeframe) if late_ns else {}
        ends_ns = {symbol: bar.start_ns + timeframe.ns for symbol, bar in stored.items()}
        return {s: end for s, at in late_ns.items() if (end := ends_ns.get(s, 0)) <= at}

    def _firsts_ns(
        self,
        symbols: Sequence[Symbol],
        resolution: Resolution,
        start_ns: int,
        after: tuple[Symbol, int] | None,
    ) -> dict[Symbol, int]:
        """The first window of the page by symbol, of those that the page may have, in order."""
        first_ns = resolution.ceil_ns(max(start_ns, 0))
        if after is None:
            return dict.fromkeys(sorted(symbols), first_ns)
        names = (symbol for symbol in sorted(symbols) if symbol >= after[0])
        going_on_ns = max(first_ns, resolution.end_ns(resolution.floor_ns(after[1])))
        return {symbol: going_on_ns if symbol == after[0] else first_ns for symbol in names}

    async def _lasts_ns(
        self,
        symbols: Sequence[Symbol],
        resolution: Resolution,
        end_ns: int,
        running_ns: Mapping[Symbol, int],
    ) -> dict[Symbol, int]:
        """The last window that may be flat: over, in the range, and in the symbol's life."""
        now_ns, behind = self.now_ns(), self.behind()
        over_ns = resolution.floor_ns(now_ns - OVER_NS)  # where the first one starts that is not
        unknown = [s for s in symbols if self.market.last_trade(s) is None]
        stored = await self.bars.latest(unknown, resolution.base) if unknown else {}
        lasts_ns: dict[Symbol, int] = {}
        for symbol in symbols:
            trade, bar = self.market.last_trade(symbol), stored.get(symbol)
            newest_ns = trade.event_ns if trade else bar.start_ns if bar else -DAY_NS
            until_ns = over_ns
            if newest_ns < now_ns - LIVES_NS:
                until_ns = min(until_ns, resolution.end_ns(resolution.floor_ns(newest_ns)))
            come_ns = behind.get(symbol.partition(":")[0])
            if come_ns is not None:
                until_ns = min(until_ns, flat_until_ns(resolution, come_ns))
            if symbol in running_ns:
                until_ns = min(until_ns, resolution.floor_ns(running_ns[symbol]))
            lasts_ns[symbol] = min(resolution.floor_ns(end_ns), resolution.before_ns(until_ns))
        return lasts_ns

    async def _closes(
        self, first_ns: Mapping[Symbol, int], resolution: Resolution
    ) -> dict[Symbol, float]:
        """The last close before the first window of the page, of symbols that have one."""
        groups: dict[int, list[Symbol]] = {}  # one, and one more for the symbol of a cursor
        for symbol, at_ns in first_ns.items():
            groups.setdefault(at_ns, []).append(symbol)
        closes: dict[Symbol, float] = {}
        for at_ns, names in groups.items():
            closes |= await self.bars.closes_before(names, resolution.base, at_ns)
        return closes


def _is_after(bar: Bar, stored: Bar | None) -> bool:
    return stored is None or bar.start_ns > stored.start_ns
