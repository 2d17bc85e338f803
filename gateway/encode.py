"""Market messages as bytes: JSON and msgpack items, control messages. Pure.

An item is ``head + prefix + body``. The prefix holds `T` and the client's spelling of the symbol
and is made once per subscription; head and body are the same for every spelling and are made
once per message and codec.
"""

import functools
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, UnsetType

from core.market.bar import Bar
from core.market.block import Row
from core.market.tick import NO_ID, Side
from core.market.timeframe import SECOND_NS, Timeframe
from gateway import stock_shapes
from gateway.channels import Codec
from gateway.frames import SEPARATORS

Ident = int | UnsetType
Tail = tuple[bytes, bytes]
"""Head and body of an item: what every spelling of its symbol shares."""

_TAKER_SIDES: Final = {Side.BUY.value: "B", Side.SELL.value: "S"}
_MAX_SECOND_32: Final = 2**32
_TIMESTAMP_EXT: Final = -1
_TRADE: Final = struct.Struct(">3sd3sd4sQ")  # p, s, t: names and values in turn
_TRADE_ID: Final = struct.Struct(">3sq")
_SIDE_MSGPACK: Final = {
    side: b"\xa3tks" + msgspec.msgpack.encode(name) for side, name in _TAKER_SIDES.items()
}
_JSON: Final = msgspec.json.Encoder()
_TAKER: Final = tuple(_TAKER_SIDES.get(side.value, UNSET) for side in sorted(Side))


class _Trade(msgspec.Struct, tag_field="T", tag="t", gc=False):
    """A trade as JSON. In bulk twice as fast as text of our own, floats above all."""

    S: str
    p: float
    s: float
    t: str
    i: int | UnsetType
    tks: str | UnsetType


def rfc3339(time_ns: int) -> str:
    """UTC as the published protocol writes it: no fraction, or 3, 6 or 9 digits as needed."""
    second, fraction_ns = divmod(time_ns, SECOND_NS)
    return _second(second) + (_fraction(fraction_ns) if fraction_ns else "Z")


def timestamp(time_ns: int) -> bytes:
    """The payload of a msgpack timestamp (extension type -1) in its shortest form.

    Source: MessagePack specification, "Timestamp extension type".
    """
    second, fraction_ns = divmod(time_ns, SECOND_NS)
    if 0 <= second < _MAX_SECOND_32:
        if not fraction_ns:
            return struct.pack(">I", second)
        return struct.pack(">Q", fraction_ns << 34 | second)
    return struct.pack(">Iq", fraction_ns, second)


def time_value(time_ns: int, codec: Codec) -> str | msgspec.msgpack.Ext:
    """A time as a field of a message: text in JSON, a timestamp in msgpack."""
    if codec.is_text:
        return rfc3339(time_ns)
    return msgspec.msgpack.Ext(_TIMESTAMP_EXT, timestamp(time_ns))


def control(message: Mapping[str, Any], codec: Codec) -> bytes:
    """A control message, alone in an array of one."""
    if codec.is_text:
        return msgspec.json.encode([message])
    return msgspec.msgpack.encode([message])


def cursor(text: str, codec: Codec) -> bytes:
    """The item that ends a batch: where to go on after what came up to it."""
    message = {"T": "cursor", "c": text}
    return msgspec.json.encode(message) if codec.is_text else msgspec.msgpack.encode(message)


def prefix(kind: str, spelling: str, codec: Codec) -> bytes:
    """`T` and `S` of an item; *kind* is the message type, such as ``t``."""
    if codec.is_text:
        return f'"T":"{kind}","S":'.encode() + msgspec.json.encode(spelling) + b","
    return b"".join(map(msgspec.msgpack.encode, ("T", kind, "S", spelling)))


def trade_tails(rows: Iterable[Row], codec: Codec) -> list[Tail]:
    """Tails of trades (`T` is ``t``): p, s, t, i (left out without an id), tks (if known)."""
    return _trades_json(rows) if codec.is_text else _trades_msgpack(rows)


def bar_tail(bar: Bar, codec: Codec) -> Tail:
    """Tail of a bar (`T` is ``b``, ``u`` or ``r``).

    o, h, l, c, v, t, n, vw; then `tf` for all but 1-minute ``b`` and ``u``; `rev` where > 0,
    `final` where false, `gap` where true.
    """
    fields = {**_bar_fields(bar), "t": time_value(bar.start_ns, codec)}
    if codec.stocks:
        fields["v"] = stock_shapes.whole(bar.volume)
    if codec.is_text:
        return b"{", msgspec.json.encode(fields)[1:]
    body = msgspec.msgpack.encode(fields)
    return bytes((body[0] + 2,)), body[1:]  # a fixmap: two more fields come in the prefix


def trades(rows: Iterable[Row], spelling: str, codec: Codec) -> bytes:
    """Trades of one symbol as the inside of an array: items without its brackets or header."""
    if codec.stocks:
        return stock_shapes.trades(spelling, _stock_columns(rows, codec), codec)
    if codec.is_text:
        return _JSON.encode(_structs(rows, spelling))[1:-1]
    return b"".join(items(prefix("t", spelling, codec), trade_tails(rows, codec)))


