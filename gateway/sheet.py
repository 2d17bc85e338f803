"""The batches of many groups at once, as tables of pieces of shared buffers. Pure.

Groups with different subscriptions share nothing but their fragments. So a window's fragments are
put into one buffer, a *shelf*, and a batch is a list of places in it, with the frames' heads in
between. Lists of thousands of batches are made by a few operations on whole columns.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from gateway.channels import Codec
from gateway.frames import ARRAY_OVERHEAD, FIN, MEDIUM, SEPARATORS, SHORT, Fragment

if TYPE_CHECKING:
    from gateway.routes import Variant

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

CURSOR: Final = 0
"""The code that stands for the cursor, last among those of a group that wants one."""

_PACKED: Final = np.dtype(np.intc)  # as array packs "i"
_HEAD_BYTES: Final = 16  # room for one: up to 10 of the frame, up to 5 of the array
_FEW, _MANY = 16, 65_536  # items from which an array's header is 3 and 5 bytes long
_LEFT_BRACKET: Final = ord("[")


class Shelf:
    """The fragments of a window by the codes of their variants, in one buffer.

    A fragment that is too large for a message lies there in several pieces.
    """

    def __init__(
        self,
        fragments: Mapping["Variant", Fragment],
        cursor: Fragment | None,
        *,
        codec: Codec,
        limit_bytes: int,
    ) -> None:
        """All *fragments* are in *codec*; *limit_bytes* bounds a message."""
        self.codec, self.max_body_bytes = codec, limit_bytes - ARRAY_OVERHEAD
        coded = {variant.code: fragment for variant, fragment in fragments.items()}
        if cursor is not None:
            coded[CURSOR] = cursor
        pieces: list[tuple[bytes, int]] = []  # with the items in each
        first: list[int] = []
        for fragment in coded.values():
            first.append(len(pieces))
            pieces += self._pieces(fragment)
        codes = list(coded)
        self.buffer = b"".join([piece for piece, _ in pieces]) + b"]"
        self.close_at = len(self.buffer) - 1  # where the end of a JSON array lies
        self.size = np.array([len(piece) for piece, _ in pieces], np.int64)
        self.at = np.cumsum(self.size) - self.size
        self.items = np.array([count for _, count in pieces], np.int64)
        self.messages = self.items  # of these what is data
        if cursor is not None:
            self.messages = self.items.copy()
            self.messages[first[-1] :] = 0
        self._first = np.zeros(max(codes, default=0) + 1, np.int64)
        self._pieces_of = np.zeros_like(self._first)
        self._first[codes] = first
        self._pieces_of[codes] = np.diff(first, append=len(pieces))

    def find(self, codes: Ints) -> tuple[Ints, Ints]:
        """The pieces of each of *codes* in turn, and which of *codes* each belongs to."""
        known = np.flatnonzero(codes < len(self._first))
        numbers = self._pieces_of[codes[known]]
        there = np.flatnonzero(numbers)
        known, numbers = known[there], numbers[there]
        first = self._first[codes[known]]
        if len(numbers) and int(numbers.max()) > 1:
            known = np.repeat(known, numbers)
            into = np.arange(len(known)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
            first = np.repeat(first, numbers) + into
        return first, known

    def _pieces(self, fragment: Fragment) -> Iterable[tuple[bytes, int]]:
        """With a separator before each."""
        if len(fragment.body) <= self.max_body_bytes:
            return ((fragment.tail, fragment.count),)
        separator = SEPARATORS[self.codec]
        return [(separator + body, n) for body, n in fragment.units(self.max_body_bytes)]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Batches, each a range of rows of pieces: places in the shelf's buffer, then in ``heads``.

    Batch *i* has the rows from ``rows[i]`` up to ``rows[i + 1]``; a group that gets nothing has
    none. ``size`` is in bytes, ``messages`` counts what is data.
    """

    buffer: bytes
    heads: bytes  # its places begin behind those of the buffer
    at: Ints
    length: Ints
    rows: Ints
    size: Ints
    messages: Ints

    def framed(self, number: int) -> bytes:
        """Batch *number* as the frames that go into a socket."""
        start, stop = self.rows[number], self.rows[number + 1]
        buffer, heads = memoryview(self.buffer), memoryview(self.heads)
        border = len(self.buffer)
        return b"".join(
            buffer[at : at + length] if at < border else heads[at - border : at - border + length]
            for at, length in zip(
                self.at[start:stop].tolist(), self.length[start:stop].tolist(), strict=True
            )
        )


def packed(codes: Iterable[int]) -> bytes:
    """The codes of a group in little memory."""
    return array("i", codes).tobytes()


