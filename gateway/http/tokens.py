"""Page tokens: where the next page goes on, opaque to the caller. Pure.

A token is base64url (no padding) of a msgpack array: version, checksum, the last bar's symbol and
start, and the range of the first page, so that a default ``end`` of "now" does not move between
pages. The checksum runs over the query too: a token fits the query that it came from, only.
It is no signature; a forged token can do nothing that a query could not.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from core.market.symbol import Symbol

VERSION: Final = 1
_MAX_CHARS: Final = 256  # of a token; ours have about 80


class Position(msgspec.Struct, frozen=True, array_like=True):
    """The last bar of a page, and the first page's range: nanoseconds, UTC, inclusive."""

    symbol: Symbol
    time_ns: int
    start_ns: int
    end_ns: int


class _Token(msgspec.Struct, frozen=True, array_like=True):
    version: int
    checksum: bytes
    position: Position


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Token)


def encode_token(position: Position, query: Sequence[str]) -> str:
    """The token that leads on from *position* in the answer to *query*."""
    token = _Token(VERSION, _checksum(position, query), position)
    return base64.urlsafe_b64encode(_ENCODER.encode(token)).rstrip(b"=").decode()


def decode_token(text: str, query: Sequence[str]) -> Position:
    """Read a token that :func:`encode_token` gave for the same *query*.

    Raises:
        ValueError: not a token of this version, damaged, or given for another query.
    """
    if len(text) > _MAX_CHARS:
        raise ValueError("longer than any token")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        token = _DECODER.decode(packed)
    except (binascii.Error, UnicodeError, msgspec.DecodeError, ValueError) as exc:
        raise ValueError("not a token that a page came with") from exc
    if token.version != VERSION:
        raise ValueError(f"of version {token.version}, this server gives version {VERSION}")
    if token.checksum != _checksum(token.position, query):
        raise ValueError("damaged, or it came with a page of another query")
    return token.position


def _checksum(position: Position, query: Sequence[str]) -> bytes:
    return hashlib.blake2b(_ENCODER.encode((list(query), position)), digest_size=8).digest()
