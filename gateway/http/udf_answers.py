"""The answers of UDF, which charts of TradingView's library read: their shapes. Pure.

Times are seconds since 1970, UTC, except ``nextTime``, which the library takes in milliseconds.
Sources: the UDF page of the library's documentation (v29), and the client that comes with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any, Final, Literal

import msgspec

from core.market.bar import Bar
from core.market.resolution import Resolution
from core.market.rolled import rolled, windows
from core.market.symbol import Symbol
from core.market.timeframe import SECOND_NS
from gateway.encode import rfc3339
from gateway.http.answers import encode, newest
from gateway.http.days import Standing
from gateway.http.errors import ErrorAnswer
from gateway.http.params import matches
from gateway.http.udf_requests import MAX_BARS, UNKNOWN_SYMBOL, SearchQuery

Kind = Literal["crypto", "stock"]
KINDS: Final[tuple[Kind, ...]] = ("crypto", "stock")
INTRADAY: Final = tuple(
    str(minutes)
    for minutes in (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720)
)
RESOLUTIONS: Final = (*INTRADAY, "1D")
_MISSING: Final = "Trades are known to be missing"
_NS_PER_MS: Final = 1_000_000
_MAX_DECIMALS: Final = 12
_MAX_VOLUME_DECIMALS: Final = 8
_UNPRICED_DECIMALS: Final = 2  # of a symbol without a trade
_SESSION, _TIMEZONE, _STATUS = "24x7", "Etc/UTC", "streaming"


class Limit(msgspec.Struct, frozen=True, rename="camel"):
    """For the library's option ``limitedServerResponse``: an answer is cut to the latest bars."""

    max_response_length: int = MAX_BARS
    expected_order: Literal["latestFirst"] = "latestFirst"


class Exchange(msgspec.Struct, frozen=True):
    """One choice of the search dialogue; an empty value means all."""

    value: str
    name: str
    desc: str


class SymbolType(msgspec.Struct, frozen=True):
    """One choice of the search dialogue; an empty value means all."""

    name: str
    value: str


class ConfigAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What this feed offers; ``limitedServerResponse`` is for the page that makes the chart."""

    supports_search: bool = True
    supports_group_request: bool = False
    supports_marks: bool = True
    supports_timescale_marks: bool = True
    supports_time: bool = True
    supported_resolutions: tuple[str, ...] = RESOLUTIONS
    exchanges: list[Exchange]
    symbols_types: list[SymbolType]
    limited_server_response: Limit = msgspec.field(name="limitedServerResponse", default=Limit())


class UdfErrorAnswer(msgspec.Struct, frozen=True):
    """An error as the library reads it, and as all other endpoints tell it."""

    s: Literal["error"]
    errmsg: str
    code: int
    message: str


class HistoryAnswer(msgspec.Struct, frozen=True, tag_field="s", tag="ok"):
    """Bars as columns, oldest first; ``t`` is where each begins."""

    t: list[int]
    o: list[float]
    h: list[float]
    l: list[float]  # noqa: E741  the field's name
    c: list[float]
    v: list[float]


class NoDataAnswer(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="s", tag="no_data"):
    """No bars; ``nextTime``, in milliseconds, is where the closest older one begins."""

    next_time_ms: int | None = msgspec.field(name="nextTime", default=None)


class MarksAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """Marks on bars, as columns: bars with missing trades, and revised ones."""

    id: list[int]
    time: list[int]
    color: list[str]
    text: list[str]
    label: list[str]
    label_font_color: list[str]
    min_size: list[int]


class TimescaleMark(msgspec.Struct, frozen=True):
    """A mark on the axis of time: where a span of bars with missing trades begins."""

    id: int
    color: str
    label: str
    time: int
    tooltip: list[str]


class FoundSymbol(msgspec.Struct, frozen=True):
    """One line of the search dialogue; ``ticker`` is what ``/udf/history`` is asked for."""

    symbol: str
    full_name: str
    description: str
    exchange: str
    ticker: str
    type: str


class QuoteValues(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last price, the day and the change against the day before, where these are known."""

    short_name: str
    exchange: str
    description: str
    lp: float
    open_price: float | None = None
    high_price: float | None = None
    low_price: float | None = None
    volume: float | None = None
    prev_close_price: float | None = None
    ch: float | None = None
    chp: float | None = None


class Quote(msgspec.Struct, frozen=True, tag_field="s", tag="ok"):
    """What a symbol costs; ``n`` is the name that it was asked for by."""

    n: str
    v: QuoteValues


class NoQuote(msgspec.Struct, frozen=True, tag_field="s", tag="error"):
    """A symbol that cannot be quoted, and why."""

    n: str
    v: dict[str, str]
    errmsg: str


class QuotesAnswer(msgspec.Struct, frozen=True):
    """One entry for each name asked for, in their order."""

    d: list[Quote | NoQuote]
    s: Literal["ok"] = "ok"


class SymbolInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the library has to know of a symbol: the fields that differ from one to another."""

    name: str
    full_name: str
    ticker: str
    description: str
    type: str
    exchange: str
    listed_exchange: str
    pricescale: int
    volume_precision: int
    session: str = _SESSION
    timezone: str = _TIMEZONE
    minmov: int = 1
    minmovement: int = 1
    minmove2: int = 0
    fractional: bool = False
    has_intraday: bool = True
    intraday_multipliers: tuple[str, ...] = INTRADAY
    has_daily: bool = True
    daily_multipliers: tuple[str, ...] = ("1",)
    has_weekly_and_monthly: bool = False
    has_empty_bars: bool = False
    supported_resolutions: tuple[str, ...] = RESOLUTIONS
    data_status: str = _STATUS
    visible_plots_set: str = "ohlcv"
    format: str = "price"


# Versions of the library read these names of the fields, too.
_OTHER_NAMES: Final = {
    "exchange": "exchange-traded",
    "listed_exchange": "exchange-listed",
    "session": "session-regular",
    "has_intraday": "has-intraday",
    "has_daily": "has-daily",
    "has_weekly_and_monthly": "has-weekly-and-monthly",
    "has_empty_bars": "has-empty-bars",
    "intraday_multipliers": "intraday-multipliers",
    "supported_resolutions": "supported-resolutions",
    "volume_precision": "volume-precision",
    "visible_plots_set": "visible-plots-set",
}
_COLUMNS: Final = _OTHER_NAMES | {"name": "symbol", "full_name": "full-name"}


def config_answer(symbols: Iterable[Symbol]) -> ConfigAnswer:
    """What is offered to somebody who may see *symbols*."""
    venues = sorted({venue_of(symbol) for symbol in symbols})
    return ConfigAnswer(
        exchanges=[Exchange("", "All", ""), *(Exchange(name, name, name) for name in venues)],
        symbols_types=[
            SymbolType("All", ""),
            *(SymbolType(kind.capitalize(), kind) for kind in KINDS),
        ],
    )


def symbol_info(
    symbol: Symbol, kind: Kind, prices: Iterable[float], sizes: Iterable[float]
) -> SymbolInfo:
    """What the library has to know of *symbol*, whose *prices* and *sizes* show how fine it is."""
    venue, _, ticker = symbol.partition(":")
    return SymbolInfo(
        name=ticker,
        full_name=symbol,
        ticker=symbol,
        description=description_of(symbol),
        type=kind,
        exchange=venue,
        listed_exchange=venue,
        pricescale=10 ** decimals(prices, default=_UNPRICED_DECIMALS, most=_MAX_DECIMALS),
        volume_precision=decimals(sizes, default=0, most=_MAX_VOLUME_DECIMALS),
    )


def symbol_answer(info: SymbolInfo) -> dict[str, Any]:
    """One symbol's fields, by all names that versions of the library read them."""
    fields: dict[str, Any] = msgspec.structs.asdict(info)
    return fields | {other: fields[name] for name, other in _OTHER_NAMES.items()}


def symbol_table(infos: Sequence[SymbolInfo]) -> dict[str, list[Any]]:
    """Many symbols as columns, by the names that ``/udf/symbol_info`` has for them."""
    return {
        _COLUMNS.get(name, name): [getattr(info, name) for info in infos]
        for name in SymbolInfo.__struct_fields__
    }


def found_symbols(kinds: Mapping[Symbol, Kind], query: SearchQuery) -> list[FoundSymbol]:
    """The symbols that *query* looks for: the very name first, then those that begin with it."""
    found = [
        symbol
        for symbol, kind in kinds.items()
        if matches(symbol, query.text)
        and query.kind in {"", kind}
        and query.exchange in {"", venue_of(symbol)}
    ]
    found.sort(key=lambda symbol: _rank(symbol, query.text))
    return [_found(symbol, kinds[symbol]) for symbol in found[: query.limit]]


