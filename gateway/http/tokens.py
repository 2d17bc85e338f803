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
from typing import Final, Generic, TypeVar

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


class TradePosition(msgspec.Struct, frozen=True, array_like=True):
    """As :class:`Position`, of trades: the last one, and how many of its very key there were."""

    symbol: Symbol
    key: tuple[int, int, int]  # event time, sequence, id
    count: int
    start_ns: int
    end_ns: int


P = TypeVar("P", Position, TradePosition)


class _Token(msgspec.Struct, Generic[P], frozen=True, array_like=True):
    version: int
    checksum: bytes
    position: P


_ENCODER: Final = msgspec.msgpack.Encoder()


def encode_token(position: Position | TradePosition, query: Sequence[str]) -> str:
    """The token that leads on from *position* in the answer to *query*."""
    token = (VERSION, _checksum(position, query), position)
    return base64.urlsafe_b64encode(_ENCODER.encode(token)).rstrip(b"=").decode()


def decode_token(text: str, query: Sequence[str]) -> Position:
    """Read a token that :func:`encode_token` gave for a page of bars in answer to *query*.

    Raises:
        ValueError: not a token of this version, damaged, or given for another query.
    """
    return _decoded(text, query, _Token[Position])


def decode_trade_token(text: str, query: Sequence[str]) -> TradePosition:
    """The same for a page of trades.

    Raises:
        ValueError: not a token of this version, damaged, or given for another query.
    """
    return _decoded(text, query, _Token[TradePosition])


def _decoded(text: str, query: Sequence[str], shape: type[_Token[P]]) -> P:
    """Read a token of that *shape*.

    Raises:
        ValueError: not a token of this version, damaged, or given for another query.
    """
    if len(text) > _MAX_CHARS:
        raise ValueError("longer than any token")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        token = msgspec.msgpack.decode(packed, type=shape)
    except (binascii.Error, UnicodeError, msgspec.DecodeError, ValueError) as exc:
        raise ValueError("not a token that a page came with") from exc
    if token.version != VERSION:
        raise ValueError(f"of version {token.version}, this server gives version {VERSION}")
    if token.checksum != _checksum(token.position, query):
        raise ValueError("damaged, or it came with a page of another query")
    return token.position


def _checksum(position: Position | TradePosition, query: Sequence[str]) -> bytes:
    return hashlib.blake2b(_ENCODER.encode((list(query), position)), digest_size=8).digest()
