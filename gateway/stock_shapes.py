"""What is different in messages of stocks: fields that name market and tape, whole sizes. Pure.

Source: docs.alpaca.markets, Real-time Stock Data.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Final

import msgspec
from msgspec import UnsetType
from msgspec.msgpack import Ext

from gateway.channels import Codec

EXCHANGE: Final = "E"
"""What `x` says: market independent. Readers of the published protocol refuse messages without
one of the letters that they know."""

TAPE: Final = "O"
"""What `z` says: none of the three consolidated tapes."""

_MAX_WHOLE: Final = 2.0**53  # larger floats are whole for want of room, and too large to encode
_JSON: Final = msgspec.json.Encoder()
_MSGPACK: Final = msgspec.msgpack.Encoder()

Columns = Sequence[Sequence[Any]]


class StockTrade(msgspec.Struct, tag_field="T", tag="t", gc=False):
    """A trade of a stock: ``i`` its id, where the venue gives one; ``c`` its conditions: none."""

    S: str
    i: int | UnsetType
    x: str
    p: float
    s: int | float
    c: tuple[()]
    z: str
    t: str | Ext


def whole(size: float) -> int | float:
    """*size* as an integer, as typed clients read it; what is no whole number stays as it is."""
    return int(size) if size.is_integer() and abs(size) <= _MAX_WHOLE else size


def shaped_size(size: float, codec: Codec) -> int | float:
    """*size* as a session with *codec* gets it."""
    return whole(size) if codec.stocks else size


def trades(spelling: str, columns: Columns, codec: Codec) -> bytes:
    """Trades of one stock as the inside of an array.

    *columns* are prices, sizes, times (text, or timestamps for msgpack) and idents.
    """
    prices, sizes, times, idents = columns
    made = map(
        StockTrade,
        repeat(spelling),
        idents,
        repeat(EXCHANGE),
        prices,
        map(whole, sizes),
        repeat(()),
        repeat(TAPE),
        times,
    )
    return _joined(made, codec)


def _joined(made: Iterable[StockTrade], codec: Codec) -> bytes:
    if codec.is_text:
        return _JSON.encode(list(made))[1:-1]
    return b"".join(map(_MSGPACK.encode, made))
