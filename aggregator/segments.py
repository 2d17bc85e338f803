"""Ticks by symbol and minute, and what a bar needs to know of each part, in bulk. Pure."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from aggregator.exact import product_terms, segment_sums
from core.market.block import Row, Ticks
from core.market.tick import NO_ID
from core.market.timeframe import MINUTE_NS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Run = tuple[int, int]
"""First and last of trade ids that count up by one; twice NO_ID where no tick has one."""

_LEAST: Final = 4  # ticks a symbol from which on segments are cheaper than a loop
_LARGEST: Final = 1e290  # product terms are exact below


class Segment(NamedTuple):
    """Ticks of one symbol; open and close are by (event time, seq, arrival).

    They are of one minute if they have a run; else they are all that the symbol has.
    """

    symbol_index: int
    run: Run | None  # None: the ids do not count up in the order of events
    open_ns: int
    open_seq: int
    open: float
    close_ns: int
    close_seq: int
    close: float
    high: float
    low: float
    ticks: int
    volume_parts: tuple[float, ...]  # sums to the exact sum of sizes
    notional_parts: tuple[float, ...]
    close_id: int
    close_size: float
    close_side: int


class Segments:
    """Ticks sorted by symbol, event time and seq, and cut where symbol or minute change."""

    def __init__(self, ticks: Ticks) -> None:
        """*ticks* are such that :func:`are_worth_while` says yes to them."""
        self._block = ticks
        index = _small(ticks)
        self._order = _order(ticks, index)
        index = index[self._order]
        self._starts = _edges(index)
        self._stops = np.append(self._starts[1:], len(index))
        ids = ticks.trade_id[self._order]
        self._is_run = self._find_runs(ids)
        self._split_minutes(ticks.event_ns[self._order])
        self._ids = ids
        self._symbols = index[self._starts]

    def rows(self, number: int) -> list[Row]:
        """The ticks of segment *number* as tuples, in stream order."""
        some = np.sort(self._order[self._starts[number] : self._stops[number]])
        block = self._block
        columns = (
            block.symbol_index,
            block.event_ns,
            block.seq,
            block.trade_id,
            block.price,
            block.size,
            block.side,
        )
        return list(zip(*[column[some].tolist() for column in columns], strict=True))

    def __iter__(self) -> Iterator[Segment]:
        """One by one, in order of the symbols' indices."""
        block, starts, order = self._block, self._starts, self._order
        first, last = order[starts], order[self._stops - 1]
        price, size = block.price[order], block.size[order]
        columns: list[list[Any]] = [
            self._symbols.tolist(),
            self._runs(),
            *(column[first].tolist() for column in (block.event_ns, block.seq, block.price)),
            *(column[last].tolist() for column in (block.event_ns, block.seq, block.price)),
            np.maximum.reduceat(price, starts).tolist(),
            np.minimum.reduceat(price, starts).tolist(),
            (self._stops - starts).tolist(),
            segment_sums((size,), starts),
            segment_sums(product_terms(price, size), starts),
            *(column[last].tolist() for column in (block.trade_id, block.size, block.side)),
        ]
        return map(Segment._make, zip(*columns, strict=True))

    def _find_runs(self, ids: Ints) -> npt.NDArray[np.bool_]:
        """For each segment: do its ids count up by one, or has no tick of it an id?"""
        steps = np.ones_like(ids)
        np.subtract(ids[1:], ids[:-1], out=steps[1:])
        steps[self._starts] = 1
        is_run = np.logical_and.reduceat(steps == 1, self._starts)
        if not is_run.all():
            is_run |= np.logical_and.reduceat(ids == NO_ID, self._starts)
        return is_run

    def _split_minutes(self, event_ns: Ints) -> None:
        """Cut runs where a minute begins; other segments stay whole, to be told in stream order."""
        starts = self._starts
        spans = event_ns[starts] // MINUTE_NS != event_ns[self._stops - 1] // MINUTE_NS
        if not (spans & self._is_run).any():
            return
        cuts = _edges(event_ns // MINUTE_NS)
        segment = np.searchsorted(starts, cuts, "right") - 1
        self._starts = np.union1d(starts, cuts[self._is_run[segment]])
        self._is_run = self._is_run[np.searchsorted(starts, self._starts, "right") - 1]
        self._stops = np.append(self._starts[1:], len(event_ns))

    def _runs(self) -> list[Run | None]:
        first, last = self._ids[self._starts].tolist(), self._ids[self._stops - 1].tolist()
        return [
            (one, two) if are_run else None
            for one, two, are_run in zip(first, last, self._is_run.tolist(), strict=True)
        ]


def are_worth_while(block: Ticks) -> bool:
    """Are there enough ticks a symbol, and none with values beyond all markets?"""
    if len(block) < _LEAST * len(block.symbols):
        return False
    return float(np.maximum.reduce(block.price)) * float(np.maximum.reduce(block.size)) < _LARGEST


def _small(ticks: Ticks) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Symbol indices in so few bytes that they are sorted by their digits."""
    few = len(ticks.symbols) <= np.iinfo(np.uint16).max
    return ticks.symbol_index.astype(np.uint16 if few else np.uint32, copy=False)


def _edges(values: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.intp]:
    """Where a value differs from the one before it, 0 included."""
    return np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))


def _order(ticks: Ticks, index: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.intp]:
    """By symbol, event time, seq and arrival; nearly always that is by symbol and arrival."""
    order = np.argsort(index, kind="stable")
    event_ns, seq, index = ticks.event_ns[order], ticks.seq[order], index[order]
    earlier = event_ns[1:] < event_ns[:-1]
    earlier |= (event_ns[1:] == event_ns[:-1]) & (seq[1:] < seq[:-1])
    earlier &= index[1:] == index[:-1]
    if not earlier.any():
        return order
    return np.lexsort((ticks.seq, ticks.event_ns, ticks.symbol_index))