def history_answer(bars: Sequence[Bar]) -> HistoryAnswer:
    """*bars*, which ascend, as columns."""
    return HistoryAnswer(
        [bar.start_ns // SECOND_NS for bar in bars],
        [bar.open for bar in bars],
        [bar.high for bar in bars],
        [bar.low for bar in bars],
        [bar.close for bar in bars],
        [bar.volume for bar in bars],
    )


def no_data_answer(closest_ns: int | None = None) -> NoDataAnswer:
    """No bars; the closest older one begins at *closest_ns*, None: there is none."""
    return NoDataAnswer(None if closest_ns is None else closest_ns // _NS_PER_MS)


def with_present(stored: Iterable[Bar], present: Iterable[Bar | None]) -> list[Bar]:
    """*stored* bars with those that memory holds, one a window, the newest form of each."""
    merged: dict[int, Bar] = {}
    for bar in (*stored, *present):
        if bar is not None:
            merged[bar.start_ns] = newest(bar, merged.get(bar.start_ns)) or bar
    return [merged[start_ns] for start_ns in sorted(merged)]


def error_body(body: bytes) -> bytes:
    """The *body* of an error of this API in UDF's shape."""
    error = msgspec.json.decode(body, type=ErrorAnswer)
    is_unknown = error.message.startswith(UNKNOWN_SYMBOL)
    text = UNKNOWN_SYMBOL if is_unknown else error.message
    return encode(UdfErrorAnswer("error", text, error.code, error.message))


def rolled_windows(parts: Iterable[Bar], resolution: Resolution) -> list[Bar]:
    """The bars of the windows that *parts* lie in, which are one symbol's and ascend."""
    return [
        rolled(some, resolution.floor_ns(some[0].start_ns)) for some in windows(parts, resolution)
    ]


def marks_answer(bars: Sequence[Bar]) -> MarksAnswer:
    """Marks on those of *bars* that miss trades, or were revised after they closed."""
    marked = [bar for bar in bars if bar.gap or bar.rev]
    seconds = [bar.start_ns // SECOND_NS for bar in marked]
    return MarksAnswer(
        id=seconds,
        time=seconds,
        color=["red" if bar.gap else "blue" for bar in marked],
        text=[_mark_text(bar) for bar in marked],
        label=["G" if bar.gap else "R" for bar in marked],
        label_font_color=["white"] * len(marked),
        min_size=[14] * len(marked),
    )


def timescale_marks(bars: Sequence[Bar], resolution: Resolution) -> list[TimescaleMark]:
    """One mark where each row of *bars* with missing trades begins; *bars* ascend."""
    marks: list[TimescaleMark] = []
    for has_gap, row in groupby(bars, key=lambda bar: bar.gap):
        if has_gap:
            some = list(row)
            first, end_ns = some[0].start_ns, resolution.end_ns(some[-1].start_ns)
            span = f"{rfc3339(first)} to {rfc3339(end_ns)}"
            seconds = first // SECOND_NS
            marks.append(
                TimescaleMark(
                    seconds, "red", "G", seconds, ["Trades are known to be missing", span]
                )
            )
    return marks


def quote(name: str, symbol: Symbol, standing: Standing | None) -> Quote | NoQuote:
    """What *symbol* costs under the *name* that it was asked for by, as it stands.

    Where its day is not known, as among many symbols that traded on other days, the last price
    stands alone.
    """
    price = None if standing is None else _last_price(standing)
    if standing is None or price is None:
        return no_quote(name, "no trade of it is known yet")
    venue, _, ticker = symbol.partition(":")
    values = QuoteValues(ticker, venue, description_of(symbol), price)
    if standing.bars.day is not None:
        values = _with_day(values, standing.bars.day, standing.bars.previous_day)
    return Quote(name, values)


def _last_price(standing: Standing) -> float | None:
    if standing.trade is not None:
        return standing.trade.price
    bar = standing.bars.day or standing.bars.minute
    return None if bar is None else bar.close


def _with_day(values: QuoteValues, day: Bar, before: Bar | None) -> QuoteValues:
    """*values* with the day of the last trade, and the change against the day before."""
    values = msgspec.structs.replace(
        values,
        open_price=day.open,
        high_price=day.high,
        low_price=day.low,
        volume=day.volume,
    )
    if before is None:
        return values
    change = float(Decimal(repr(values.lp)) - Decimal(repr(before.close)))
    return msgspec.structs.replace(
        values,
        prev_close_price=before.close,
        ch=change,
        chp=change / before.close * 100,
    )


def no_quote(name: str, reason: str) -> NoQuote:
    """A name that cannot be quoted."""
    return NoQuote(name, {}, reason)


def decimals(values: Iterable[float], *, default: int, most: int) -> int:
    """How many decimals the finest of *values* has, at most *most*; *default* without a value."""
    exponents = (Decimal(repr(value)).normalize().as_tuple().exponent for value in values)
    found = [-exponent for exponent in exponents if isinstance(exponent, int)]
    return min(max(*found, 0, 0), most) if found else default


def venue_of(symbol: Symbol) -> str:
    """The part before the colon."""
    return symbol.partition(":")[0]


def description_of(symbol: Symbol) -> str:
    """A symbol in words."""
    venue, _, ticker = symbol.partition(":")
    return f"{ticker.replace('-', '/')} on {venue.capitalize()}"


def _found(symbol: Symbol, kind: Kind) -> FoundSymbol:
    venue, _, ticker = symbol.partition(":")
    return FoundSymbol(ticker, symbol, description_of(symbol), venue, symbol, kind)


def _rank(symbol: Symbol, text: str) -> tuple[int, str]:
    wanted, ticker = text.upper().replace("/", "-"), symbol.partition(":")[2]
    if wanted in {ticker, str(symbol)}:
        return 0, symbol
    return (1 if ticker.startswith(wanted) else 2), symbol


def _mark_text(bar: Bar) -> str:
    revised = f"Revised {bar.rev} times" if bar.rev > 1 else "Revised once"
    return _MISSING if bar.gap else revised
