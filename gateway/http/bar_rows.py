"""Rows of bars: many of them as JSON objects, laid out by columns. Pure.

To make an object of each bar and to encode that takes half as long again. Here orjson writes all
numbers of a column at once, and numpy moves their texts to where they belong, column by column.
They are moved in the width of the longest, so a shorter one brings along what stood behind it: what
comes next in its row, or begins the next one, is moved later, over that.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from core.market.bar_columns import Ints
from core.market.timeframe import MINUTE_NS

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]
Text = npt.NDArray[np.uint8]

_ROOM: Final = 8  # bytes in front of a number: for its key, as one word
_WIDEST: Final = 24  # bytes of a number's text
_FEW_DAYS: Final = 8
_HEAD: Final = np.dtype([("key", "S6"), ("date", "S10"), ("clock", "S10"), ("end", "S2")])
_TIMELESS: Final = np.array([(b'{"t":"', b"", b"", b'",')], _HEAD)
MINUTES: Final = [f"T{hour:02}:{minute:02}:00Z" for hour in range(24) for minute in range(60)]
"""The minutes of a day, as an RFC 3339 time ends."""

_CLOCKS: Final = np.array(MINUTES, "S10")
_DAY: Final = len(MINUTES)


@dataclass(frozen=True, slots=True, eq=False)
class RowShape:
    """What is the same in all rows: the keys of the numbers, and what comes after those."""

    words: npt.NDArray[np.uint64]  # a column of keys, aligned to the right
    sizes: Ints  # a column, too: bytes of each
    end: npt.NDArray[np.void]

    @classmethod
    def of(cls, *names: str, end: str = "") -> "RowShape":
        """Names of at most five letters; *end* begins with a comma where it is not empty."""
        keys = [f'"{name}":'.encode() for name in names]
        text = f"{end}}},".encode()
        return cls(
            np.array([np.frombuffer(key.rjust(_ROOM), np.uint64) for key in keys]),
            np.array([[len(key)] for key in keys]),
            np.frombuffer(text, f"V{len(text)}"),
        )


def bar_rows(shape: RowShape, starts_ns: Ints, columns: Sequence[Numbers]) -> tuple[Text, Ints]:
    """The rows (one or more), each with a comma behind it; and where each of them ends.

    *starts_ns* are whole minutes. *columns* hold finite numbers, each array those of one column or
    of several, one after the other. 500 bars take 0.2 ms.
    """
    texts, n = np.frombuffer(_texts(columns), np.uint8), len(starts_ns)
    commas = (texts == ord(",")).nonzero()[0]
    sizes = (commas[1:] - commas[:-1]).reshape(-1, n)  # of each number with its comma
    width = _ROOM + int(np.maximum.reduce(sizes, None))
    pieces = _windows(texts, width)[commas[:-1] + (1 - _ROOM)]
    np.ndarray(sizes.shape, np.uint64, pieces, 0, (n * width, width))[:] = shape.words
    sizes += shape.sizes
    starts, stops = _places(sizes, shape.end.itemsize)
    rows = np.empty(int(stops[-1]) + _WIDEST, np.uint8)
    for column, size in enumerate(shape.sizes[:, 0].tolist()):
        left = _ROOM - size
        own = np.ndarray(n, _bytes(width - left), pieces, column * n * width + left, (width,))
        _windows(rows, width - left)[starts[column]] = own
    _windows(rows, shape.end.itemsize)[starts[-1]] = shape.end
    heads = _heads(starts_ns)
    starts[0] -= heads.itemsize
    _windows(rows, heads.itemsize)[starts[0]] = heads
    return rows, stops


def _texts(columns: Sequence[Numbers]) -> bytes:
    """All numbers, one column after the other, with a comma before and behind each."""
    lists = [
        orjson.dumps(np.ascontiguousarray(some), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        for some in columns
    ]
    return b",".join((b" " * (_ROOM - 1), *lists, b" " * _WIDEST))


def _places(sizes: Ints, end: int) -> tuple[Ints, Ints]:
    """Where pieces of these *sizes* begin, by column and row; where rows end, and where they stop.

    The *end* of a row, so many bytes, takes the place of the last comma.
    """
    rows = np.add.reduce(sizes)
    rows += _HEAD.itemsize + end - 1
    stops = rows.cumsum()
    starts = np.empty((len(sizes) + 1, len(rows)), np.int64)
    np.subtract(stops, rows - _HEAD.itemsize, starts[0])
    for column, some in enumerate(sizes):  # cumsum() along this axis takes twice as long
        np.add(starts[column], some, starts[column + 1])
    starts[-1] -= 1
    return starts, stops


def _heads(starts_ns: Ints) -> npt.NDArray[np.void]:
    """How rows begin: with their time."""
    minutes = starts_ns // MINUTE_NS
    days = minutes // _DAY
    first, last = int(np.minimum.reduce(days)), int(np.maximum.reduce(days))
    if last - first < _FEW_DAYS:
        known = [_heads_of_day(day) for day in range(first, last + 1)]
        return (known[0] if len(known) == 1 else np.concatenate(known))[minutes - first * _DAY]
    heads = _TIMELESS.repeat(len(minutes))
    some, at = np.unique(days, return_inverse=True)  # each date is written once
    heads["date"] = some.astype("M8[D]").astype("S10")[at]
    heads["clock"] = _CLOCKS[minutes - days * _DAY]
    return heads.view(f"V{_HEAD.itemsize}")


@functools.lru_cache(maxsize=64)  # 3 MB
def _heads_of_day(day: int) -> npt.NDArray[np.void]:
    """How the rows of all its minutes begin."""
    heads = _TIMELESS.repeat(_DAY)
    heads["date"] = np.array(day).astype("M8[D]").astype("S10")
    heads["clock"] = _CLOCKS
    return heads.view(f"V{_HEAD.itemsize}")


def _windows(text: Text, width: int) -> npt.NDArray[np.void]:
    """The bytes of *text* from each of its places on, *width* of them."""
    return np.ndarray(len(text) - width + 1, _bytes(width), text, 0, (1,))


@functools.cache  # of a few widths
def _bytes(width: int) -> np.dtype[np.void]:
    return np.dtype(f"V{width}")
