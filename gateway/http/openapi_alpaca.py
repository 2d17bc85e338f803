"""The operations of the published market-data API, for its SDKs. Pure."""

from typing import Any, Final

import msgspec

from gateway.endpoints import NAME
from gateway.http.alpaca_answers import BarShape, CryptoTradeShape, StockTradeShape
from gateway.http.openapi import Operation, Parameter, Tag
from gateway.http.openapi_data import END, LIMIT, SORT, START, SYMBOLS, TIMEFRAME, TOKEN

TAGS: Final = (Tag("sdks", "What the published SDKs of Alpaca ask for, see `docs/sdks.md`"),)
_STOCKS: Final = "/v2/stocks"
_CRYPTO: Final = "/v1beta3/crypto/{loc}"
_OBJECT: Final = {"type": "object"}


class BarPages(msgspec.Struct, frozen=True):
    """Bars by the caller's spelling, and the token that leads to the next page."""

    bars: dict[str, list[BarShape]]
    next_page_token: str | None


class NewestBars(msgspec.Struct, frozen=True):
    """The newest minute that is over, by the caller's spelling."""

    bars: dict[str, BarShape]


class StockTradePages(msgspec.Struct, frozen=True):
    """Trades of stocks by the caller's spelling, and the token that leads to the next page."""

    trades: dict[str, list[StockTradeShape]]
    next_page_token: str | None


class CryptoTradePages(msgspec.Struct, frozen=True):
    """Trades by the caller's spelling, and the token that leads to the next page."""

    trades: dict[str, list[CryptoTradeShape]]
    next_page_token: str | None


class NewestStockTrades(msgspec.Struct, frozen=True):
    """The last trade of each stock, by the caller's spelling."""

    trades: dict[str, StockTradeShape]


class NewestCryptoTrades(msgspec.Struct, frozen=True):
    """The last trade of each symbol, by the caller's spelling."""

    trades: dict[str, CryptoTradeShape]


class StockBarPage(msgspec.Struct, frozen=True):
    """Bars of one stock, and the token that leads to the next page."""

    symbol: str
    bars: list[BarShape]
    next_page_token: str | None


class StockTradePage(msgspec.Struct, frozen=True):
    """Trades of one stock, and the token that leads to the next page."""

    symbol: str
    trades: list[StockTradeShape]
    next_page_token: str | None


class NewestStockBar(msgspec.Struct, frozen=True):
    """The newest minute of one stock that is over."""

    symbol: str
    bar: BarShape


class NewestStockTrade(msgspec.Struct, frozen=True):
    """The last trade of one stock."""

    symbol: str
    trade: StockTradeShape


def _word(name: str, text: str, pattern: str, example: str) -> Parameter:
    return Parameter(
        name=name, text=text, schema={"type": "string", "pattern": pattern}, example=example
    )


_LOC: Final = Parameter(
    name="loc",
    text="Any name: all mean the same",
    schema={"type": "string", "pattern": f"^{NAME}$"},
    required=True,
    where="path",
    example="us",
)
_SYMBOL: Final = Parameter(
    name="symbol",
    text="One stock",
    schema={"type": "string"},
    required=True,
    where="path",
    example="AAPL",
)
_FEED: Final = _word("feed", "Any name: all mean the same", "^[A-Za-z0-9_]{1,32}$", "iex")
_CURRENCY: Final = _word("currency", "Prices are not converted", "^[Uu][Ss][Dd]$", "USD")
_ASOF: Final = _word(
    "asof",
    "A date, or -; symbols never change their names here",
    f"^-?$|{START.schema['pattern']}",
    "2021-07-03",
)
_ADJUSTMENT: Final = _word("adjustment", "Prices are as they were traded", "^raw$", "raw")
_SOURCES: Final = (_FEED, _CURRENCY)
_END: Final = msgspec.structs.replace(
    END,
    text="The last time, inclusive: RFC 3339, or a date, which is all of that UTC day; else now",
)
_SPAN: Final = (START, _END, LIMIT, SORT, TOKEN)
_TIMEFRAME: Final = msgspec.structs.replace(  # the published API has no default
    TIMEFRAME,
    required=True,
    schema={name: value for name, value in TIMEFRAME.schema.items() if name != "default"},
)
_BARS: Final = (_TIMEFRAME, *_SPAN)


def _operation(path: str, summary: str, answer: Any, *parameters: Parameter) -> Operation:
    return Operation(path=path, tag="sdks", summary=summary, answer=answer, parameters=parameters)


def _stocks(path: str, summary: str, answer: Any, *parameters: Parameter) -> Operation:
    which = _SYMBOL if "{symbol}" in path else SYMBOLS
    found = _operation(_STOCKS + path, summary, answer, which, *parameters, *_SOURCES)
    if "{symbol}" not in path or (path.count("/") == 2 and not path.endswith("/snapshot")):
        return found
    return msgspec.structs.replace(found, errors=(*found.errors, 404))


def _none(path: str, summary: str) -> Operation:
    """What is there to be asked for, and never given."""
    return msgspec.structs.replace(_stocks(path, summary, None), tagged=False)


def _crypto(path: str, summary: str, answer: Any, *parameters: Parameter) -> Operation:
    return _operation(_CRYPTO + path, summary, answer, _LOC, SYMBOLS, *parameters)


OPERATIONS: Final = (
    _stocks("/bars", "Closed bars of stocks", BarPages, *_BARS, _ASOF, _ADJUSTMENT),
    _stocks("/bars/latest", "The newest minute that is over", NewestBars),
    _stocks("/trades", "Trades of stocks as they stand now", StockTradePages, *_SPAN, _ASOF),
    _stocks("/trades/latest", "The last trade of each stock", NewestStockTrades),
    _stocks("/quotes", "None: no feed carries quotes", _OBJECT, *_SPAN, _ASOF),
    _stocks("/quotes/latest", "None", _OBJECT),
    _stocks("/snapshots", "How each stock stands", _OBJECT),
    _stocks("/{symbol}/bars", "Closed bars of one stock", StockBarPage, *_BARS, _ASOF, _ADJUSTMENT),
    _stocks("/{symbol}/bars/latest", "Its newest minute that is over", NewestStockBar),
    _stocks("/{symbol}/trades", "Trades of one stock", StockTradePage, *_SPAN, _ASOF),
    _stocks("/{symbol}/trades/latest", "Its last trade", NewestStockTrade),
    _stocks("/{symbol}/quotes", "None", _OBJECT, *_SPAN, _ASOF),
    _none("/{symbol}/quotes/latest", "None: always the error that there is none"),
    _stocks("/{symbol}/snapshot", "How one stock stands", _OBJECT),
    _crypto("/bars", "Closed bars", BarPages, *_BARS),
    _crypto("/latest/bars", "The newest minute that is over", NewestBars),
    _crypto("/trades", "Trades as they stand now", CryptoTradePages, *_SPAN),
    _crypto("/latest/trades", "The last trade of each symbol", NewestCryptoTrades),
    _crypto("/quotes", "None: no feed carries quotes", _OBJECT, *_SPAN),
    _crypto("/latest/quotes", "None", _OBJECT),
    _crypto("/latest/orderbooks", "None: no feed carries order books", _OBJECT),
    _crypto("/snapshots", "How each symbol stands", _OBJECT),
)