def trade_columns(spelling: str, columns: Sequence[Sequence[Any]], codec: Codec) -> bytes:
    """As :func:`trades` as text, from columns: prices, sizes, times as text, idents and takers."""
    if codec.stocks:
        return stock_shapes.trades(spelling, columns[:-1], codec)
    return _JSON.encode(list(map(_Trade, repeat(spelling), *columns)))[1:-1]


def _stock_columns(rows: Iterable[Row], codec: Codec) -> stock_shapes.Columns:
    _, times_ns, _, trade_ids, prices, sizes, _ = zip(*rows, strict=True)
    times = [time_value(time_ns, codec) for time_ns in times_ns]
    return prices, sizes, times, idents(list(trade_ids))


def idents(trade_ids: list[int]) -> list[Ident]:
    """Trade ids as they are encoded: left out where there is none."""
    if NO_ID in trade_ids:
        return [UNSET if trade_id == NO_ID else trade_id for trade_id in trade_ids]
    return cast("list[Ident]", trade_ids)


def takers(sides: Iterable[int]) -> list[str | UnsetType]:
    """Sides as they are encoded: left out where they are unknown."""
    return [_TAKER[side] for side in sides]


def bars(some: Iterable[Bar], kind: str, spelling: str, codec: Codec) -> bytes:
    """Bars of one symbol as the inside of an array; *kind* is their `T`."""
    return SEPARATORS[codec].join(items(prefix(kind, spelling, codec), bar_tails(some, codec)))


def items(prefix: bytes, tails: Sequence[Tail]) -> list[bytes]:
    """The finished items of one spelling."""
    return [head + prefix + body for head, body in tails]


def bar_tails(bars: Iterable[Bar], codec: Codec) -> list[Tail]:
    """:func:`bar_tail` of each."""
    return [bar_tail(bar, codec) for bar in bars]


def _bar_fields(bar: Bar) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "o": bar.open,
        "h": bar.high,
        "l": bar.low,
        "c": bar.close,
        "v": bar.volume,
        "t": None,
        "n": bar.trades,
        "vw": bar.vwap,
    }
    if bar.timeframe is not Timeframe.MIN_1 or not bar.final:
        fields["tf"] = bar.timeframe.value
    if bar.rev:
        fields["rev"] = bar.rev
    if not bar.final:
        fields["final"] = False
    if bar.gap:
        fields["gap"] = True
    return fields


def _trades_json(rows: Iterable[Row]) -> list[Tail]:
    """The tails are cut from whole items: an empty spelling ends where the body begins."""
    head, cut = b"{", len(prefix("t", "", Codec.JSON)) + 1
    return [(head, _JSON.encode(trade)[cut:]) for trade in _structs(rows, "")]


def _trades_msgpack(rows: Iterable[Row]) -> list[Tail]:
    tails: list[Tail] = []
    for _, event_ns, _, trade_id, price, size, side in rows:
        second, fraction_ns = divmod(event_ns, SECOND_NS)
        time = fraction_ns << 34 | second  # event times are after 1990 and before 2514
        body = _TRADE.pack(b"\xa1p\xcb", price, b"\xa1s\xcb", size, b"\xa1t\xd7\xff", time)
        fields = 5
        if trade_id != NO_ID:
            body += _TRADE_ID.pack(b"\xa1i\xd3", trade_id)
            fields += 1
        taker = _SIDE_MSGPACK.get(side)
        if taker is not None:
            body += taker
            fields += 1
        tails.append((bytes((0x80 | fields,)), body))
    return tails


def _structs(rows: Iterable[Row], spelling: str) -> list[_Trade]:
    """Trades come in bursts that share a second; its text is made once."""
    found: list[_Trade] = []
    start_ns, text = 0, ""
    for _, event_ns, _, ident, price, size, side in rows:
        into_ns = event_ns - start_ns
        if not 0 <= into_ns < SECOND_NS:
            second, into_ns = divmod(event_ns, SECOND_NS)
            start_ns, text = event_ns - into_ns, _second(second)
        if into_ns % 1_000:  # nine digits; cut from a number with ten, twice as fast as padding
            time = f"{text}.{str(into_ns + SECOND_NS)[1:]}Z"
        else:
            time = text + _fraction(into_ns)
        trade_id = UNSET if ident == NO_ID else ident
        found.append(_Trade(spelling, price, size, time, trade_id, _TAKER[side]))
    return found


@functools.lru_cache(maxsize=1_024)  # a window's symbols share it; last trades are of many
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


def _fraction(fraction_ns: int) -> str:
    if not fraction_ns:
        return "Z"
    if fraction_ns % 1_000:
        return f".{str(fraction_ns + SECOND_NS)[1:]}Z"
    if fraction_ns % 1_000_000:
        return f".{fraction_ns // 1_000:06d}Z"
    return f".{fraction_ns // 1_000_000:03d}Z"
