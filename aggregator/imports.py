"""Given bars taken in by who folds their shard: stored, their parents made, all of it published."""

from collections.abc import Sequence
from typing import Final

from aggregator.flush import Store
from aggregator.imported import imported_window, is_imported, shows
from aggregator.rebuild import Comparison, Rebuilt, are_same, current_windows
from aggregator.shards import ShardState
from aggregator.symbols import PARENTS
from aggregator.window import Window
from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import MINUTE_NS, Timeframe
from storage.rebuilds import GivenBars, ImportReport, Refusal

_MINUTE: Final = Timeframe.MIN_1
_WIDEST: Final = Timeframe.MIN_15


async def take_in(state: ShardState, symbol: Symbol, given: GivenBars, *, store: Store) -> Rebuilt:
    """Compare *given* with what is there; changes nothing.

    A bar that shows the same already is left as it is, and so is one that was made of ticks,
    unless the given ones are to replace those.

    Raises:
        DatabaseUnavailable: it is away, or too slow.
    """
    by_quarter: dict[int, list[Bar]] = {}
    for bar in given.bars:
        by_quarter.setdefault(_WIDEST.floor_ns(bar.start_ns), []).append(bar)
    current = await current_windows(state, store, symbol, sorted(by_quarter))
    taking = _Taking(symbol, Comparison(symbol, current, None), replace=given.replace)
    for quarter_ns, bars in sorted(by_quarter.items()):
        taking.take(quarter_ns, bars)
    newest = await store.newest_windows([symbol])
    found = taking.found
    return Rebuilt(
        taking.report(),
        symbol,
        newest.get(symbol, -(2**63)),
        list(found.changed.values()),
        found.kept(state),
        max(bar.start_ns for bar in given.bars) + MINUTE_NS,
    )


class _Taking:
    """The given bars of one symbol, a quarter of an hour at a time."""

    def __init__(self, symbol: Symbol, found: Comparison, *, replace: bool) -> None:
        self.found = found
        self._symbol, self._replace = symbol, replace
        self._new = self._same = self._revised = 0
        self._refused: list[tuple[int, Refusal]] = []

    def take(self, quarter_ns: int, bars: Sequence[Bar]) -> None:
        """Take in *bars*, all of the quarter of an hour at *quarter_ns*."""
        why = self._obstacle(quarter_ns)
        if why is not None:
            self._refused += [(bar.start_ns, why) for bar in bars]
            return
        before = len(self.found.changed)
        for bar in bars:
            self._take_one(bar)
        if len(self.found.changed) > before:
            for timeframe in PARENTS:
                for start_ns in range(quarter_ns, quarter_ns + _WIDEST.ns, timeframe.ns):
                    self.found.compare_parent(timeframe, start_ns)

    def report(self) -> ImportReport:
        return ImportReport(self._new, self._same, self._revised, tuple(self._refused))

    def _take_one(self, bar: Bar) -> None:
        window = imported_window(bar)
        current = self.found.current.get((_MINUTE, bar.start_ns))
        if current is None:
            self._new += 1
        elif shows(current, window.bar(final=True)):
            self._same += 1
            return
        elif self._replace or is_imported(current):
            self._revised += 1
        else:
            self._refused.append((bar.start_ns, Refusal.MADE))
            return
        self.found.change(current, window)

    def _obstacle(self, quarter_ns: int) -> Refusal | None:
        """Why no bar of this quarter of an hour can be taken in."""
        windows = [
            (timeframe, self.found.current.get((timeframe, start_ns)))
            for timeframe in Timeframe
            for start_ns in range(quarter_ns, quarter_ns + _WIDEST.ns, timeframe.ns)
        ]
        if any(window is not None and not window.closed for _, window in windows):
            return Refusal.OPEN
        parents = [window for timeframe, window in windows if timeframe in PARENTS and window]
        return None if all(map(self._is_whole, parents)) else Refusal.PARTS

    def _is_whole(self, parent: Window) -> bool:
        """Is *parent* what the minutes make that are stored?"""
        made = Window(self._symbol, parent.timeframe, parent.start_ns)
        for minute_ns in range(parent.start_ns, parent.end_ns, MINUTE_NS):
            part = self.found.current.get((_MINUTE, minute_ns))
            if part is not None:
                made.merge(part)
        return are_same(parent, made)
