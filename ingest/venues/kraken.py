"""Kraken, WebSocket API v2: channel ``trade``; the venue sends ``heartbeat`` each second.

Source: docs.kraken.com, WebSocket API v2 (trade, heartbeat, status, ping).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec

from core.market.tick import Side, Tick
from ingest.errors import ParseError
from ingest.times import StampReader
from ingest.venues.protocol import MAX_ID, NO_HEADERS, Note, NoteKind, Parsed, SymbolCache, excerpt

_TAKER: Final = {"buy": Side.BUY, "sell": Side.SELL}


class _Trade(msgspec.Struct, gc=False):
    symbol: str
    side: str
    price: float
    qty: float
    trade_id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
    timestamp: str


class _Frame(msgspec.Struct):
    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw()
    method: str = ""
    success: bool = True
    error: str = ""
    symbol: str = ""


class Kraken:
    """The trades of some pairs over one connection."""

    name: str = "kraken"
    url: str = "wss://ws.kraken.com/v2"
    headers: Mapping[str, str] = NO_HEADERS

    def __init__(self, symbols: Sequence[str]) -> None:
        self._pairs = list(symbols)
        self._symbols = SymbolCache("KRAKEN", separator="/")
        self._stamps = StampReader()
        self._frames = msgspec.json.Decoder(_Frame)
        self._trades = msgspec.json.Decoder(list[_Trade], strict=False)
        self._one = msgspec.json.Decoder(_Trade, strict=False)
        self._items = msgspec.json.Decoder(list[msgspec.Raw])

    def subscribe_frames(self) -> list[str]:
        params = {"channel": "trade", "symbol": self._pairs, "snapshot": False}
        return [msgspec.json.encode({"method": "subscribe", "params": params}).decode()]

    def probe_frame(self) -> str | None:
        return '{"method":"ping"}'

    def parse(self, frame: str | bytes) -> Parsed:
        try:
            outer = self._frames.decode(frame)
            if outer.channel != "trade":
                return Parsed(notes=_notes(outer))
            ticks, errors = self._ticks(outer.data)
        except (ValueError, RecursionError) as exc:  # msgspec's errors are ValueErrors
            return Parsed(errors=[ParseError("kraken", str(exc), excerpt(frame))])
        if outer.type == "snapshot":
            return Parsed(history=ticks, errors=errors)
        return Parsed(ticks=ticks, errors=errors)

    def _ticks(self, data: msgspec.Raw) -> tuple[list[Tick], list[ParseError]]:
        """The trades of a frame; if any of them is malformed, all the others."""
        try:
            return [self._tick(trade) for trade in self._trades.decode(data)], []
        except (ValueError, KeyError):
            ticks: list[Tick] = []
            errors: list[ParseError] = []
            for item in self._items.decode(data):
                try:
                    ticks.append(self._tick(self._one.decode(item)))
                except (ValueError, KeyError) as exc:
                    errors.append(ParseError("kraken", str(exc), excerpt(bytes(item))))
            return ticks, errors

    def _tick(self, trade: _Trade) -> Tick:
        return Tick(
            self._symbols.get(trade.symbol),
            trade.trade_id,
            trade.price,
            trade.qty,
            self._stamps.read_ns(trade.timestamp),
            _TAKER[trade.side],
            trade.trade_id,
        )


def _notes(frame: _Frame) -> Sequence[Note]:
    if not frame.success:
        return (Note(NoteKind.REFUSED, f"{frame.error} {frame.symbol}".strip()),)
    if frame.method == "subscribe":
        return (Note(NoteKind.SUBSCRIBED, frame.symbol),)
    return ()
