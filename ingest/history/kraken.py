"""Kraken: ``/0/public/Trades``, by time, oldest first; names and errors are its own.

Source: docs.kraken.com, REST API (recent trades, rate limits) and WebSocket API v2, whose names
of bitcoin and dogecoin are not those of the REST API.
"""

from typing import Any, Final
from urllib.parse import quote

import msgspec

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from ingest.errors import HistoryError
from ingest.history.protocol import Page, Want
from ingest.times import number_ns
from ingest.venues.protocol import MAX_ID, SymbolCache, excerpt

_LIMIT: Final = 1_000
_NAMES: Final = {"BTC": "XBT", "DOGE": "XDG"}
_TAKER: Final = {"b": Side.BUY, "s": Side.SELL}
_BUSY: Final = ("EAPI:Rate limit", "EGeneral:Too many requests", "EService:Throttled")
_PASSES: Final = ("EService:", "EGeneral:Internal")
_US: Final = 1_000  # the frames of the live trades have whole microseconds


class _Answer(msgspec.Struct):
    error: list[str] = []
    result: dict[str, msgspec.Raw] = {}


class KrakenHistory:
    """The trades of a pair; public addresses may be asked once a second."""

    name: str = "kraken"
    url: str = "https://api.kraken.com"
    requests_per_s: float = 0.8
    is_by_time: bool = True

    def __init__(self) -> None:
        self._symbols = SymbolCache("KRAKEN", separator="/")
        self._answers = msgspec.json.Decoder(_Answer)
        # A time has more digits than a float holds.
        self._lists = msgspec.json.Decoder(list[Any], float_hook=str)

    def symbol(self, ticker: str) -> Symbol:
        return self._symbols.get(ticker)

    def newest_path(self, ticker: str) -> str:
        return f"/0/public/Trades?pair={quote(_pair(ticker))}&count=1"

    def path(self, want: Want) -> str:
        # Exclusive; and the trade of that time may have more digits here.
        query = f"pair={quote(_pair(want.ticker))}&since={max(0, want.since_ns - 1)}&count={_LIMIT}"
        return f"/0/public/Trades?{query}"

    def read(self, want: Want, body: bytes) -> Page:
        try:
            rows, newest_ns = self._rows(body)
            trades = [self._tick(want.ticker, row) for row in rows]
        except (ValueError, KeyError, TypeError, IndexError) as exc:
            raise HistoryError(self.name, f"{exc}: {excerpt(body)}") from exc
        ticks = [trade for trade in trades if want.first <= trade.trade_id <= want.last]
        newest = max((trade.trade_id for trade in trades), default=want.last)
        since_ns = newest_ns  # others of that very time may follow; those that came are known by id
        if newest_ns <= want.since_ns:
            if newest < want.first or len(rows) < _LIMIT:
                return Page(ticks, None)
            since_ns = want.since_ns + 1  # a whole page of one time: no more of it can be had
        if newest >= want.last:
            return Page(ticks, None)
        first = max(want.first, newest + 1)
        return Page(ticks, Want(want.ticker, first, want.last, since_ns))

    def _rows(self, body: bytes) -> tuple[list[Any], int]:
        answer = self._answers.decode(body)
        if answer.error:
            words = "; ".join(answer.error)[:200]
            busy = any(w in words for w in _BUSY)
            passes = busy or any(w in words for w in _PASSES)  # as an unknown pair does not
            raise HistoryError(self.name, words, busy=busy, retryable=passes)
        newest_ns = int(msgspec.json.decode(answer.result["last"], type=str))
        rows: list[Any] = []
        for name, raw in answer.result.items():
            if name != "last":
                rows = self._lists.decode(raw)
        return rows, newest_ns

    def _tick(self, ticker: str, row: Any) -> Tick:
        price, size, seconds, side, _, _, trade_id = row[:7]
        if type(trade_id) is not int or not 0 <= trade_id <= MAX_ID:
            raise ValueError(f"no trade id: {trade_id!r}")
        event_ns = number_ns(seconds, 10**9) // _US * _US
        symbol = self._symbols.get(ticker)
        return Tick(symbol, trade_id, float(price), float(size), event_ns, _TAKER[side], trade_id)


def _pair(ticker: str) -> str:
    return "".join(_NAMES.get(name, name) for name in ticker.split("/"))
