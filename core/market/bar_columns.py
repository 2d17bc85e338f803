"""Bars in columns: what a page of many bars is read into, rolled up in, and encoded from. Pure.

An object per bar costs more than reading it; numpy reads the database's binary arrays in place.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from core.market.bar import ROUNDED, Bar
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class BarColumns(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Closed bars of some symbols, each symbol's together and in the order of time, either way.

    ``runs`` tells whose they are: symbols and how many bars of each, in their order. The fields
    are those of :class:`core.market.bar.Bar`, all of one length.
    """

    runs: tuple[tuple[Symbol, int], ...]
    start_ns: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    trades: Ints
    vwap: Floats
    rev: Ints
    gap: Bools

    def __len__(self) -> int:
        return len(self.start_ns)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The columns by name, in the order of a bar's fields."""
        return {name: getattr(self, name) for name in _NAMES}

    def bars(self, timeframe: Timeframe) -> list[Bar]:
        """An object for each, which carries *timeframe*."""
        found: list[Bar] = []
        lists = [column.tolist() for column in self.arrays().values()]
        for symbol, first, stop in self.spans():
            *values, gap = [some[first:stop] for some in lists]
            found += map(Bar, repeat(symbol), repeat(timeframe), *values, repeat(True), gap)
        return found

    def spans(self) -> Iterator[tuple[Symbol, int, int]]:
        """Each symbol, and from where to where its bars are."""
        stop = 0
        for symbol, count in self.runs:
            first, stop = stop, stop + count
            yield symbol, first, stop

    def part(self, first: int, stop: int) -> "BarColumns":
        """The bars from one to another."""
        runs = [
            (symbol, min(to, stop) - max(at, first))
            for symbol, at, to in self.spans()
            if max(at, first) < min(to, stop)
        ]
        arrays = {name: column[first:stop] for name, column in self.arrays().items()}
        return BarColumns(runs=tuple(runs), **arrays)

    def where(self, keep: Bools) -> "BarColumns":
        """Those bars that are to be kept."""
        runs = [(symbol, int(keep[at:to].sum())) for symbol, at, to in self.spans()]
        arrays = {name: column[keep] for name, column in self.arrays().items()}
        return BarColumns(runs=tuple(run for run in runs if run[1]), **arrays)

    def last(self) -> tuple[Symbol, int]:
        """Symbol and start of the last one; there is one."""
        return self.runs[-1][0], int(self.start_ns[-1])


_NAMES: Final = tuple(name for name in BarColumns.__struct_fields__ if name != "runs")
_TYPES: Final[Mapping[str, type]] = {
    "start_ns": np.int64,
    "trades": np.int64,
    "rev": np.int64,
    "gap": np.bool_,
}


def columns_of(bars: Sequence[Bar]) -> BarColumns:
    """Columns of *bars*, which come symbol by symbol."""
    runs: list[tuple[Symbol, int]] = []
    for bar in bars:
        if runs and runs[-1][0] == bar.symbol:
            runs[-1] = (bar.symbol, runs[-1][1] + 1)
        else:
            runs.append((bar.symbol, 1))
    arrays: dict[str, Any] = {
        name: np.array([getattr(bar, name) for bar in bars], _TYPES.get(name, np.float64))
        for name in _NAMES
    }
    return BarColumns(runs=tuple(runs), **arrays)


def joined(parts: Iterable[BarColumns]) -> BarColumns:
    """*parts* one after another; a symbol that one ends with and the next begins with goes on."""
    some = [part for part in parts if len(part)]
    if len(some) == 1:
        return some[0]
    runs: list[tuple[Symbol, int]] = []
    for symbol, count in (run for part in some for run in part.runs):
        if runs and runs[-1][0] == symbol:
            runs[-1] = (symbol, runs[-1][1] + count)
        else:
            runs.append((symbol, count))
    if not some:
        return columns_of(())
    arrays = {name: np.concatenate([getattr(part, name) for part in some]) for name in _NAMES}
    return BarColumns(runs=tuple(runs), **arrays)


