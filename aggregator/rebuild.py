"""Rebuild: bars folded again from the tick log, by who folds their shard.

The task that folds does it between two blocks, so what is in memory, on its way to the database
and stored is one state: nothing is folded meanwhile, and the next flush stores what was found.
"""

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from aggregator.flush import Store
from aggregator.late import Log, folded_parts
from aggregator.shards import ShardState
from aggregator.symbols import PARENTS
from aggregator.window import Window
from core.market.amended import Word, amended
from core.market.block import Ticks
from core.market.symbol import Symbol
from core.market.timeframe import MINUTE_NS, Timeframe
from storage.errors import TickLogError
from storage.rebuilds import RebuildReport, RebuildRequest, RebuiltBar, Report

_LOG = logging.getLogger(__name__)

_BUSY_LOOK_S: Final = 0.02  # while there are some
_MINUTE: Final = Timeframe.MIN_1
_WIDEST: Final = Timeframe.MIN_15
_BEFORE_TIME: Final = -(2**63)

Key = tuple[Timeframe, int]
Windows = Mapping[Key, Window]


class CoveredLog(Log, Protocol):
    """The log; `storage.tick_log.TickLog` is the real one."""

    async def covered_from(self, symbol: Symbol) -> int | None:
        """From which event time on it has every tick of *symbol* that was ever folded."""
        ...

    async def amendments(self, symbol: Symbol) -> list[Word]:
        """What was said of ticks of *symbol* and applied."""
        ...


class Rebuilt(NamedTuple):
    """What a rebuild found: the report, and what the core must take in for it to become true."""

    report: Report
    symbol: Symbol
    newest_ns: int
    changed: list[Window]
    kept: list[Window]  # parents of changed minutes that are as stored
    given_until_ns: int = _BEFORE_TIME  # ticks from before may be in bars that were given

    def take_effect(self, state: ShardState) -> None:
        """Have the next flush store what changed."""
        if self.changed:
            state.core.replace(self.symbol, self.newest_ns, self.changed)
            state.core.keep(self.kept)
            state.core.state_of(self.symbol).ids.doubt_before(self.given_until_ns)


async def rebuild(
    state: ShardState, request: RebuildRequest, *, log: CoveredLog, store: Store
) -> Rebuilt:
    """Fold the range of *request* from the log and compare; changes nothing.

    The range is taken as whole quarters of an hour, so that each parent has all its minutes.

    Raises:
        DatabaseUnavailable: it is away, or too slow.
    """
    symbol = request.symbol
    covered_ns = await log.covered_from(symbol)
    first_ns, end_ns = _WIDEST.floor_ns(request.start_ns), _ceil(request.end_ns)
    from_ns = end_ns if covered_ns is None else max(first_ns, _ceil(covered_ns))
    ticks: list[Ticks] = []
    said: set[Word] = set()
    is_unreadable = False
    try:
        said = {*await log.amendments(symbol), *state.applied.of(symbol)}
        if covered_ns is not None:
            ticks = [part async for part in folded_parts(state, log, symbol, from_ns, end_ns)]
    except TickLogError as exc:
        _LOG.error("bars of %s stay as they are: %s", symbol, exc)
        is_unreadable, from_ns = True, end_ns
    current = await current_windows(state, store, symbol, range(first_ns, end_ns, _WIDEST.ns))
    found = Comparison(symbol, current, covered_ns, said)
    for start_ns in range(first_ns, end_ns, MINUTE_NS):
        found.compare_minute(start_ns, ticks if start_ns >= from_ns else None)
    for timeframe in PARENTS:
        for start_ns in range(from_ns, end_ns, timeframe.ns):
            found.compare_parent(timeframe, start_ns)
    newest = await store.newest_windows([symbol])
    newest_ns = newest.get(symbol, _BEFORE_TIME)
    return Rebuilt(
        found.report(is_unreadable=is_unreadable),
        symbol,
        newest_ns,
        list(found.changed.values()),
        found.kept(state),
    )


async def current_windows(
    state: ShardState, store: Store, symbol: Symbol, quarters: Sequence[int]
) -> Windows:
    """The windows of *quarters* of an hour, given by their starts: in memory, or as stored."""
    known = state.core.symbols.get(symbol)
    here = known.windows if known else {}
    keys = [
        (timeframe, start_ns)
        for quarter_ns in quarters
        for timeframe in Timeframe
        for start_ns in range(quarter_ns, quarter_ns + _WIDEST.ns, timeframe.ns)
    ]
    wanted = [(symbol, *key) for key in keys if key not in here]
    stored = map(Window.from_row, await store.load_rows(wanted))
    found = {(window.timeframe, window.start_ns): window for window in stored}
    return found | {key: here[key] for key in keys if key in here}


