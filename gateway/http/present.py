"""How symbols stand now: last trade, newest minute, day and day before."""

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from core.market.bar import Bar
from core.market.errors import TickgateError
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import DAY_NS, Timeframe
from core.runtime.ports import Clock
from gateway.day_book import Days
from gateway.http.answers import newer, newest, newest_rolled
from gateway.http.days import REACH_DAYS, NewestBars, Standing, day_of, day_so_far, symbols_by_day
from gateway.http.past import OVER_NS, Past
from gateway.http.ports import Market
from gateway.http.recent import Recent
from gateway.http.stored import StoredPresent

MAX_STANDINGS: Final = 5_000
"""Symbols whose bars are kept, with their texts 1.3 kilobytes each."""

_RENEW_S: Final = 2.0  # between two looks at which days grew old
_MAX_RENEWED: Final = 500  # in one load

Held = tuple[Bar | None, ...]
_Of = tuple[Held, Days, int]  # what bars are made of, and the day that is shown
_NEVER_NS: Final = -2 * DAY_NS  # the day of a symbol that memory knows no time of
_NOTHING: Final = Days(_NEVER_NS, None, None, None)


@dataclass(slots=True)
class _Made:
    """A standing, and what its bars are made of."""

    of: _Of
    standing: Standing


@dataclass(frozen=True, kw_only=True, slots=True)
class Present:
    """Looks in memory where that knows, else in the database: a bounded number of queries.

    What bars were made of is kept: most are the same from one moment to the next, and those of
    symbols that trade for a second. *heard* tells whether memory would know by now that a bar
    closed.
    """

    market: Market
    stored: StoredPresent
    past: Past
    now_ns: Clock
    heard: Callable[[], bool]
    _made: Recent[Symbol, _Made] = field(
        default_factory=functools.partial(Recent, MAX_STANDINGS), init=False
    )

    async def standings(self, symbols: Iterable[Symbol]) -> dict[Symbol, Standing]:
        """Of each symbol that has a trade or a minute."""
        names = sorted(symbols)
        return self._standings(names, await self._days(names))

    def kept(self, symbols: Iterable[Symbol]) -> dict[Symbol, Standing]:
        """Of those for which the database need not be asked."""
        days = self._kept_days(symbols)
        return self._standings(days, days)

    def _standings(
        self, names: Iterable[Symbol], days: Mapping[Symbol, Days]
    ) -> dict[Symbol, Standing]:
        found: dict[Symbol, Standing] = {}
        last_trade, held_of, made = self.market.last_trade, self.market.held, self._made
        for symbol in names:
            trade, held = last_trade(symbol), held_of(symbol, Timeframe.MIN_1)
            known = days.get(symbol, _NOTHING)
            shown_ns = _shown_ns(trade, held, known)
            if shown_ns is None:
                continue
            of = held, known, shown_ns
            kept = made.get(symbol)
            if kept is None or kept.of != of:
                kept = made[symbol] = _Made(of, Standing(trade, _bars(*of)))
            elif kept.standing.trade != trade:
                kept.standing = Standing(trade, kept.standing.bars)
            found[symbol] = kept.standing
        made.cut()
        return found

    async def renew(self) -> None:
        """Load anew what grew old of the days that are asked for, for ever: no caller waits then.

        While the database is away, what is known goes on being shown until it is too old.
        """
        while True:
            await asyncio.sleep(_RENEW_S)
            due = self.market.days.due(self.stored.monotonic_ns())
            if due and self.heard():
                with suppress(TickgateError):
                    await self._load_kept(due[:_MAX_RENEWED])

    async def newest(self, symbols: Iterable[Symbol], resolution: Resolution) -> dict[Symbol, Bar]:
        """The newest bar of each symbol that has one; the running one where there is one."""
        base, names = resolution.base, sorted(symbols)
        if resolution.is_stored:
            # A running bar is newer than any that is stored, unless nobody told that it closed.
            heard = self.heard()
            unsure = [s for s in names if not heard or self.market.running_bar(s, base) is None]
            stored = await self.stored.latest(unsure, base)
            bars = {s: newest(stored.get(s), *self.market.held(s, base)) for s in names}
        else:
            over_ns = self.now_ns() - OVER_NS
            going_on_ns = await self.past.going_on_ns(names, resolution)
            parts = await self.stored.newest(names, resolution)
            bars = {
                s: newest_rolled(
                    [*parts.get(s, ()), *self.market.held(s, base)],
                    resolution,
                    min(over_ns, going_on_ns.get(s, over_ns)),
                )
                for s in names
            }
        return {symbol: bar for symbol, bar in bars.items() if bar is not None}

    async def closed(self, symbols: Iterable[Symbol], timeframe: Timeframe) -> dict[Symbol, Bar]:
        """The newest closed bar of each symbol that has one."""
        names = sorted(symbols)
        stored = await self.stored.latest(names, timeframe)
        found = {s: newest(stored.get(s), self.market.closed_bar(s, timeframe)) for s in names}
        return {symbol: bar for symbol, bar in found.items() if bar is not None}

    async def _days(self, symbols: Sequence[Symbol]) -> dict[Symbol, Days]:
        """Days and newest minutes, those that are not in the book out of the database."""
        found = self._kept_days(symbols)
        missing = [symbol for symbol in symbols if symbol not in found]
        if not missing:
            return found
        return found | dict(await self.stored.load_days(missing, lambda: self._load_kept(missing)))

    def _kept_days(self, symbols: Iterable[Symbol]) -> dict[Symbol, Days]:
        if not self.heard():
            return {}  # days may have grown without the book
        known, now_ns = self.market.days.known, self.stored.monotonic_ns()
        return {s: days for s in symbols if (days := known(s, now_ns)) is not None}

    async def _load_kept(self, symbols: Sequence[Symbol]) -> Mapping[Symbol, Days]:
        """Load, and keep in the book what can be kept up from there on.

        That is nothing while the streams are not heard: they may be read from later on.
        """
        if not self.heard():
            return await self._load(symbols)
        book, fit = self.market.days, dict[Symbol, Days]()
        number = book.begin()
        try:
            before = await self.stored.newest_minutes(symbols)
            loaded = await self._load(symbols)
            # With the same newest minute before and after, the day has all minutes up to that.
            fit = {s: d for s, d in loaded.items() if d.minute == before.get(s) and self._fit(s, d)}
            return loaded
        finally:
            book.end(number, fit, self.stored.monotonic_ns())

    def _fit(self, symbol: Symbol, days: Days) -> bool:
        """Does memory know of the day that the newest stored minute is of? Else it is not kept.

        A symbol may have no minute yet, as in the first one of all; of names that nobody carries,
        of which there is no end, nothing is kept.
        """
        if days.minute is None:
            return self.market.carries(symbol)
        return day_of(days.minute.start_ns) <= days.day_ns

    async def _load(self, symbols: Sequence[Symbol]) -> dict[Symbol, Days]:
        newest_ns: dict[Symbol, int] = {}
        for symbol in symbols:
            held = self.market.held(symbol, Timeframe.MIN_1)
            time_ns = _newest_ns(self.market.last_trade(symbol), held)
            if time_ns is not None:
                newest_ns[symbol] = time_ns
        # Bars may be stored without their trades, as after an import.
        quiet = [symbol for symbol in symbols if symbol not in newest_ns]
        stored = await self.stored.newest_minutes(quiet) if quiet else {}
        newest_ns |= {symbol: bar.start_ns for symbol, bar in stored.items()}
        days = symbols_by_day(newest_ns)
        today: dict[Symbol, Bar] = {}
        before: dict[Symbol, Bar] = {}
        for day_ns, some in days.items():
            of_day, of_day_before = await self.stored.days(some, day_ns)
            today.update(of_day)
            before.update(of_day_before)
        latest = await self.stored.newest_minutes(symbols)
        shown = {name: day_ns for day_ns, some in days.items() for name in some}
        return {
            s: Days(
                shown.get(s, _NEVER_NS), today.get(s), before.get(s), latest.get(s), self._reach(s)
            )
            for s in symbols
        }

    def _reach(self, symbol: Symbol) -> int:
        return REACH_DAYS * DAY_NS if self.market.is_stock(symbol) else DAY_NS