def lay(shelf: Shelf, groups: Sequence[bytes]) -> Sheet:
    """The batches of *groups*, each given by its :func:`packed` codes.

    Each batch has the group's fragments in order, in as few messages of the bound as it takes,
    as :func:`gateway.frames.frame_batch` would.
    """
    codes = np.frombuffer(b"".join(groups), _PACKED).astype(np.int64)
    numbers = np.fromiter(map(len, groups), np.int64, len(groups)) // _PACKED.itemsize
    piece, which = shelf.find(codes)
    owner = np.repeat(np.arange(len(groups)), numbers)[which]
    messages = _sums(shelf.messages[piece], owner, len(groups))
    wanted = messages[owner] > 0  # else there is a cursor alone
    piece, owner = piece[wanted], owner[wanted]
    if not len(piece):
        nothing = np.zeros(len(groups) + 1, np.int64)
        none = np.empty(0, np.int64)
        return Sheet(shelf.buffer, b"", none, none, nothing, nothing[1:], messages)
    room = shelf.max_body_bytes + len(SEPARATORS[shelf.codec])  # the first needs none
    first = _first_of_messages(owner, shelf.size[piece], room)
    return _sheet(shelf, piece, owner, first, messages)


def _first_of_messages(owner: Ints, size: Ints, max_bytes: int) -> Ints:
    """The pieces with which messages begin: each takes what it can of one owner's.

    In turns, a message for each owner that has pieces left. A piece that is too large goes alone.
    """
    total = np.cumsum(size)
    begin = np.flatnonzero(np.diff(owner, prepend=-1))
    end = np.append(begin[1:], len(owner))
    found = [begin]
    while True:
        fits = np.searchsorted(total, total[begin] - size[begin] + max_bytes, side="right")
        begin = np.maximum(fits, begin + 1)
        left = begin < end
        begin, end = begin[left], end[left]
        if not len(begin):
            return np.sort(np.concatenate(found))
        found.append(begin)


def _sheet(shelf: Shelf, piece: Ints, owner: Ints, first: Ints, messages: Ints) -> Sheet:
    """Put heads and ends around the messages that begin at the pieces *first*."""
    size = shelf.size[piece]
    heads, head_size = _heads(
        shelf.codec, np.add.reduceat(size, first), np.add.reduceat(shelf.items[piece], first)
    )
    has_end = shelf.codec.is_text
    number = np.diff(first, append=len(piece)) + 1 + has_end  # of rows, for each message
    stop = np.cumsum(number)
    start = stop - number
    at, length = np.empty((2, stop[-1]), np.int64)
    inner = np.ones(len(at), bool)
    inner[start] = False
    at[start] = len(shelf.buffer) + np.arange(len(first)) * _HEAD_BYTES
    length[start] = head_size
    if has_end:
        inner[stop - 1] = False
        at[stop - 1], length[stop - 1] = shelf.close_at, 1
    at[inner], length[inner] = shelf.at[piece], size
    comma = len(SEPARATORS[shelf.codec])  # not before the first
    at[start + 1] += comma
    length[start + 1] -= comma
    of = owner[first]
    rows = np.append(0, np.cumsum(_sums(number, of, len(messages))))
    sizes = _sums(np.add.reduceat(length, start), of, len(messages))
    return Sheet(shelf.buffer, heads, at, length, rows, sizes, messages)


def _sums(values: Ints, owner: Ints, owners: int) -> Ints:
    """The sum of the values of each owner; exact below 2**53."""
    return np.bincount(owner, values, owners).astype(np.int64)


def _heads(codec: Codec, size: Ints, items: Ints) -> tuple[bytes, Ints]:
    """What stands before the pieces of each message, which take *size* bytes; and how long it is.

    Of a frame, source: RFC 6455, section 5.2. Of an array, source: the MessagePack specification.
    """
    heads = np.zeros((len(size), _HEAD_BYTES), np.uint8)
    if codec.is_text:
        array = np.ones_like(size)
        payload = size + 1  # brackets, and a comma less
    else:
        array = np.where(items < _FEW, 1, np.where(items < _MANY, 3, 5))
        payload = size + array
    frame = np.where(payload < SHORT, 2, np.where(payload < MEDIUM, 4, 10))
    heads[:, 0] = FIN | codec.opcode
    heads[:, 1] = np.where(frame == 2, payload, np.where(frame == 4, SHORT, SHORT + 1))
    _big_endian(heads, frame == 4, 2, payload, 2)
    _big_endian(heads, frame == 10, 2, payload, 8)
    each = np.arange(len(size))
    if codec.is_text:
        heads[each, frame] = _LEFT_BRACKET
    else:
        heads[each, frame] = np.where(array == 1, 0x90 | items, np.where(array == 3, 0xDC, 0xDD))
        _big_endian(heads, array == 3, frame + 1, items, 2)
        _big_endian(heads, array == 5, frame + 1, items, 4)
    return heads.tobytes(), frame + array


def _big_endian(
    heads: Bytes, some: npt.NDArray[np.bool_], at: Ints | int, value: Ints, width: int
) -> None:
    """Write *value* into the rows *some*, from the column *at* on."""
    chosen = np.flatnonzero(some)
    if len(chosen):
        column = at[chosen] if isinstance(at, np.ndarray) else at
        for byte in range(width):
            heads[chosen, column + byte] = value[chosen] >> 8 * (width - 1 - byte) & 0xFF
