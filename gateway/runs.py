"""The ticks of a batch window by symbol, and as JSON in bulk. Pure.

A tick comes in columns of a block and leaves as text. What can be done with whole columns is:
sorting by symbol, times as text. What is left per tick is one struct and its encoding.
"""

from collections.abc import Sequence
from itertools import repeat
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from core.market.block import Row, Ticks
from core.market.symbol import Symbol
from core.market.timeframe import SECOND_NS
from gateway import encode
from gateway.channels import Codec

UNWANTED: Final = -1
"""The code of a symbol that nobody listens to."""

_FEW: Final = 40  # ticks; so few are faster as tuples
_TEN_SECONDS_NS: Final = 10 * SECOND_NS
_LEAST_NS: Final = SECOND_NS // 1_000  # smaller fractions would be written with an exponent
_MAX_SHORT: Final = 2**15  # codes below it take 16 bits, which are sorted much faster

_ROW: Final = ("event_ns", "seq", "trade_id", "price", "size", "side")  # behind the symbol

Coded = tuple[Ticks, Sequence[int]]
"""Ticks, and the code of each of its symbols: 0, 1, … or :data:`UNWANTED`."""


class Run:
    """Ticks of one symbol, in stream order."""

    __slots__ = ("_rows", "_start", "_stop", "_window")

    def __init__(self, window: "_Window | list[Row]", start: int, stop: int) -> None:
        """Ticks *start* to *stop* of a sorted window, or a list of tuples."""
        self._rows = window if isinstance(window, list) else None
        self._window = None if isinstance(window, list) else window
        self._start, self._stop = start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def rows(self) -> list[Row]:
        """The ticks as tuples; the symbol's index in them means nothing."""
        if self._window is not None:
            self._rows = self._window.rows(self._start, self._stop)
            self._window = None
        assert self._rows is not None  # one of both is there
        return self._rows

    def body(self, spelling: str, codec: Codec) -> bytes:
        """As :func:`gateway.encode.trades`."""
        if codec.is_text and self._window is not None:
            return self._window.body(self._start, self._stop, spelling, codec)
        return encode.trades(self.rows(), spelling, codec)

    def items(self, spelling: str, codec: Codec) -> list[bytes]:
        """The ticks one by one."""
        return [encode.trades((row,), spelling, codec) for row in self.rows()]


def runs(blocks: Sequence[Coded]) -> dict[int, Run]:
    """The ticks of *blocks* by the codes of their symbols; each symbol's in order of the blocks."""
    if sum([len(block) for block, _ in blocks]) <= _FEW:
        return _runs_of_few(blocks)
    window = _Window(blocks)
    return {code: Run(window, start, stop) for code, start, stop in window.spans()}


def newest(blocks: Sequence[Ticks]) -> dict[Symbol, Row]:
    """Of each symbol its newest tick by (event time, seq, arrival)."""
    codes: dict[Symbol, int] = {}
    coded = [(b, [codes.setdefault(s, len(codes)) for s in b.symbols]) for b in blocks if len(b)]
    if not coded:
        return {}
    code = _codes(coded)
    order = np.argsort(code, kind="stable")  # arrival decides last
    code = code[order]
    event_ns = _concatenated(coded, "event_ns")[order]
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    newest_ns = np.maximum.reduceat(event_ns, starts)
    late = np.flatnonzero(event_ns == np.repeat(newest_ns, np.diff(starts, append=len(code))))
    seq = _concatenated(coded, "seq")[order[late]]
    late = late[np.lexsort((seq, code[late]))]  # stable; few are as new as the newest
    last = late[np.flatnonzero(np.diff(code[late], append=-1))]
    columns = [_concatenated(coded, name)[order[last]].tolist() for name in _ROW]
    rows = zip(repeat(0), *columns, strict=False)
    symbols = list(codes)
    return {symbols[at]: row for at, row in zip(code[last].tolist(), rows, strict=False)}