class Comparison:
    """Windows folded anew beside those that are; minutes come before parents."""

    def __init__(
        self,
        symbol: Symbol,
        current: Windows,
        covered_ns: int | None,
        said: Collection[Word] = (),
    ) -> None:
        """*said* was said of the ticks since."""
        self._said = said
        self.changed: dict[Key, Window] = {}
        self._symbol, self.current, self._covered_ns = symbol, current, covered_ns
        self._counts = {"same": 0, "uncovered": 0, "without_ticks": 0, "open": 0}
        self._counts["without_minutes"] = 0
        self._told: list[RebuiltBar] = []

    def compare_minute(self, start_ns: int, ticks: Iterable[Ticks] | None) -> None:
        """*ticks* is None where the log does not have them."""
        current = self.current.get((_MINUTE, start_ns))
        if ticks is None:
            self._counts["uncovered"] += current is not None
            return
        inside = [part.between(start_ns, start_ns + MINUTE_NS) for part in ticks]
        window = _folded(self._symbol, start_ns, inside, self._said)
        if current is not None and not current.closed:
            self._counts["open"] += 1
        elif not any(map(len, inside)):
            self._counts["without_ticks"] += current is not None
        elif current is None and not window.trades:
            return  # they were all cancelled in time
        elif current is not None and are_same(current, window):
            self._counts["same"] += 1
        else:
            self.change(current, window)

    def compare_parent(self, timeframe: Timeframe, start_ns: int) -> None:
        """A parent is what its minutes that are closed make it.

        It stays as it is where some of them are gone, by age, and the log has not their trades.
        """
        current = self.current.get((timeframe, start_ns))
        window = Window(self._symbol, timeframe, start_ns)
        for minute_ns in range(start_ns, window.end_ns, MINUTE_NS):
            key = (_MINUTE, minute_ns)
            part = self.changed.get(key) or self.current.get(key)
            if part is not None and part.closed:
                window.merge(part)
        has_trades = window.trades or (current is not None and current.trades)
        if not has_trades or (current is not None and are_same(current, window)):
            return
        if current is not None and self._outlived_minutes(current, window.trades):
            self._counts["without_minutes"] += 1
            return
        self.change(current, window)

    def _outlived_minutes(self, parent: Window, trades: int) -> bool:
        """Has *parent* trades of minutes that went by age and were not folded from the log?

        With all that are there, it would have *trades*. The oldest go first: where the minute of
        its first trade is stored, none went, and minutes without a bar had no trades.
        """
        if (_MINUTE, _MINUTE.floor_ns(parent.open_ns)) in self.current:
            return False
        minutes = range(parent.start_ns, parent.end_ns, MINUTE_NS)
        keys = [(_MINUTE, start_ns) for start_ns in minutes]
        parts = [self.current.get(key) or self.changed.get(key) for key in keys]
        known = sum(part.trades for part in parts if part is not None and part.closed)
        return None in parts and known < parent.trades != trades

    def kept(self, state: ShardState) -> list[Window]:
        """The parents of changed minutes that are as stored, and not in memory."""
        known = state.core.symbols.get(self._symbol)
        here = known.windows if known else {}
        keys = {
            (timeframe, timeframe.floor_ns(start_ns))
            for of, start_ns in self.changed
            for timeframe in PARENTS
            if of is _MINUTE
        }
        return [self.current[key] for key in keys if key not in here and key not in self.changed]

    def report(self, *, is_unreadable: bool = False) -> RebuildReport:
        return RebuildReport(
            **self._counts,
            covered_from_ns=self._covered_ns,
            changed=tuple(self._told),
            unreadable=is_unreadable,
        )

    def change(self, current: Window | None, window: Window) -> None:
        """*window* takes the place of *current*, with all that does not come from its ticks."""
        window.closed = True
        if current is not None:
            window.closed, window.rev, window.gap = current.closed, current.rev, current.gap
            window.feed, window.feeds, window.flush = current.feed, current.feeds, current.flush
            if not window.trades:  # the last price stays, to be shown
                window.open = window.close = current.close
        self.changed[window.timeframe, window.start_ns] = window
        if window.closed:
            window.rev += 1
            after = window.bar(final=True)
            window.rev -= 1  # the flush counts
            before = current.bar(final=True) if current is not None and current.trades else None
            self._told.append(RebuiltBar(window.timeframe, window.start_ns, before, after))


def _folded(
    symbol: Symbol, start_ns: int, ticks: Iterable[Ticks], said: Collection[Word]
) -> Window:
    window = Window(symbol, _MINUTE, start_ns)
    if said:
        every = [tick for part in ticks for tick in part.ticks()]
        for left in amended(every, said):
            window.fold(left.event_ns, left.seq, left.price, left.size)
        return window
    for inside in ticks:
        columns = (inside.event_ns, inside.seq, inside.price, inside.size)
        for tick in zip(*[column.tolist() for column in columns], strict=True):
            window.fold(*tick)
    return window


def are_same(one: Window, other: Window) -> bool:
    """Do both hold the same, to the last bit of their sums? Without trades they do."""
    if not (one.trades or other.trades):
        return True
    return _plain(one) == _plain(other) and all(
        math.fsum([*of_one, *(-part for part in of_other)]) == 0.0
        for of_one, of_other in (
            (one.volume_parts, other.volume_parts),
            (one.notional_parts, other.notional_parts),
        )
    )


def _plain(window: Window) -> tuple[float, ...]:
    window.condense()
    return (
        window.open, window.high, window.low, window.close, window.trades,
        window.open_ns, window.open_seq, window.close_ns, window.close_seq,
    )  # fmt: skip


def _ceil(time_ns: int) -> int:
    """The first quarter of an hour at *time_ns* or later."""
    return -(-time_ns // _WIDEST.ns) * _WIDEST.ns
