"""Rows of bars: many of them as JSON objects, laid out by columns. Pure.

To make an object of each bar and to encode that takes nearly twice as long. Here orjson writes all
numbers of a column at once, and numpy moves their texts to where they belong, column after column.
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
from core.market.timeframe import DAY_NS, MINUTE_NS

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]
Text = npt.NDArray[np.uint8]

_ROOM: Final = 8  # bytes in front of a number: for its key, as one word
_WIDTHS: Final = (32, 40)  # of what is moved; of whole words, as keys are written faster then
_SPARSE: Final = 10  # numpy finds what makes up no more than a tenth in half the time
_FEW_DAYS: Final = 8
MINUTES: Final = [f"T{hour:02}:{minute:02}:00Z" for hour in range(24) for minute in range(60)]
"""The minutes of a day, as an RFC 3339 time ends."""

_CLOCKS: Final = np.array(MINUTES, "S10")
_DAY: Final = len(MINUTES)


@dataclass(frozen=True, slots=True, eq=False)
class RowShape:
    """What is the same in all rows: the keys of the numbers, and what stands around those.

    Columns that are next to each other are moved at once, where their keys differ by one byte at
    most: in front of the shorter ones there is a comma anyway.
    """

    words: npt.NDArray[np.uint64]  # a column of keys, aligned to the right
    steps: Ints  # a column, too: from a piece to the next one, besides the number's text
    comma: int  # bytes that are moved in front of the first key
    groups: tuple[tuple[int, int, int], ...]  # from one column to another, and the bytes of a key
    end: bytes

    @classmethod
    def of(cls, *names: str, end: str = "") -> "RowShape":
        """Names of at most five letters; *end* begins with a comma where it is not empty."""
        keys = [f'"{name}":' for name in names]
        groups = _groups([len(key) for key in keys])
        rooms = [room for first, stop, room in groups for _ in range(first, stop)]
        moved = [f",{key}"[-room:] for key, room in zip(keys, rooms, strict=True)]
        commas = [len(word) - len(key) for word, key in zip(moved, keys, strict=True)]
        steps = [len(w) - after for w, after in zip(moved, [*commas[1:], 0], strict=True)]
        return cls(
            np.array([np.frombuffer(word.encode().rjust(_ROOM), np.uint64) for word in moved]),
            np.array(steps)[:, None],
            commas[0],
            groups,
            f"{end}}},".encode(),
        )


def _groups(sizes: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    groups: list[tuple[int, int, int]] = []
    first = 0
    for stop in range(1, len(sizes) + 1):
        some = sizes[first : stop + 1]
        if stop == len(sizes) or max(some) - min(some) > 1:
            groups.append((first, stop, max(sizes[first:stop])))
            first = stop
    return tuple(groups)


def bar_rows(shape: RowShape, starts_ns: Ints, columns: Sequence[Numbers]) -> tuple[Text, Ints]:
    """The rows (one or more), each with a comma behind it; and where each of them ends.

    *starts_ns* are whole minutes. *columns* hold finite numbers, each array those of one column or
    of several, one after the other. 500 bars take 0.15 ms.
    """
    n, joints = len(starts_ns), _joints(shape.end, starts_ns)
    texts = _texts(columns, len(shape.words) * n + 1)
    edges = (texts == ord(",")).nonzero()[0]
    sizes = (edges[1:] - edges[:-1]).reshape(-1, n)  # of each number with its comma
    widest = int(np.maximum.reduce(sizes, None))
    width = _WIDTHS[widest > _WIDTHS[0] - _ROOM]
    edges -= _ROOM - 1
    pieces = _windows(texts, width)[edges[:-1]]
    np.ndarray(sizes.shape, np.uint64, pieces, 0, (n * width, width))[:] = shape.words
    starts, stops = _places(shape, sizes, joints.itemsize)
    rows = np.empty(int(stops[-1]) + len(shape.end) + _WIDTHS[-1], np.uint8)
    for first, stop, room in shape.groups:
        at, size = first * n * width + _ROOM - room, room + widest
        own = np.ndarray((stop - first) * n, _bytes(size), pieces, at, (width,))
        _windows(rows, size)[starts[first:stop].reshape(-1)] = own
    _windows(rows, joints.itemsize)[starts[-1]] = joints
    rows[stops[-1] : stops[-1] + len(shape.end)] = np.frombuffer(shape.end, np.uint8)
    return rows[len(shape.end) :], stops


def _texts(columns: Sequence[Numbers], commas: int) -> Text:
    """All numbers, one column after the other, with a comma before and behind each."""
    lists = [
        orjson.dumps(np.ascontiguousarray(some), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        for some in columns
    ]
    least = commas * _SPARSE - sum(map(len, lists))
    parts = b" " * (_ROOM - 1), *lists, b" " * max(_WIDTHS[-1], least)
    return np.frombuffer(b",".join(parts), np.uint8)


def _places(shape: RowShape, sizes: Ints, joint: int) -> tuple[Ints, Ints]:
    """Where pieces begin, by column and row, and joints, in the last row; where rows stop.

    *sizes* are those of the numbers with their commas, and are changed. The end of a row takes the
    place of its last comma. Pieces are told with the end in front of the first row that its joint
    has, rows without.
    """
    sizes += shape.steps
    rows = np.add.reduce(sizes)
    rows += joint - 1 - shape.comma
    stops = rows.cumsum()
    starts = np.empty((len(sizes) + 1, len(rows)), np.int64)
    np.subtract(stops, rows, starts[-1])
    np.add(starts[-1], joint - shape.comma, starts[0])
    for column, some in enumerate(sizes[:-1]):  # cumsum() along this axis takes twice as long
        np.add(starts[column], some, starts[column + 1])
    return starts, stops


def _joints(end: bytes, starts_ns: Ints) -> npt.NDArray[np.void]:
    """What stands between rows: how the one before ends, and how one begins, with its time."""
    step_ns = even_step_ns(starts_ns)
    ends_ns = (starts_ns[0], starts_ns[-1]) if step_ns else _range(starts_ns)
    first, last = [int(end_ns) // DAY_NS for end_ns in ends_ns]
    if last - first >= _FEW_DAYS:
        return _joints_of_many_days(end, starts_ns // MINUTE_NS)
    known = [_joints_of_day(end, day) for day in range(first, last + 1)]
    joints = known[0] if len(known) == 1 else np.concatenate(known)
    if not step_ns:
        return joints[(starts_ns - first * DAY_NS) // MINUTE_NS]
    at, step = (int(ends_ns[0]) - first * DAY_NS) // MINUTE_NS, step_ns // MINUTE_NS
    return joints[at : at + step * len(starts_ns) : step]


def _range(starts_ns: Ints) -> tuple[np.int64, np.int64]:
    return np.minimum.reduce(starts_ns), np.maximum.reduce(starts_ns)


def _joints_of_many_days(end: bytes, minutes: Ints) -> npt.NDArray[np.void]:
    days = minutes // _DAY
    some, at = np.unique(days, return_inverse=True)  # each date is written once
    return _timed(end, some.astype("M8[D]").astype("S10")[at], _CLOCKS[minutes - days * _DAY])


def even_step_ns(starts_ns: Ints) -> int:
    """The distance between neighbours, where that is always the same and forward; else 0."""
    if len(starts_ns) < 2:
        return 0
    steps_ns = starts_ns[1:] - starts_ns[:-1]  # np.diff takes three times as long
    least_ns, most_ns = np.minimum.reduce(steps_ns), np.maximum.reduce(steps_ns)
    return int(least_ns) if 0 < least_ns == most_ns else 0


@functools.lru_cache(maxsize=64)  # 5 MB
def _joints_of_day(end: bytes, day: int) -> npt.NDArray[np.void]:
    """Those in front of all its minutes."""
    return _timed(end, np.array(day).astype("M8[D]").astype("S10").repeat(_DAY), _CLOCKS)


def _timed(
    end: bytes, dates: npt.NDArray[np.bytes_], clocks: npt.NDArray[np.bytes_]
) -> npt.NDArray[np.void]:
    before, behind = end + b'{"t":"', b'",'
    parts = [("before", len(before)), ("date", 10), ("clock", 10), ("behind", len(behind))]
    joints = np.empty(len(dates), [(name, f"S{size}") for name, size in parts])
    joints["before"], joints["behind"] = before, behind
    joints["date"], joints["clock"] = dates, clocks
    return joints.view(f"V{joints.itemsize}")


def _windows(text: Text, width: int) -> npt.NDArray[np.void]:
    """The bytes of *text* from each of its places on, *width* of them."""
    return np.ndarray(len(text) - width + 1, _bytes(width), text, 0, (1,))


@functools.cache  # of a few widths
def _bytes(width: int) -> np.dtype[np.void]:
    return np.dtype(f"V{width}")
