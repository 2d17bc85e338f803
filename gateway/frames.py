"""Batches of encoded items as WebSocket frames, ready for the socket. Pure.

Server frames are unmasked, so the same bytes are valid for every client.
Source: RFC 6455, section 5.2.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from gateway.channels import Codec

_FIN: Final = 0x80
_SHORT, _MEDIUM = 126, 65_536  # payload lengths from which the header is 4 and 10 bytes long
_SEPARATORS: Final = {Codec.JSON: b",", Codec.MSGPACK: b""}
_ARRAY_OVERHEAD: Final = 5  # bytes of the longest array header; JSON's brackets take two


class Fragment:
    """The items of one symbol and spelling in one window: joined once, shared by all clients."""

    __slots__ = ("_items", "_units", "body", "codec", "count")

    def __init__(self, items: Sequence[bytes], codec: Codec) -> None:
        self.body = _SEPARATORS[codec].join(items)
        self.codec, self.count = codec, len(items)
        self._items = items
        self._units: list[tuple[bytes, int]] = []

    def units(self, max_body_bytes: int) -> list[tuple[bytes, int]]:
        """Bodies of at most *max_body_bytes* with their numbers of items; made once.

        A body that is too long falls into quarters of the bound, which fill messages well.
        """
        if not self._units:
            if len(self.body) <= max_body_bytes:
                self._units = [(self.body, self.count)]
            else:
                self._units = list(self._cut(max_body_bytes // 4))
        return self._units

    def _cut(self, aim_bytes: int) -> Iterator[tuple[bytes, int]]:
        separator = _SEPARATORS[self.codec]
        first = size = 0
        for index, item in enumerate(self._items):
            if index > first and size + len(item) > aim_bytes:
                yield separator.join(self._items[first:index]), index - first
                first, size = index, 0
            size += len(item) + len(separator)
        yield separator.join(self._items[first:]), self.count - first


def frame(payload: bytes, codec: Codec) -> bytes:
    """One message in one frame, text or binary by *codec*."""
    return _header(len(payload), codec) + payload


def frame_batch(fragments: Sequence[Fragment], codec: Codec, max_message_bytes: int) -> bytes:
    """All *fragments* in order, as few messages of at most *max_message_bytes* as it takes.

    An item that is larger alone goes out alone. The bytes are copied once.
    """
    max_body_bytes = max_message_bytes - _ARRAY_OVERHEAD
    separator = len(_SEPARATORS[codec])
    pieces: list[bytes] = []
    bodies: list[bytes] = []
    size = count = 0
    units = chain.from_iterable(fragment.units(max_body_bytes) for fragment in fragments)
    for body, items in units:
        if bodies and size + len(body) > max_body_bytes:
            _add_message(pieces, bodies, size - separator, count, codec)
            bodies, size, count = [], 0, 0
        size += len(body) + separator
        bodies.append(body)
        count += items
    _add_message(pieces, bodies, size - separator, count, codec)
    return b"".join(pieces)


def _add_message(
    pieces: list[bytes], bodies: Sequence[bytes], size: int, count: int, codec: Codec
) -> None:
    """Add header and content of one message; *size* is that of *bodies* once joined."""
    if codec is Codec.MSGPACK:
        array = _array_header(count)
        pieces += (_header(size + len(array), codec), array)
        pieces += bodies
        return
    pieces += (_header(size + 2, codec), b"[", bodies[0])
    for body in bodies[1:]:
        pieces += (b",", body)
    pieces.append(b"]")


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    if count < _MEDIUM:
        return struct.pack(">BH", 0xDC, count)
    return struct.pack(">BI", 0xDD, count)


def _header(length: int, codec: Codec) -> bytes:
    first = _FIN | codec.value
    if length < _SHORT:
        return bytes((first, length))
    if length < _MEDIUM:
        return struct.pack(">BBH", first, _SHORT, length)
    return struct.pack(">BBQ", first, 127, length)