def _runs_of_few(blocks: Sequence[Coded]) -> dict[int, Run]:
    rows: dict[int, list[Row]] = {}
    for block, codes in blocks:
        for row in block.rows():
            code = codes[row[0]]
            if code != UNWANTED:
                rows.setdefault(code, []).append(row)
    return {code: Run(some, 0, len(some)) for code, some in rows.items()}


class _Window:
    """The columns of all blocks, sorted by code; stable, so that each symbol's order stays."""

    def __init__(self, blocks: Sequence[Coded]) -> None:
        codes = _codes(blocks)
        order = np.argsort(codes, kind="stable")  # of 16 bits: a radix sort
        wanted = len(codes) - int(np.count_nonzero(codes == UNWANTED))
        self._order = order[len(order) - wanted :]
        self._codes = codes[self._order]
        self._blocks = blocks
        self._rows: list[Row] = []
        self._columns: tuple[list[Any], ...] = ()  # as they are encoded, once that is wanted

    def spans(self) -> list[tuple[int, int, int]]:
        """Code, first and behind the last tick of each symbol."""
        starts = np.flatnonzero(np.diff(self._codes, prepend=UNWANTED)).tolist()
        stops = [*starts[1:], len(self._codes)]
        return list(zip(self._codes[starts].tolist(), starts, stops, strict=False))

    def rows(self, start: int, stop: int) -> list[Row]:
        """Ticks as tuples."""
        if not self._rows:
            columns = [self._sorted(name).tolist() for name in _ROW]
            self._rows = list(zip(repeat(0), *columns, strict=False))
        return self._rows[start:stop]

    def body(self, start: int, stop: int, spelling: str, codec: Codec) -> bytes:
        """Ticks of one symbol as JSON items with commas between."""
        if not self._columns:
            self._columns = (
                self._sorted("price").tolist(),
                self._sorted("size").tolist(),
                times(self._sorted("event_ns")),
                encode.idents(self._sorted("trade_id").tolist()),
                encode.takers(self._sorted("side").tolist()),
            )
        columns = [column[start:stop] for column in self._columns]
        return encode.trade_columns(spelling, columns, codec)

    def _sorted(self, name: str) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = _concatenated(self._blocks, name)[self._order]
        return found


def _concatenated(blocks: Sequence[Coded], name: str) -> npt.NDArray[Any]:
    return np.concatenate([getattr(block, name) for block, _ in blocks])


def _codes(blocks: Sequence[Coded]) -> npt.NDArray[Any]:
    """The code of each tick."""
    table: list[int] = []
    offsets: list[int] = []
    for _, codes in blocks:
        offsets.append(len(table))
        table += codes
    places = np.concatenate([block.symbol_index for block, _ in blocks])
    places = places + np.repeat(offsets, [len(block) for block, _ in blocks])
    found: npt.NDArray[Any]
    found = np.array(table, np.int16 if max(table) < _MAX_SHORT else np.int32)[places]
    return found


def times(event_ns: npt.NDArray[np.int64]) -> list[str]:
    """Times in RFC 3339, each with as many digits of fraction as it has, at least one.

    Ticks of the same ten seconds differ in a number below ten, which orjson writes in bulk: the
    shortest decimal that reads back equal, so all nine digits where there are as many.
    """
    if not len(event_ns):
        return []
    start_ns = int(event_ns[0]) // _TEN_SECONDS_NS * _TEN_SECONDS_NS
    into_ns = event_ns - start_ns
    if int(into_ns.min()) < _LEAST_NS or int(into_ns.max()) >= _TEN_SECONDS_NS:
        return [encode.rfc3339(time_ns) for time_ns in event_ns.tolist()]
    stem = encode.rfc3339(start_ns)[:-2]  # without the last digit of the seconds, and Z
    text = orjson.dumps(into_ns / SECOND_NS, option=orjson.OPT_SERIALIZE_NUMPY).decode()[1:-1]
    return (stem + text.replace(",", f"Z,{stem}") + "Z").split(",")
