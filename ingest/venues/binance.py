"""Binance spot: ``trade`` streams, raw or wrapped by the combined stream.

``aggTrade`` frames are read too, so that an address that pushes them works; nobody subscribes
to both. Source: developers.binance.com, Spot, WebSocket streams.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from core.market.tick import NO_ID, Side, Tick
from ingest.errors import ParseError
from ingest.venues.protocol import MAX_ID, NO_HEADERS, Note, NoteKind, Parsed, SymbolCache, excerpt

_MICROSECONDS: Final = 9 * 10**12
"""Times from here on are µs (``timeUnit=MICROSECOND`` in the address), smaller ones ms: as ms
this is the year 2255, as µs the first April after the epoch."""

_Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID // 10**3)]


class _Trade(msgspec.Struct, gc=False):
    symbol: str = msgspec.field(name="s")
    price: float = msgspec.field(name="p")
    size: float = msgspec.field(name="q")
    time: _Time = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")
    trade_id: _Id = msgspec.field(name="t", default=NO_ID)
    aggregate_id: _Id = msgspec.field(name="a", default=NO_ID)


class _Event(msgspec.Struct, gc=False):
    """Only what tells the events apart: other events give the same letters other types."""

    event: str = msgspec.field(name="e", default="")


class _Problem(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Frame(msgspec.Struct):
    event: str = msgspec.field(name="e", default="")
    inner: msgspec.Raw = msgspec.field(name="data", default=msgspec.Raw())
    request: Any = msgspec.field(name="id", default=None)
    error: _Problem | None = None
    code: int = 0
    msg: str = ""


class Binance:
    """The trades of some symbols over one connection, which the venue ends after 24 hours."""

    name: str = "binance"
    url: str = "wss://stream.binance.com:9443/stream"
    headers: Mapping[str, str] = NO_HEADERS

    def __init__(self, symbols: Sequence[str]) -> None:
        self._streams = [f"{symbol.lower()}@trade" for symbol in symbols]
        self._symbols = SymbolCache("BINANCE")
        # strict=False: the decimal strings become the nearest float while decoding
        self._trades = msgspec.json.Decoder(_Trade, strict=False)
        self._frames = msgspec.json.Decoder(_Frame)
        self._events = msgspec.json.Decoder(_Event)

    def subscribe_frames(self) -> list[str]:
        request = {"method": "SUBSCRIBE", "params": self._streams, "id": 1}
        return [msgspec.json.encode(request).decode()]

    def probe_frame(self) -> str | None:
        return '{"method":"LIST_SUBSCRIPTIONS","id":2}'

    def parse(self, frame: str | bytes) -> Parsed:
        try:
            outer = self._frames.decode(frame)
            inner: str | bytes | msgspec.Raw = frame
            event = outer.event
            if outer.inner:
                inner = outer.inner
                event = self._events.decode(inner).event
            if event in ("trade", "aggTrade"):
                return Parsed(ticks=(self._tick(self._trades.decode(inner), event),))
        except (ValueError, RecursionError) as exc:  # msgspec's errors are ValueErrors
            return Parsed(errors=[ParseError("binance", str(exc), excerpt(frame))])
        if event == "serverShutdown":
            return Parsed(notes=(Note(NoteKind.LEAVING, "the server is about to restart"),))
        return Parsed(notes=_notes(outer))

    def _tick(self, trade: _Trade, event: str) -> Tick:
        trade_id = trade.trade_id if event == "trade" else trade.aggregate_id
        if trade_id == NO_ID:
            raise ValueError(f"a {event} without id")
        return Tick(
            self._symbols.get(trade.symbol),
            trade_id,
            trade.price,
            trade.size,
            trade.time * (1_000 if trade.time >= _MICROSECONDS else 1_000_000),
            Side.SELL if trade.buyer_is_maker else Side.BUY,
            trade_id,
        )


def _notes(frame: _Frame) -> Sequence[Note]:
    problem = frame.error or _Problem(frame.code, frame.msg)
    if problem.code or problem.msg:
        return (Note(NoteKind.REFUSED, f"{problem.msg} (code {problem.code})"),)
    return (Note(NoteKind.SUBSCRIBED, "subscribed"),) if frame.request == 1 else ()
