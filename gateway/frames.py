"""Batches of encoded items as WebSocket frames, ready for the socket. Pure.

Server frames are unmasked, so the same bytes are valid for every client.
Source: RFC 6455, section 5.2.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gateway.channels import Codec

FIN: Final = 0x80
SHORT, MEDIUM = 126, 65_536  # payload lengths from which the header is 4 and 10 bytes long
SEPARATORS: Final = {codec: b"," if codec.is_text else b"" for codec in Codec}
"""What stands between two items of an array."""

ARRAY_OVERHEAD: Final = 5  # bytes of the longest array header; JSON's brackets take two
_MEDIUM_HEADER: Final = struct.Struct(">BBH").pack
_RSV1: Final = 0x40  # the payload is compressed
WINDOW_BITS: Final = 12
"""Of the compressor: 4 KiB are enough for messages of 16, as its memory is made anew for each."""

_MEMORY_LEVEL: Final = 5
_LEVEL: Final = 1


class Fragment:
    """Some items of one symbol and spelling: encoded once, shared by all clients.

    ``key`` names channel and spelling: of two fragments with one key the later replaces the
    earlier where only the newest is wanted; None is never replaced. One that ``adds`` replaces
    none: it says more of what came before.
    """

    __slots__ = ("_items", "_units", "adds", "body", "codec", "count", "key", "tail")

    def __init__(
        self,
        body: bytes,
        count: int,
        codec: Codec,
        *,
        items: Callable[[], Sequence[bytes]],
        key: tuple[str, str] | None = None,
        adds: bool = False,
    ) -> None:
        """*body* holds *count* items with separators between; *items* gives them one by one."""
        self.body, self.count, self.codec, self.key, self.adds = body, count, codec, key, adds
        self.tail = SEPARATORS[codec] + body  # as it stands behind another
        self._items = items
        self._units: list[tuple[bytes, int]] = []

    @classmethod
    def of(
        cls, items: Sequence[bytes], codec: Codec, *, key: tuple[str, str] | None = None
    ) -> "Fragment":
        """A fragment of finished items."""
        return cls(SEPARATORS[codec].join(items), len(items), codec, items=lambda: items, key=key)

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
        separator, items = SEPARATORS[self.codec], self._items()
        first = size = 0
        for index, item in enumerate(items):
            if index > first and size + len(item) > aim_bytes:
                yield separator.join(items[first:index]), index - first
                first, size = index, 0
            size += len(item) + len(separator)
        yield separator.join(items[first:]), self.count - first


def frame(payload: bytes, codec: Codec) -> bytes:
    """One message in one frame, text or binary by *codec*."""
    return _header(len(payload), codec) + payload


def frame_batch(
    fragments: Sequence[Fragment], codec: Codec, max_message_bytes: int, *, deflate: bool = False
) -> bytes:
    """All *fragments* in order, as few messages of at most *max_message_bytes* as it takes.

    An item that is larger alone goes out alone. With *deflate* each message is compressed by
    itself, and the bound is that of its content. Otherwise the bytes are copied once.
    """
    max_body_bytes = max_message_bytes - ARRAY_OVERHEAD
    content = [fragment.tail for fragment in fragments]
    content[0] = fragments[0].body
    size = sum(map(len, content))
    if size <= max_body_bytes and codec.is_text and not deflate:  # nearly always
        return b"".join((_header(size + 2, codec) + b"[", *content, b"]"))
    add = _add_deflated if deflate else _add_message
    pieces: list[bytes] = []
    content = []  # of a message, separators included
    size = count = 0
    for fragment in fragments:
        piece = fragment.tail if content else fragment.body
        if size + len(piece) <= max_body_bytes:
            content.append(piece)
            size += len(piece)
            count += fragment.count
            continue
        for body, items in fragment.units(max_body_bytes):
            piece = SEPARATORS[codec] + body if content else body
            if content and size + len(piece) > max_body_bytes:
                add(pieces, content, size, count, codec)
                content, size, count, piece = [], 0, 0, body
            content.append(piece)
            size += len(piece)
            count += items
    add(pieces, content, size, count, codec)
    return b"".join(pieces)


def _add_message(
    pieces: list[bytes], content: list[bytes], size: int, count: int, codec: Codec
) -> None:
    """Add header and content of one message; *size* is that of *content*."""
    if codec.is_text:
        pieces.append(_header(size + 2, codec) + b"[")
        pieces += content
        pieces.append(b"]")
    else:
        array = _array_header(count)
        pieces.append(_header(size + len(array), codec) + array)
        pieces += content


def _add_deflated(
    pieces: list[bytes], content: list[bytes], _size: int, count: int, codec: Codec
) -> None:
    """Add one compressed message. Source: RFC 7692, section 7.2.1."""
    if codec.is_text:
        payload = b"".join((b"[", *content, b"]"))
    else:
        payload = b"".join((_array_header(count), *content))
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -WINDOW_BITS, _MEMORY_LEVEL)
    packed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    packed = packed[:-4]  # the empty block at its end goes without saying
    pieces += (_header(len(packed), codec, _RSV1), packed)


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    if count < MEDIUM:
        return struct.pack(">BH", 0xDC, count)
    return struct.pack(">BI", 0xDD, count)


def _header(length: int, codec: Codec, flags: int = 0) -> bytes:
    first = FIN | flags | codec.opcode
    if length < SHORT:
        return bytes((first, length))
    if length < MEDIUM:
        return _MEDIUM_HEADER(first, SHORT, length)
    return struct.pack(">BBQ", first, 127, length)
