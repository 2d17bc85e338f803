"""Alpaca market data v2: trades, corrections and cancels, in JSON or msgpack.

Spoken by Alpaca's stock and crypto streams, and by tickgate itself, so that one gateway can be
the feed of another. Source: docs.alpaca.markets, Market Data: WebSocket Stream, Real-time Stock
Data; the shapes of ``c`` and ``x`` as alpaca-py reads them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec.msgpack import Ext

from core.market.notice import Cancel, CancelAction, Correction, Notice
from core.market.symbol import Symbol
from core.market.tick import LEAST_AMOUNT, MOST_AMOUNT, NO_ID, Side, Tick
from ingest.errors import ParseError
from ingest.items import hashed_id
from ingest.times import StampReader, timestamp_ns
from ingest.venues.protocol import MAX_ID, Note, NoteKind, Parsed, SymbolCache, excerpt

MSGPACK: Final = "application/msgpack"
_TAKER: Final = {"B": Side.BUY, "S": Side.SELL, "": Side.UNKNOWN}
_NOWHERE: Final = (
    "E"  # "market independent": no trade takes place there, and tickgate says so of all
)
_ID_BITS: Final = 48  # with five for a letter, ids stay below 2^53: JavaScript reads them exactly
_TIMESTAMP: Final = -1  # the extension type; source: MessagePack specification

_Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
_Amount = Annotated[float, msgspec.Meta(ge=LEAST_AMOUNT, le=MOST_AMOUNT)]


class _Kind(msgspec.Struct, gc=False):
    """Only what tells the messages apart: others give the same letters other types."""

    T: str = ""


class _Trade(msgspec.Struct, gc=False):
    S: str
    p: float
    s: float
    t: str | Ext
    i: _Id = NO_ID
    x: str | None = None
    tks: str = ""


class _Correction(msgspec.Struct, gc=False):
    S: str
    t: str | Ext
    oi: _Id
    op: float
    os: float
    ci: _Id
    cp: _Amount
    cs: _Amount
    x: str | None = None


class _Cancel(msgspec.Struct, gc=False):
    S: str
    t: str | Ext
    i: _Id
    p: _Amount
    s: _Amount
    a: str = CancelAction.CANCEL.value
    x: str | None = None
    tks: str = ""


class _Control(msgspec.Struct):
    msg: str = ""
    code: int = 0


class _Codec:
    """The decoders of JSON, or of msgpack."""

    def __init__(self, kind: Any) -> None:
        self.items: Callable[[Any], list[msgspec.Raw]] = kind(list[msgspec.Raw]).decode
        self.kind: Callable[[Any], _Kind] = kind(_Kind).decode
        self.trade: Callable[[Any], _Trade] = kind(_Trade).decode
        self.correction: Callable[[Any], _Correction] = kind(_Correction).decode
        self.cancel: Callable[[Any], _Cancel] = kind(_Cancel).decode
        self.control: Callable[[Any], _Control] = kind(_Control).decode


class Alpaca:
    """The trades of some symbols over one connection, with what is said about them later."""

    name: str = "alpaca"
    url: str = "wss://stream.data.alpaca.markets/v2/iex"

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        venue: str = "ALPACA",
        key: str = "",
        secret: str = "",
        msgpack: bool = False,
        per_exchange: bool = False,
    ) -> None:
        """*symbols* as the other side spells them, or ``*``; without *key* nobody logs in.

        *venue* is the first part of the symbols that come without one. *per_exchange*: each
        exchange counts its trades for itself.
        """
        self._own_id = exchange_id if per_exchange else _same_id
        self.headers: Mapping[str, str] = {"Content-Type": MSGPACK} if msgpack else {}
        self._encode = msgspec.msgpack.encode if msgpack else msgspec.json.encode
        self._is_binary = msgpack
        self._names, self._login = list(symbols), (key, secret)
        self._venues: dict[str, SymbolCache] = {}
        self._venue = venue
        self._stamps = StampReader()
        self._codecs = {False: _Codec(msgspec.json.Decoder), True: _Codec(msgspec.msgpack.Decoder)}

    def subscribe_frames(self) -> list[str | bytes]:
        return []  # the other side speaks first

    def probe_frame(self) -> str | bytes | None:
        return self._subscription()  # adds nothing, and is answered with the whole set

    def parse(self, frame: str | bytes) -> Parsed:
        binary = isinstance(frame, bytes) and frame[:1] not in (b"[", b"{")
        codec = self._codecs[binary]
        parsed = _Frame()
        try:
            for item in codec.items(frame):
                try:
                    self._take(codec, item, parsed)
                except (
                    ValueError,
                    KeyError,
                    RecursionError,
                ) as exc:  # msgspec's errors are ValueErrors
                    parsed.errors.append(ParseError("alpaca", str(exc), excerpt(bytes(item))))
        except (ValueError, RecursionError) as exc:
            parsed.errors.append(ParseError("alpaca", str(exc), excerpt(frame)))
        return parsed.done()

    def _take(self, codec: _Codec, item: msgspec.Raw, parsed: "_Frame") -> None:
        kind = codec.kind(item).T
        if kind == "t":
            parsed.ticks.append(self._tick(codec.trade(item)))
        elif kind == "c":
            parsed.notices.append(self._correction(codec.correction(item)))
        elif kind == "x":
            parsed.notices.append(self._cancel(codec.cancel(item)))
        elif kind in ("success", "error", "subscription", "shutdown"):
            self._heed(kind, codec.control(item), parsed)

    def _heed(self, kind: str, control: _Control, parsed: "_Frame") -> None:
        if kind == "error":
            parsed.notes.append(Note(NoteKind.REFUSED, f"{control.msg} (code {control.code})"))
        elif kind == "subscription":
            parsed.notes.append(Note(NoteKind.SUBSCRIBED, "subscribed"))
        elif kind == "shutdown":
            parsed.notes.append(Note(NoteKind.LEAVING, control.msg or "the server goes down"))
        elif control.msg == "connected" and any(self._login):
            key, secret = self._login
            parsed.replies.append(self._framed({"action": "auth", "key": key, "secret": secret}))
        elif control.msg in ("connected", "authenticated"):
            parsed.replies.append(self._subscription())

    def _tick(self, trade: _Trade) -> Tick:
        return Tick(
            self._symbol(trade.S),
            self._own_id(trade.i, trade.x),
            trade.p,
            trade.s,
            self._time_ns(trade.t),
            _TAKER[trade.tks],
            trade.i,
        )

    def _correction(self, said: _Correction) -> Correction:
        return Correction(
            self._symbol(said.S),
            self._time_ns(said.t),
            self._own_id(said.oi, said.x),
            said.op,
            said.os,
            self._own_id(said.ci, said.x),
            said.cp,
            said.cs,
        )

    def _cancel(self, said: _Cancel) -> Cancel:
        return Cancel(
            self._symbol(said.S),
            self._time_ns(said.t),
            self._own_id(said.i, said.x),
            said.p,
            said.s,
            _TAKER[said.tks],
            CancelAction(said.a),
        )

    def _symbol(self, name: str) -> Symbol:
        """A name with a venue before a colon keeps it."""
        venue, colon, ticker = name.rpartition(":")
        venue = venue if colon else self._venue
        cache = self._venues.get(venue)
        if cache is None:
            cache = SymbolCache(venue, separator="/")
            if len(self._venues) < _MAX_VENUES:
                self._venues[venue] = cache
        return cache.get(ticker)

    def _time_ns(self, time: str | Ext) -> int:
        if isinstance(time, str):
            return self._stamps.read_ns(time)
        if time.code != _TIMESTAMP:
            raise ValueError(f"no time: extension type {time.code}")
        return timestamp_ns(bytes(time.data))

    def _subscription(self) -> str | bytes:
        return self._framed({"action": "subscribe", "trades": self._names})

    def _framed(self, message: Mapping[str, Any]) -> str | bytes:
        encoded = self._encode(message)
        return encoded if self._is_binary else encoded.decode()


_MAX_VENUES: Final = 64


def exchange_id(number: int, exchange: str | None) -> int:
    """The id of the trade that *exchange*, a letter, has the *number* for; below 2^53.

    The letter's place in the alphabet stands above the lowest 48 bits. What does not fit is
    hashed to 63 bits; without a number there is no id, and without an exchange it stays.
    """
    if number == NO_ID or not exchange or exchange == _NOWHERE:
        return number
    place = ord(exchange) - ord("A") + 1 if len(exchange) == 1 else 0
    if 1 <= place <= 26 and number < 1 << _ID_BITS:
        return place << _ID_BITS | number
    return hashed_id(exchange, number)


def _same_id(number: int, exchange: str | None) -> int:
    """Ids are those of one exchange, or told apart by the sender."""
    del exchange
    return number


class _Frame:
    """What was found in a frame so far."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self.notices: list[Notice] = []
        self.notes: list[Note] = []
        self.replies: list[str | bytes] = []
        self.errors: list[ParseError] = []

    def done(self) -> Parsed:
        return Parsed(
            ticks=self.ticks,
            notices=self.notices,
            notes=self.notes,
            replies=self.replies,
            errors=self.errors,
        )
