"""The operations below ``/udf``, which charts of TradingView's library read. Pure."""

from typing import Any, Final

from gateway.http import udf_answers as answers
from gateway.http import udf_requests as limits
from gateway.http.openapi import COMMON_ERRORS, Operation, Parameter, Tag

TAGS: Final = (Tag("udf", "The data feed of charts made with TradingView's library (UDF)"),)
_NAME: Final = "([A-Za-z][A-Za-z0-9_]{0,15}:)?[A-Za-z0-9][A-Za-z0-9._/-]{0,39}"
_SECONDS: Final = {
    "type": "integer",
    "minimum": -limits.MAX_SECONDS,
    "maximum": limits.MAX_SECONDS,
}
_TEXT: Final = {"type": "string", "maxLength": limits.MAX_CHARS}
_SYMBOL: Final = Parameter(
    name="symbol",
    text="Any spelling of a symbol, or its `ticker`",
    schema={"type": "string", "pattern": f"^{_NAME}$"},
    required=True,
    example="COINBASE:BTC-USD",
)
_RESOLUTION: Final = Parameter(
    name="resolution",
    text="Minutes, 1 to 1440, or `1D`",
    schema={
        "type": "string",
        "pattern": "^(1?D|[1-9][0-9]{0,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)$",
    },
    required=True,
    example="5",
)
_FROM: Final = Parameter(
    name="from",
    text="Seconds since 1970, UTC, inclusive; may be left out where `countback` is given",
    schema=_SECONDS,
    example=1625270400,
)
_SINCE: Final = Parameter(
    name="from",
    text="Seconds since 1970, UTC, inclusive",
    schema=_SECONDS,
    required=True,
    example=1625270400,
)
_TO: Final = Parameter(
    name="to",
    text="Seconds since 1970, UTC, exclusive",
    schema=_SECONDS,
    required=True,
    example=1625356800,
)
_COUNTBACK: Final = Parameter(
    name="countback",
    text="The last so many bars before `to`, wherever they begin; outranks `from`. 0 is none",
    schema={"type": "integer", "minimum": 0, "maximum": limits.MAX_COUNTBACK},
    example=300,
)
_ERRORS: Final = (*COMMON_ERRORS, 404)
_TABLE: Final = {
    "type": "object",
    "required": ["symbol", "ticker", "description", "pricescale"],
    "additionalProperties": {"type": "array", "items": {}},
}


def _operation(name: str, summary: str, *parameters: Parameter, **more: Any) -> Operation:
    fields: dict[str, Any] = {
        "path": f"/udf/{name}",
        "tag": "udf",
        "summary": summary,
        "parameters": parameters,
        "error": answers.UdfErrorAnswer,
    }
    return Operation(**(fields | more))


OPERATIONS: Final = (
    _operation(
        "config",
        "What this feed offers",
        answer=answers.ConfigAnswer,
        tagged=False,
    ),
    _operation(
        "symbols",
        "What a chart has to know of a symbol",
        _SYMBOL,
        answer=answers.SymbolInfo,
        errors=_ERRORS,
        text="Most fields come by their names with hyphens, too.",
    ),
    _operation(
        "symbol_info",
        "All symbols of a venue as a table",
        Parameter(
            name="group",
            text="The venue",
            schema=_TEXT | {"minLength": 1},
            required=True,
            example="COINBASE",
        ),
        answer=_TABLE,
    ),
    _operation(
        "search",
        "Symbols by a part of their name",
        Parameter(name="query", text="A part of the name", schema=_TEXT, example="BTC"),
        Parameter(name="exchange", text="A venue; empty for all", schema=_TEXT),
        Parameter(name="type", text="`crypto` or `stock`; empty for all", schema=_TEXT),
        Parameter(
            name="limit",
            text="How many are shown at most",
            schema={
                "type": "integer",
                "minimum": 1,
                "maximum": limits.MAX_FOUND,
                "default": limits.DEFAULT_FOUND,
            },
            example=30,
        ),
        answer=list[answers.FoundSymbol],
        tagged=False,
    ),
    _operation(
        "history",
        "Bars as columns, the running one last",
        _SYMBOL,
        _RESOLUTION,
        _FROM,
        _TO,
        _COUNTBACK,
        answer=answers.HistoryAnswer | answers.NoDataAnswer,
        errors=_ERRORS,
        text=f"Bars that begin in `[from, to)`, or the last `countback` before `to`; at most "
        f"{limits.MAX_BARS:,}, of more the latest. `no_data` without any; `nextTime`, in "
        "milliseconds, is then where the closest older one begins.",
        example={
            "s": "ok",
            "t": [1625270400, 1625270700],
            "o": [33786.51, 33801.99],
            "h": [33820.0, 33810.5],
            "l": [33780.2, 33790.0],
            "c": [33801.99, 33795.0],
            "v": [12.0625, 8.5],
        },
    ),
    _operation(
        "marks",
        "Bars with missing trades, and revised ones",
        _SYMBOL,
        _RESOLUTION,
        _SINCE,
        _TO,
        answer=answers.MarksAnswer,
        errors=_ERRORS,
    ),
    _operation(
        "timescale_marks",
        "Where spans of bars with missing trades begin",
        _SYMBOL,
        _RESOLUTION,
        _SINCE,
        _TO,
        answer=list[answers.TimescaleMark],
        errors=_ERRORS,
    ),
    _operation(
        "quotes",
        "Prices now, with the change against the day before",
        Parameter(
            name="symbols",
            text=f"Up to {limits.MAX_QUOTES:,} names, separated by commas; one that cannot be "
            "quoted has an entry that says why",
            schema={
                "type": "string",
                "pattern": f"^[ -~]{{0,{limits.MAX_QUOTES_CHARS}}}$",
            },
            required=True,
            example="COINBASE:BTC-USD,COINBASE:ETH-USD",
        ),
        answer=answers.QuotesAnswer,
    ),
    _operation(
        "time",
        "The server's clock in seconds",
        answer={"type": "integer"},
        tagged=False,
    ),
)
