"""Flat bars for windows without trades: as wide as the last close before them, and empty. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.market.bar_columns import BarColumns, Floats, Ints, joined, window_index, window_starts
from core.market.resolution import Resolution
from core.market.symbol import Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What a page is filled by. Times are UNIX nanoseconds.

    ``first_ns`` is the first window of the page for each symbol that may be on it, in order;
    ``last_ns`` is the last one that may be flat, or, going back in time, the last one at all for
    the symbol that the page goes on with. ``closes`` are the last closes before ``first_ns``: a
    symbol without one begins with its first bar.
    """

    resolution: Resolution
    first_ns: Mapping[Symbol, int]
    last_ns: Mapping[Symbol, int]
    closes: Mapping[Symbol, float]
    descending: bool
    limit: int


def filled(bars: BarColumns, fill: Fill) -> BarColumns:
    """*bars* and flat ones between them, at most ``fill.limit`` in all.

    *bars* are the first ``fill.limit`` of the page, or all that there are: one that was cut off
    would be past the end of what is given back.
    """
    parts, left = list[BarColumns](), fill.limit
    for symbol, part in _by_symbol(bars, fill):
        if left <= 0:
            break
        parts.append(_filled(symbol, part, fill, left))
        left -= len(parts[-1])
    return joined(parts)


def _by_symbol(bars: BarColumns, fill: Fill) -> Iterator[tuple[Symbol, BarColumns]]:
    """Each symbol that may be on the page, and its bars by time, oldest first; maybe none."""
    spans = {symbol: (at, to) for symbol, at, to in bars.spans()}
    for symbol in fill.first_ns:
        part = bars.part(*spans.get(symbol, (0, 0)))
        yield symbol, _reversed(part) if fill.descending else part


def _filled(symbol: Symbol, bars: BarColumns, fill: Fill, most: int) -> BarColumns:
    """The bars of one symbol with flat ones between them, at most so many, in the page's order."""
    resolution, stored_ns = fill.resolution, bars.start_ns.tolist()
    firsts = [fill.first_ns[symbol]] if symbol in fill.closes else stored_ns[:1]
    lasts = [fill.last_ns[symbol], *stored_ns[-1:]]
    if not firsts or max(lasts) < firsts[0]:
        return bars
    first = window_index(resolution, firsts[0])
    stop = window_index(resolution, max(lasts)) + 1
    if fill.descending:
        first = max(first, stop - most)
    starts_ns = window_starts(resolution, first, min(stop, first + most))
    made = _on_grid(symbol, bars, starts_ns, fill.closes.get(symbol, 0.0))
    return _reversed(made) if fill.descending else made


def _on_grid(symbol: Symbol, bars: BarColumns, starts_ns: Ints, close_before: float) -> BarColumns:
    """A bar for each of *starts_ns*: the stored one, or a flat one after the last before it."""
    newest = np.searchsorted(bars.start_ns, starts_ns, side="right") - 1
    close = np.append(bars.close, close_before)[newest]  # -1 is the one before all
    stored = np.append(bars.start_ns, -1)[newest] == starts_ns

    def price(column: Floats) -> Floats:
        return np.where(stored, np.append(column, 0.0)[newest], close)

    def none(column: npt.NDArray[np.int64]) -> Ints:
        return np.where(stored, np.append(column, 0)[newest], 0)

    return BarColumns(
        runs=((symbol, len(starts_ns)),) if len(starts_ns) else (),
        start_ns=starts_ns,
        open=price(bars.open),
        high=price(bars.high),
        low=price(bars.low),
        close=close,
        volume=np.where(stored, np.append(bars.volume, 0.0)[newest], 0.0),
        trades=none(bars.trades),
        vwap=price(bars.vwap),
        rev=none(bars.rev),
        gap=stored & np.append(bars.gap, False)[newest],
    )


def _reversed(bars: BarColumns) -> BarColumns:
    """The bars of one symbol in the other order."""
    arrays = {name: column[::-1] for name, column in bars.arrays().items()}
    return BarColumns(runs=bars.runs, **arrays)
