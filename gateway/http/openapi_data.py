"""The operations of ``/v1`` that tell of the market: bars, trades, snapshots, symbols. Pure."""

from typing import Final

import msgspec

from gateway.http.answers import (
    BarAnswer,
    BarsPage,
    SnapshotAnswer,
    SymbolAnswer,
    TradeAnswer,
    TradesPage,
)
from gateway.http.formats import Format
from gateway.http.openapi import COMMON_ERRORS, Operation, Parameter, Tag
from gateway.http.params import DEFAULT_BARS, MAX_BARS, MAX_SYMBOLS

TAGS: Final = (
    Tag("history", "Bars and trades of any span, page by page"),
    Tag("latest", "How things stand now"),
)
_NAME: Final = "([A-Za-z][A-Za-z0-9_]{0,15}:)?[A-Za-z0-9][A-Za-z0-9._/-]{0,39}"
_CLOCK: Final = "[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?([Zz]|[-+ ][0-9]{2}:[0-9]{2})"
# A pattern and not the two formats: a blank may stand for the plus sign, and tools are faster.
_TIME: Final = {"type": "string", "pattern": f"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([Tt ]{_CLOCK})?$"}
_MINUTES: Final = "(1440|14[0-3][0-9]|1[0-3][0-9]{2}|[1-9][0-9]{0,2})?([Mm][Ii][Nn]|[Tt])"
_HOURS: Final = "(2[0-4]|1[0-9]|[1-9])?([Hh][Oo][Uu][Rr]|[Hh])"
_TIMEFRAME: Final = f"^({_MINUTES}|{_HOURS}|1?([Dd][Aa][Yy]|[Dd]))$"
_BAR: Final = {
    "t": "2021-07-03T00:00:00Z",
    "o": 33786.51,
    "h": 33820.0,
    "l": 33780.2,
    "c": 33801.99,
    "v": 12.0625,
    "n": 211,
    "vw": 33799.4,
    "rev": 0,
    "final": True,
}
_TRADE: Final = {
    "t": "2021-07-03T12:04:31.123Z",
    "p": 33795.0,
    "s": 0.01,
    "i": 192837465,
    "tks": "B",
}
SYMBOLS: Final = Parameter(
    name="symbols",
    text=f"Up to {MAX_SYMBOLS:,} names, separated by commas: `VENUE:BASE-QUOTE`, or the part after "
    "the colon while one venue carries it; case does not matter, `/` and `-` are alike",
    schema={"type": "string", "pattern": f"^{_NAME}(,{_NAME})*$"},
    required=True,
    example="COINBASE:BTC-USD,COINBASE:ETH-USD",
)
TIMEFRAME: Final = Parameter(
    name="timeframe",
    text="The length of a bar: any whole number of minutes up to a day, such as `1Min`, `90T`, "
    "`4Hour`, `1H`, `1Day` or `D`, in any case",
    schema={"type": "string", "pattern": _TIMEFRAME, "default": "1Min"},
    example="5Min",
)
START: Final = Parameter(
    name="start",
    text="The first window start, inclusive: RFC 3339, or a date; by default that of the UTC day",
    schema=_TIME,
    example="2021-07-03T00:00:00Z",
)
END: Final = Parameter(
    name="end",
    text="The last window start, inclusive: RFC 3339, or a date; by default now",
    schema=_TIME,
    example="2021-07-04",
)
LIMIT: Final = Parameter(
    name="limit",
    text="How many bars a page may have, over all symbols",
    schema={"type": "integer", "minimum": 1, "maximum": MAX_BARS, "default": DEFAULT_BARS},
    example=100,
)
SORT: Final = Parameter(
    name="sort",
    text="The order of time within a symbol",
    schema={"type": "string", "enum": ["asc", "desc"], "default": "asc"},
    example="asc",
)
FILL: Final = Parameter(
    name="fill",
    text="`previous` puts flat bars where nothing was traded",
    schema={"type": "string", "enum": ["none", "previous"], "default": "none"},
    example="none",
)
FORMAT: Final = Parameter(
    name="format",
    text="The form of the answer; outranks the header `Accept`, for where that cannot be set",
    schema={"type": "string", "enum": ["json", "csv", "arrow"]},
    example="json",
)
TOKEN: Final = Parameter(
    name="page_token",
    text="`next_page_token` of the page before, with a query that is otherwise the same",
    schema={"type": "string", "minLength": 8, "maxLength": 256},
)