def rolled_columns(
    bars: BarColumns, resolution: Resolution, *, descending: bool, is_last: bool
) -> tuple[BarColumns, BarColumns]:
    """Longer bars as :func:`core.market.rolled.rolled` makes them, and what is left of *bars*.

    Left are those of the last window unless *is_last*, as more of them may follow.
    """
    starts_ns = bars.start_ns - bars.start_ns % DAY_NS % resolution.ns
    is_first = np.ones(len(bars), np.bool_)
    is_first[1:] = starts_ns[1:] != starts_ns[:-1]
    for _, at, _ in bars.spans():
        is_first[at] = True
    firsts = np.flatnonzero(is_first)
    stop = len(bars)
    if not is_last and len(firsts):
        stop, firsts = int(firsts[-1]), firsts[:-1]
    left = bars.part(stop, len(bars))
    if not len(firsts):
        return columns_of(()), left
    bars = bars.part(0, stop)
    lasts = np.append(firsts[1:], stop) - 1
    opens, closes = (lasts, firsts) if descending else (firsts, lasts)
    volume = _sums(bars.volume, firsts, lasts)
    # Where there is one part, its own average price: the way through the product may round it.
    spent = _sums(bars.vwap * bars.volume, firsts, lasts)
    high, low = np.maximum.reduceat(bars.high, firsts), np.minimum.reduceat(bars.low, firsts)
    vwap = np.where(firsts == lasts, bars.vwap[firsts], _within(spent / volume, low, high))
    symbols = np.searchsorted(firsts, [to for _, _, to in bars.spans()])
    counts = np.diff(symbols, prepend=0).tolist()
    made = BarColumns(
        runs=tuple((symbol, n) for (symbol, _), n in zip(bars.runs, counts, strict=True)),
        start_ns=starts_ns[firsts],
        open=bars.open[opens],
        high=high,
        low=low,
        close=bars.close[closes],
        volume=volume,
        trades=np.add.reduceat(bars.trades, firsts),
        vwap=vwap,
        rev=np.add.reduceat(bars.rev, firsts),
        gap=np.logical_or.reduceat(bars.gap, firsts),
    )
    return made, left


def _within(price: Floats, low: Floats, high: Floats) -> Floats:
    """:func:`core.market.bar.within`, of many."""
    price = np.where((price > high) & (price <= high * (1 + ROUNDED)), high, price)
    return np.where((price < low) & (price >= low * (1 - ROUNDED)), low, price)


def that_are_over(
    bars: BarColumns, resolution: Resolution, running_ns: Mapping[Symbol, int]
) -> BarColumns:
    """Without the windows that have a part at or after where their symbol's open window starts."""
    if not any(symbol in running_ns for symbol, _ in bars.runs):
        return bars
    keep = np.ones(len(bars), np.bool_)
    for symbol, at, to in bars.spans():
        if symbol in running_ns:
            keep[at:to] = bars.start_ns[at:to] < resolution.floor_ns(running_ns[symbol])
    return bars.where(keep)


def window_index(resolution: Resolution, start_ns: int) -> int:
    """The number of a window, counted from the epoch: neighbours differ by one."""
    day, in_day_ns = divmod(start_ns, DAY_NS)
    return day * windows_a_day(resolution) + in_day_ns // resolution.ns


def window_starts(resolution: Resolution, first: int, stop: int) -> Ints:
    """Where windows start, from one number (:func:`window_index`) to another."""
    day, of_day = np.divmod(np.arange(first, stop, dtype=np.int64), windows_a_day(resolution))
    return np.asarray(day * DAY_NS + of_day * resolution.ns, np.int64)


def windows_a_day(resolution: Resolution) -> int:
    """How many windows a day has, the shorter one at its end included."""
    return -(-DAY_NS // MINUTE_NS // resolution.minutes)


def _sums(values: Floats, firsts: Ints, lasts: Ints) -> Floats:
    """Sums of groups, each the float nearest to the exact one."""
    numbers = values.tolist()
    spans = zip(firsts.tolist(), (lasts + 1).tolist(), strict=True)
    return np.array([math.fsum(numbers[at:to]) for at, to in spans])
