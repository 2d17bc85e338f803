"""Coinbase Exchange: channel ``matches``, with ``heartbeat`` once a second and product.

Source: docs.cdp.coinbase.com, Exchange WebSocket channels (matches, heartbeat, subscriptions).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec

from core.market.tick import NO_ID, Side, Tick
from ingest.errors import ParseError
from ingest.times import StampReader
from ingest.venues.protocol import MAX_ID, NO_HEADERS, Note, NoteKind, Parsed, SymbolCache, excerpt

_TAKER: Final = {"buy": Side.SELL, "sell": Side.BUY}
"""The taker's side by the frame's ``side``, which is that of the maker, whose order rested."""


class _Message(msgspec.Struct, gc=False):
    """The union of the messages that matter; price and size come as decimal strings."""

    type: str
    product_id: str = ""
    trade_id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)] = NO_ID
    price: float | msgspec.UnsetType = msgspec.UNSET
    size: float | msgspec.UnsetType = msgspec.UNSET
    side: str = ""
    time: str = ""
    message: str = ""
    reason: str = ""
    channels: msgspec.Raw = msgspec.Raw()


class Coinbase:
    """The matches of some products over one connection."""

    name: str = "coinbase"
    url: str = "wss://ws-feed.exchange.coinbase.com"
    headers: Mapping[str, str] = NO_HEADERS

    def __init__(self, symbols: Sequence[str]) -> None:
        self._products = list(symbols)
        self._symbols = SymbolCache("COINBASE")
        self._stamps = StampReader()
        # strict=False: the decimal strings become the nearest float while decoding
        self._decoder = msgspec.json.Decoder(_Message, strict=False)

    def subscribe_frames(self) -> list[str]:
        channels = ["matches", "heartbeat"]
        request = {"type": "subscribe", "product_ids": self._products, "channels": channels}
        return [msgspec.json.encode(request).decode()]

    def probe_frame(self) -> str | None:
        return None

    def parse(self, frame: str | bytes) -> Parsed:
        try:
            message = self._decoder.decode(frame)
            kind = message.type
            if kind == "match":
                return Parsed(ticks=(self._tick(message),))
            if kind == "last_match":
                return Parsed(history=(self._tick(message),))
        except (ValueError, KeyError, RecursionError) as exc:  # msgspec's errors are ValueErrors
            return Parsed(errors=[ParseError("coinbase", str(exc), excerpt(frame))])
        if kind == "error":
            text = f"{message.message}: {message.reason}".strip(": ")
            return Parsed(notes=(Note(NoteKind.REFUSED, text),))
        if kind == "subscriptions":
            return Parsed(notes=(Note(NoteKind.SUBSCRIBED, bytes(message.channels).decode()),))
        return Parsed()

    def _tick(self, message: _Message) -> Tick:
        trade_id, price, size = message.trade_id, message.price, message.size
        if trade_id == NO_ID or price is msgspec.UNSET or size is msgspec.UNSET:
            raise ValueError("a match without trade_id, price or size")
        return Tick(
            self._symbols.get(message.product_id),
            trade_id,
            price,
            size,
            self._stamps.read_ns(message.time),
            _TAKER[message.side],
            trade_id,
        )
