"""Amending: a minute is folded anew from its ticks, with corrections and cancels applied. Pure."""

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aggregator.shard import ShardCore
from aggregator.symbols import PARENTS, SymbolState
from aggregator.wanted import WindowKey
from aggregator.window import Window
from core.market.amended import Word, amended
from core.market.bar import BarRow
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import Timeframe

_MINUTE = Timeframe.MIN_1


class Outcome(enum.Enum):
    """What became of a minute."""

    REVISED = "revised"
    SAME = "same"  # its bar shows no difference
    INCOMPLETE = "incomplete"  # the ticks known of it are not those that were folded


@dataclass(slots=True, kw_only=True)
class Minute:
    """A minute to be amended: its ticks by (event time, seq, arrival), and what is said of them."""

    symbol: Symbol
    start_ns: int
    ticks: Sequence[Tick]
    before: Iterable[Word]  # those that its bar has already
    new: Sequence[Word]
    raw: Collection[int] = ()  # ids of ticks that are in its bar as they came, whatever was said
    left_raw: Collection[int] = ()  # and that stay so
    had: list[Tick] = field(init=False)  # what its bar has
    left: list[Tick] = field(init=False)  # what is left in the end

    def __post_init__(self) -> None:
        """Apply what is said."""
        before = list(self.before)
        self.had = self._after(before, self.raw)
        self.left = self._after([*before, *self.new], self.left_raw)

    def amend(
        self, core: ShardCore, rows: Mapping[WindowKey, BarRow], *, dry_run: bool = False
    ) -> Outcome:
        """Revise the minute and its parents, unless what is known of them does not add up.

        *rows* are the stored ones of :func:`windows_about` that are not in memory. *dry_run*:
        change nothing, and tell what would be.
        """
        had, now = _folded(self, self.had), _folded(self, self.left)
        state = core.symbols.get(self.symbol)
        if state is None:
            return Outcome.INCOMPLETE
        about = _About(state, rows)
        minute = about.find_or_empty(_MINUTE, self.start_ns)
        if not minute.holds_same(had):
            return Outcome.INCOMPLETE
        if minute.holds_same(now):
            return Outcome.SAME
        parents = about.merged(minute, now) if minute.closed else []
        if parents is None:
            return Outcome.INCOMPLETE
        for window, folded in () if dry_run else ((minute, now), *parents):
            window.replace(folded)
            core.revise(window)
        return Outcome.REVISED

    def _after(self, words: Sequence[Word], raw: Collection[int]) -> list[Tick]:
        """Its ticks after *words*, those of *raw* ids as they came."""
        others = [tick for tick in self.ticks if tick.trade_id not in raw]
        left = [*amended(others, words), *(t for t in self.ticks if t.trade_id in raw)]
        return sorted(left, key=lambda tick: (tick.event_ns, tick.seq))


def windows_about(core: ShardCore, symbol: Symbol, start_ns: int) -> list[WindowKey]:
    """The windows that amending a minute takes, without those that are in memory."""
    keys = [(symbol, timeframe, timeframe.floor_ns(start_ns)) for timeframe in PARENTS]
    longest = PARENTS[-1]
    first_ns = longest.floor_ns(start_ns)
    keys += [(symbol, _MINUTE, at) for at in range(first_ns, first_ns + longest.ns, _MINUTE.ns)]
    state = core.symbols.get(symbol)
    held = state.windows if state is not None else {}
    return [key for key in keys if key[1:] not in held]


class _About:
    """The windows about a minute, in memory or stored."""

    def __init__(self, state: SymbolState, rows: Mapping[WindowKey, BarRow]) -> None:
        self._state, self._rows = state, rows

    def find(self, timeframe: Timeframe, start_ns: int) -> Window | None:
        window = self._state.windows.get((timeframe, start_ns))
        row = self._rows.get((self._state.symbol, timeframe, start_ns))
        return window or (None if row is None else Window.from_row(row))

    def find_or_empty(self, timeframe: Timeframe, start_ns: int) -> Window:
        """That window; when it is nowhere, one without ticks.

        A window whose ticks were all cancelled before it closed is never stored, and leaves memory
        as closed ones do.
        """
        found = self.find(timeframe, start_ns)
        if found is None:
            found = Window(self._state.symbol, timeframe, start_ns)
            found.closed = True
        return found

    def merged(self, minute: Window, now: Window) -> list[tuple[Window, Window]] | None:
        """The parents, each with what it is with *now* for *minute*.

        None when the minutes of one are not what it has.
        """
        found: list[tuple[Window, Window]] = []
        for timeframe in PARENTS:
            parent = self.find_or_empty(timeframe, timeframe.floor_ns(minute.start_ns))
            parts = self._merged(parent, minute, now)
            if parts is None:
                return None
            found.append((parent, parts))
        return found

    def _merged(self, parent: Window, minute: Window, now: Window) -> Window | None:
        parts = Window(parent.symbol, parent.timeframe, parent.start_ns)
        trades = 0
        for start_ns in range(parent.start_ns, parent.end_ns, _MINUTE.ns):
            part = minute if start_ns == minute.start_ns else self.find(_MINUTE, start_ns)
            if part is not None and part.closed:
                trades += part.trades
                parts.merge(now if part is minute else part)
        return parts if trades == parent.trades else None


def _folded(minute: Minute, ticks: Iterable[Tick]) -> Window:
    window = Window(minute.symbol, _MINUTE, minute.start_ns)
    for tick in ticks:
        window.fold(tick.event_ns, tick.seq, tick.price, tick.size)
    return window
