"""alpaca-py as it is published, in a process of its own: does what lines on stdin say.

Used as its users use it: no part of it is replaced, no private name is touched. Each line is a
JSON object ``{"do": …}``; each line that comes out is an answer, or what a handler was given.
"""

import enum
import json
import logging
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestBarRequest,
    CryptoLatestTradeRequest,
    CryptoSnapshotRequest,
    CryptoTradesRequest,
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

_OUT = threading.Lock()
_HOLD_S = 60.0


def say(**line: Any) -> None:
    with _OUT:
        print(json.dumps(line, default=plain), flush=True)


def plain(value: Any) -> Any:
    """What the SDK's models are made of, as JSON."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    return value.model_dump()


class LogLines(logging.Handler):
    """What the SDK tells its users of errors of the stream: it logs them."""

    def emit(self, record: logging.LogRecord) -> None:
        say(event="log", value=record.getMessage())


class Client:
    """One of each client, for one gateway and key."""

    def __init__(self, http: str, ws: str, key: str, secret: str) -> None:
        self._ws, self._key, self._secret = ws, key, secret
        self._stocks = StockHistoricalDataClient(key, secret, url_override=http)
        self._crypto = CryptoHistoricalDataClient(key, secret, url_override=http)
        self._streams: dict[str, Any] = {}
        self._held: dict[str, threading.Event] = {}

    def stream(self, name: str, kind: str, **channels: list[str]) -> None:
        """Open a stream; it runs in a thread, as its ``run`` blocks."""
        if kind == "stocks":
            stream: Any = StockDataStream(
                self._key, self._secret, url_override=f"{self._ws}/v2/iex"
            )
            stream.register_trade_corrections(self._handler(name, "correction"))
            stream.register_trade_cancels(self._handler(name, "cancel"))
        else:
            url = f"{self._ws}/v1beta3/crypto/us"
            stream = CryptoDataStream(self._key, self._secret, url_override=url)
        self._streams[name] = stream
        self.subscribe(name, **channels)
        threading.Thread(target=stream.run, name=name, daemon=True).start()

    def subscribe(self, name: str, **channels: list[str]) -> None:
        stream = self._streams[name]
        ways = {
            "trades": (stream.subscribe_trades, "trade"),
            "bars": (stream.subscribe_bars, "bar"),
            "updatedBars": (stream.subscribe_updated_bars, "updated_bar"),
            "quotes": (stream.subscribe_quotes, "quote"),
        }
        for channel, symbols in channels.items():
            subscribe, event = ways[channel]
            subscribe(self._handler(name, event), *symbols)

    def unsubscribe(self, name: str, trades: list[str]) -> None:
        self._streams[name].unsubscribe_trades(*trades)

    def hold(self, name: str) -> None:
        """A stream whose handler of trades blocks, as users' do, until it is told to go on."""
        self._held[name] = gone_on = threading.Event()
        tell = self._handler(name, "trade")

        async def handle(trade: Any) -> None:
            await tell(trade)
            gone_on.wait(_HOLD_S)

        self._streams[name].subscribe_trades(handle, "*")

    def go_on(self, name: str) -> None:
        self._held.pop(name).set()

    def stop(self, name: str) -> None:
        self._streams.pop(name).stop()

    def bars(self, kind: str, symbols: list[str], **query: Any) -> Any:
        amount, unit = query.pop("timeframe", (1, "Min"))
        query["timeframe"] = TimeFrame(amount, TimeFrameUnit(unit))
        if kind == "stocks":
            stock = StockBarsRequest(symbol_or_symbols=symbols, **_times(query))
            return self._stocks.get_stock_bars(stock).data
        crypto = CryptoBarsRequest(symbol_or_symbols=symbols, **_times(query))
        return self._crypto.get_crypto_bars(crypto).data

    def trades(self, kind: str, symbols: list[str], **query: Any) -> Any:
        if kind == "stocks":
            stock = StockTradesRequest(symbol_or_symbols=symbols, **_times(query))
            return self._stocks.get_stock_trades(stock).data
        crypto = CryptoTradesRequest(symbol_or_symbols=symbols, **_times(query))
        return self._crypto.get_crypto_trades(crypto).data

    def latest_bars(self, kind: str, symbols: list[str]) -> Any:
        if kind == "stocks":
            return self._stocks.get_stock_latest_bar(
                StockLatestBarRequest(symbol_or_symbols=symbols)
            )
        return self._crypto.get_crypto_latest_bar(CryptoLatestBarRequest(symbol_or_symbols=symbols))

    def latest_trades(self, kind: str, symbols: list[str]) -> Any:
        if kind == "stocks":
            return self._stocks.get_stock_latest_trade(
                StockLatestTradeRequest(symbol_or_symbols=symbols)
            )
        return self._crypto.get_crypto_latest_trade(
            CryptoLatestTradeRequest(symbol_or_symbols=symbols)
        )

    def latest_quotes(self, symbols: list[str]) -> Any:
        return self._stocks.get_stock_latest_quote(
            StockLatestQuoteRequest(symbol_or_symbols=symbols)
        )

    def snapshots(self, kind: str, symbols: list[str]) -> Any:
        if kind == "stocks":
            return self._stocks.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=symbols))
        return self._crypto.get_crypto_snapshot(CryptoSnapshotRequest(symbol_or_symbols=symbols))

    @staticmethod
    def _handler(stream: str, event: str) -> Callable[[Any], Any]:
        async def handle(value: Any) -> None:
            say(stream=stream, event=event, value=value)

        return handle


def _times(query: dict[str, Any]) -> dict[str, Any]:
    return query | {
        name: datetime.fromisoformat(query[name]) for name in ("start", "end") if name in query
    }


def main() -> None:
    logging.getLogger("alpaca").addHandler(LogLines())
    clients: dict[str, Client] = {}
    say(event="ready")
    for line in sys.stdin:
        asked = json.loads(line)
        number, do, who = asked.pop("id"), asked.pop("do"), asked.pop("client", "")
        try:
            if do == "client":
                clients[who] = Client(**asked)
                found = None
            else:
                found = getattr(clients[who], do)(**asked)
        except APIError as error:
            facts = {"code": error.code, "message": error.message}
            say(id=number, error={"status": error.status_code, **facts})
        else:
            say(id=number, found=found)


if __name__ == "__main__":
    main()
