"""The ticks of a block by symbol, and what a bar needs to know of each symbol's, in bulk. Pure."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from aggregator.exact import product_terms, segment_sums
from core.market.block import Row, Ticks
from core.market.tick import NO_ID

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Run = tuple[int, int]
"""First and last of trade ids that count up by one; twice NO_ID where no tick has one."""

_LEAST: Final = 4  # ticks a symbol from which on segments are cheaper than a loop
_LARGEST: Final = 1e290  # product terms are exact below


class Segment(NamedTuple):
    """The ticks of one symbol in a block; open and close are by (event time, seq, arrival)."""

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
    """A block sorted by symbol, event time and seq."""

    def __init__(self, block: Ticks) -> None:
        """*block* is one that :func:`are_worth_while` says yes to."""
        self._block = block
        self._order = _order(block)
        index = block.symbol_index[self._order].astype(np.int64)
        self._starts = np.flatnonzero(np.diff(index, prepend=-1))
        self._stops = np.append(self._starts[1:], len(index))
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
            self._runs(block.trade_id[order]),
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

    def _runs(self, ids: Ints) -> list[Run | None]:
        steps = np.ones_like(ids)
        np.subtract(ids[1:], ids[:-1], out=steps[1:])
        steps[self._starts] = 1
        is_run = np.logical_and.reduceat(steps == 1, self._starts)
        is_run |= np.logical_and.reduceat(ids == NO_ID, self._starts)
        first, last = ids[self._starts].tolist(), ids[self._stops - 1].tolist()
        return [
            (one, two) if are_run else None
            for one, two, are_run in zip(first, last, is_run.tolist(), strict=True)
        ]


def are_worth_while(block: Ticks) -> bool:
    """Are there enough ticks a symbol, and none with values beyond all markets?"""
    if len(block) < _LEAST * len(block.symbols):
        return False
    return float(np.maximum.reduce(block.price)) * float(np.maximum.reduce(block.size)) < _LARGEST


def _order(block: Ticks) -> npt.NDArray[np.intp]:
    """By symbol, event time, seq and arrival; nearly always that is by symbol and arrival."""
    order = np.argsort(block.symbol_index, kind="stable")
    event_ns, seq = block.event_ns[order], block.seq[order]
    later = event_ns[1:] > event_ns[:-1]
    later |= (event_ns[1:] == event_ns[:-1]) & (seq[1:] >= seq[:-1])
    later |= block.symbol_index[order][1:] != block.symbol_index[order][:-1]
    if later.all():
        return order
    return np.lexsort((block.seq, block.event_ns, block.symbol_index))
