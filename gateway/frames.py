"""Batches of encoded items as WebSocket frames, ready for the socket. Pure.

Server frames are unmasked, so the same bytes are valid for every client.
Source: RFC 6455, section 5.2.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from gateway.channels import Codec

_FIN: Final = 0x80
_SHORT, _MEDIUM = 126, 65_536  # payload lengths from which the header is 4 and 10 bytes long
_ARRAY_OVERHEAD: Final = 5  # bytes of the longest array header; JSON's brackets take two


class Fragment:
    """The items of one symbol and spelling in one window: joined once, shared by all clients."""

    __slots__ = ("body", "items")

    def __init__(self, items: Sequence[bytes], codec: Codec) -> None:
        self.items = items
        self.body = _joined(items, codec)


def frame(payload: bytes, codec: Codec) -> bytes:
    """One message in one frame, text or binary by *codec*."""
    return _header(len(payload), codec) + payload


def frame_batch(fragments: Sequence[Fragment], codec: Codec, max_message_bytes: int) -> bytes:
    """All *fragments* in order, as few messages of at most *max_message_bytes* as it takes.

    An item that is larger alone goes out alone.
    """
    body = _joined([fragment.body for fragment in fragments], codec)
    if len(body) + _ARRAY_OVERHEAD <= max_message_bytes:
        return _message(body, sum(len(f.items) for f in fragments), codec)
    return b"".join(_messages(fragments, codec, max_message_bytes - _ARRAY_OVERHEAD))


def _messages(fragments: Iterable[Fragment], codec: Codec, max_body_bytes: int) -> Iterator[bytes]:
    separator = len(_joined([b"", b""], codec))
    bodies: list[bytes] = []
    size = count = 0
    for body, items in _units(fragments, max_body_bytes):
        if bodies and size + separator + len(body) > max_body_bytes:
            yield _message(_joined(bodies, codec), count, codec)
            bodies, size, count = [], 0, 0
        size += len(body) + (separator if bodies else 0)
        bodies.append(body)
        count += items
    yield _message(_joined(bodies, codec), count, codec)


def _units(fragments: Iterable[Fragment], max_body_bytes: int) -> Iterator[tuple[bytes, int]]:
    for fragment in fragments:
        if len(fragment.body) <= max_body_bytes:
            yield fragment.body, len(fragment.items)
        else:
            yield from ((item, 1) for item in fragment.items)


def _joined(bodies: Sequence[bytes], codec: Codec) -> bytes:
    return (b"," if codec is Codec.JSON else b"").join(bodies)


def _message(body: bytes, count: int, codec: Codec) -> bytes:
    if codec is Codec.JSON:
        return b"".join((_header(len(body) + 2, codec), b"[", body, b"]"))
    array = _array_header(count)
    return b"".join((_header(len(body) + len(array), codec), array, body))


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
