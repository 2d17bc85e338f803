"""What a chart of TradingView's library asks for: the query parameters of UDF, read. Pure.

The library's versions differ in what they send along, so unknown parameters are left alone.
Source: the UDF page of the library's documentation (v29), and the client that comes with it.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from core.market.errors import SymbolError
from core.market.resolution import MAX_MINUTES, Resolution
from core.market.symbol import Symbol, parse_symbol
from core.market.timeframe import SECOND_NS
from gateway.http.errors import ApiError, BadParameter, shown
from gateway.http.params import Resolve

MAX_BARS: Final = 10_000  # of one answer; the latest, so the library's limitedServerResponse fits
MAX_COUNTBACK: Final = 999_999_999
MAX_SECONDS: Final = 99_999_999_999  # of 11 digits; with more they are milliseconds
MAX_FOUND: Final = 1_000  # symbols of one search
DEFAULT_FOUND: Final = 30  # as many as the library asks for
MAX_QUOTES: Final = 1_000
MAX_QUOTES_CHARS: Final = 20_000  # of all their names, which fit a request line in any encoding
MAX_CHARS: Final = 100  # of the texts that are searched for
UNKNOWN_SYMBOL: Final = "unknown_symbol"
_WHOLE: Final = re.compile(r"-?[0-9]{1,20}")
_MINUTES: Final = re.compile(r"[1-9][0-9]{0,3}")
_DAY: Final = frozenset({"D", "1D"})
_SYMBOL_SHAPE: Final = "expected VENUE:BASE-QUOTE, or the part after the colon"


class UnknownSymbol(ApiError):
    """A symbol that nobody carries; the library knows the word that the message begins with."""

    def __init__(self, given: str) -> None:
        self.given = given
        reason = f"nobody carries {shown(given)}; /udf/search finds those that there are"
        super().__init__(404, f"{UNKNOWN_SYMBOL}: {reason}")


class SpanQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Bars of a symbol that start in ``[start_ns, end_ns)``; nanoseconds, UTC.

    With *countback* the last so many before ``end_ns``, wherever they start.
    """

    symbol: Symbol
    resolution: Resolution
    start_ns: int
    end_ns: int
    countback: int | None = None


class SearchQuery(msgspec.Struct, frozen=True):
    """Which symbols are looked for; an empty text leaves that criterion out."""

    text: str
    exchange: str
    kind: str
    limit: int


class UdfParams:
    """The query of one request; each parameter that is read at most once."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take the decoded name and value *pairs* of a query string."""
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def text(self, name: str, *, most: int = MAX_CHARS) -> str:
        """The text given, empty without one.

        Raises:
            BadParameter: given twice, or longer than *most* characters.
        """
        values = self._values.get(name, [""])
        if len(values) > 1:
            raise BadParameter(name, values[1], "give it once")
        if len(values[0]) > most:
            raise BadParameter(name, values[0], f"expected at most {most} characters")
        return values[0]

    def required(self, name: str, shape: str, *, most: int = MAX_CHARS) -> str:
        """The text given.

        Raises:
            ApiError: missing or empty; *shape* says what is expected. As :meth:`text`, too.
        """
        text = self.text(name, most=most)
        if not text:
            raise ApiError(400, f"parameter {name} is missing; {shape}")
        return text

    def is_empty(self, name: str) -> bool:
        """Is the parameter there, once, without a value?"""
        return self._values.get(name) == [""]

    def seconds_ns(self, name: str) -> int | None:
        """A point in time in nanoseconds, given in whole seconds; None without one.

        What lies before 1970 is moved there: charts scroll further than that.

        Raises:
            BadParameter: not a whole number of seconds.
        """
        text = self.text(name)
        if name not in self._values:
            return None
        if not _WHOLE.fullmatch(text) or abs(int(text)) > MAX_SECONDS:
            shape = "expected whole seconds since 1970, UTC, not milliseconds"
            raise BadParameter(name, text, shape)
        return max(int(text), 0) * SECOND_NS

    def number(self, name: str, least: int, most: int) -> int | None:
        """A whole number, None without one.

        Raises:
            BadParameter: not one from *least* to *most*.
        """
        text = self.text(name)
        if name not in self._values:
            return None
        if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
            raise BadParameter(name, text, f"expected a whole number from {least} to {most}")
        return int(text)

    def symbol(self, resolve: Resolve) -> Symbol:
        """The symbol asked for; one with its venue may have bars though nobody carries it now.

        Raises:
            UnknownSymbol: a bare name that nobody carries.
            ApiError: missing, ill-formed, ambiguous, or not this caller's.
        """
        text = self.required("symbol", _SYMBOL_SHAPE)
        try:
            symbol = resolve(text)
            if symbol is None and ":" in text:
                symbol = parse_symbol(text)
        except SymbolError as exc:
            raise BadParameter("symbol", text, exc.reason) from exc
        if symbol is None:
            raise UnknownSymbol(text)
        return symbol

    def resolution(self) -> Resolution:
        """The length of bars asked for.

        Raises:
            ApiError: missing, or not one that is offered.
        """
        shape = f"expected minutes from 1 to {MAX_MINUTES}, such as 5 or 240, or 1D"
        text = self.required("resolution", shape)
        if text in _DAY:
            return Resolution(MAX_MINUTES)
        if not _MINUTES.fullmatch(text) or int(text) > MAX_MINUTES:
            raise BadParameter("resolution", text, shape)
        return Resolution(int(text))