class LatestBars(msgspec.Struct, frozen=True):
    """The newest bar of each symbol, by the caller's spelling."""

    bars: dict[str, BarAnswer]


class LatestTrades(msgspec.Struct, frozen=True):
    """The last trade of each symbol, by the caller's spelling."""

    trades: dict[str, TradeAnswer]


class Snapshots(msgspec.Struct, frozen=True):
    """Last trade, minute, day and day before of each symbol, by the caller's spelling."""

    snapshots: dict[str, SnapshotAnswer]


class Symbols(msgspec.Struct, frozen=True):
    """The symbols that venues carry."""

    symbols: list[SymbolAnswer]


_SYMBOL: Final = {"symbol": "COINBASE:BTC-USD", "venue": "COINBASE", "ticker": "BTC-USD"}
_TABLES: Final = {
    Format.CSV.value: {"type": "string"},
    Format.ARROW.value: {"type": "string", "contentMediaType": Format.ARROW.value},
}
_NEXT: Final = {"X-Next-Page-Token": "Of a table: `page_token` of the next page, if there is one"}
OPERATIONS: Final = (
    Operation(
        path="/v1/bars",
        tag="history",
        summary="Closed bars of any span",
        text="By symbol (full name), then time, in pages: ask again with `page_token` until "
        "`next_page_token` is null. Pages neither repeat nor skip a bar while bars arrive.",
        parameters=(SYMBOLS, TIMEFRAME, START, END, LIMIT, SORT, FILL, TOKEN, FORMAT),
        answer=BarsPage,
        example={"bars": {"COINBASE:BTC-USD": [_BAR]}, "next_page_token": None},
        content=_TABLES,
        headers=_NEXT,
        errors=(*COMMON_ERRORS, 406),
    ),
    Operation(
        path="/v1/trades",
        tag="history",
        summary="Trades of the past, as they now stand",
        text="By symbol (full name), then time, in pages as those of bars. What the log of ticks "
        "does not cover is named in `missing`. A page may have fewer than `limit` though more "
        "follow: go by `next_page_token`.",
        parameters=(SYMBOLS, START, END, LIMIT, SORT, TOKEN, FORMAT),
        answer=TradesPage,
        example={"trades": {"COINBASE:BTC-USD": [_TRADE]}, "next_page_token": None},
        content=_TABLES,
        headers=_NEXT | {"X-Missing": "Of a table: what the log of ticks does not cover"},
        errors=(*COMMON_ERRORS, 406),
    ),
    Operation(
        path="/v1/bars/latest",
        tag="latest",
        summary="The newest bar of each symbol",
        text="The running one (`final: false`) where a window is open, else the last that closed.",
        parameters=(SYMBOLS, TIMEFRAME),
        answer=LatestBars,
        example={"bars": {"BTC-USD": _BAR | {"final": False}}},
    ),
    Operation(
        path="/v1/trades/latest",
        tag="latest",
        summary="The last trade of each symbol",
        parameters=(SYMBOLS,),
        answer=LatestTrades,
        example={"trades": {"BTC-USD": _TRADE}},
    ),
    Operation(
        path="/v1/snapshots",
        tag="latest",
        summary="Last trade, minute, day and day before of each symbol",
        text="What a symbol does not have is null.",
        parameters=(SYMBOLS,),
        answer=Snapshots,
    ),
    Operation(
        path="/v1/symbols",
        tag="latest",
        summary="The symbols that venues carry",
        text="Sorted by name, with their last trades.",
        parameters=(
            Parameter(
                name="query",
                text="A part of the name, in any case",
                schema={"type": "string", "maxLength": 100},
                example="btc",
            ),
        ),
        answer=Symbols,
        example={"symbols": [_SYMBOL | {"last_trade": _TRADE}]},
        tagged=False,
    ),
)