def _shown_ns(trade: Tick | None, held: Held, known: Days) -> int | None:
    """The day of the newest trade or minute that is known; None where there is neither."""
    newest_ns = _newest_ns(trade, held)
    if newest_ns is None:
        if known.minute is None:
            return None
        newest_ns = known.minute.start_ns
    return newest_ns - newest_ns % DAY_NS


def _bars(held: Held, known: Days, day_ns: int) -> NewestBars:
    closed = newer(known.minute, held[0])
    return NewestBars(newer(closed, held[-1]), closed, *_days(held, known, day_ns))


def _days(held: Held, known: Days, day_ns: int) -> tuple[Bar | None, Bar | None]:
    """The day from *day_ns* on, and the one before."""
    minute = known.minute
    if known.day_ns < day_ns and minute is not None and day_of(minute.start_ns) == day_ns:
        return None, None  # nobody looked at that day: its last minutes are not all of it
    day, previous = known.at(day_ns)
    grown = day_so_far(day, day_ns=day_ns, newest_stored=minute, in_memory=held)
    return grown, _whole_before(previous, known, day_ns, held)


def _whole_before(previous: Bar | None, known: Days, day_ns: int, held: Held) -> Bar | None:
    """The day before with its last minute, which is open still for the grace after midnight."""
    if held[0] is not None and held[0].start_ns >= day_ns:
        return previous  # the others are newer
    stored_ns = -1 if known.minute is None else known.minute.start_ns
    late = [bar for bar in held if bar is not None and stored_ns < bar.start_ns < day_ns]
    if not late or day_ns - day_of(late[-1].start_ns) > known.reach_ns:
        return previous
    before_ns = day_of(late[-1].start_ns)
    if previous is not None and day_of(previous.start_ns) != before_ns:
        previous = None
    return day_so_far(previous, day_ns=before_ns, newest_stored=known.minute, in_memory=late)


def _newest_ns(trade: Tick | None, held: Held) -> int | None:
    bar = held[-1]
    if trade is None:
        return None if bar is None else bar.start_ns
    return trade.event_ns if bar is None or bar.start_ns < trade.event_ns else bar.start_ns