def history_query(pairs: Iterable[tuple[str, str]], resolve: Resolve) -> SpanQuery:
    """Read the parameters of ``/udf/history``.

    A *countback* of 0, which the library sends for the rest of an answer that had it all, is none.

    Raises:
        ApiError: whatever is wrong with them first.
    """
    params = UdfParams(pairs)
    countback = params.number("countback", 0, MAX_COUNTBACK) or None
    return _span(params, resolve, countback)


def marks_query(pairs: Iterable[tuple[str, str]], resolve: Resolve) -> SpanQuery:
    """Read the parameters of ``/udf/marks`` and ``/udf/timescale_marks``.

    Raises:
        ApiError: whatever is wrong with them first.
    """
    return _span(UdfParams(pairs), resolve, None)


def search_query(pairs: Iterable[tuple[str, str]]) -> SearchQuery:
    """Read the parameters of ``/udf/search``.

    Raises:
        ApiError: whatever is wrong with them first.
    """
    params = UdfParams(pairs)
    return SearchQuery(
        params.text("query"),
        params.text("exchange").upper(),
        params.text("type").lower(),
        params.number("limit", 1, MAX_FOUND) or DEFAULT_FOUND,
    )


def quotes_query(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Read the names of ``/udf/quotes``, each once, as they were given.

    An empty list is one: of a watch-list that is in view as a whole, charts poll what is not.

    Raises:
        ApiError: there is no list, or there are more names than are answered at once.
    """
    params = UdfParams(pairs)
    if params.is_empty("symbols"):
        return []
    shape = "expected a comma-separated list such as COINBASE:BTC-USD,COINBASE:ETH-USD"
    text = params.required("symbols", shape, most=MAX_QUOTES_CHARS)
    if not (text.isascii() and text.isprintable()):
        raise BadParameter("symbols", text, f"expected ASCII; {shape}")
    names = list(dict.fromkeys(text.split(",")))
    if len(names) > MAX_QUOTES:
        accepted = f"at most {MAX_QUOTES} symbols in one request, not {len(names)}"
        raise BadParameter("symbols", text, accepted)
    return names


def _span(params: UdfParams, resolve: Resolve, countback: int | None) -> SpanQuery:
    resolution = params.resolution()
    start_ns, end_ns = params.seconds_ns("from"), params.seconds_ns("to")
    if end_ns is None:
        raise ApiError(400, "parameter to is missing; expected seconds since 1970, UTC, exclusive")
    if start_ns is None and countback is None:
        raise ApiError(400, "parameter from is missing; expected seconds since 1970, UTC")
    if countback is None and start_ns is not None and start_ns > end_ns:
        given = f"{start_ns // SECOND_NS}"
        raise BadParameter(
            "from", given, f"expected a time up to {end_ns // SECOND_NS}, which is to"
        )
    return SpanQuery(
        symbol=params.symbol(resolve),
        resolution=resolution,
        start_ns=start_ns or 0,
        end_ns=end_ns,
        countback=countback,
    )
