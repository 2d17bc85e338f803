"""Query parameters: read strictly, refused with a sentence that helps. Pure."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from core.market.errors import SymbolError, TimeframeError
from core.market.resolution import Resolution
from core.market.symbol import Symbol, fold, parse_symbol
from core.market.timeframe import DAY_NS, Timeframe
from gateway.access.grant import ANYBODY, Caller
from gateway.encode import rfc3339
from gateway.http.errors import ApiError, BadParameter, UnknownParameters, shown, unavailable
from gateway.http.formats import FORMATS
from gateway.http.times import parse_time_ns
from gateway.http.tokens import Position, decode_token

MAX_SYMBOLS: Final = 1_000  # of one request; a larger list does not fit a request line anyway
MAX_BARS: Final = 10_000  # of one page
DEFAULT_BARS: Final = 1_000
_MAX_QUERY_CHARS: Final = 100  # of the text that /v1/symbols searches for
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_TIME_SHAPE: Final = (
    "expected RFC 3339 such as 2021-07-03T00:00:00Z (any zone, up to nine decimals) or a date "
    "such as 2021-07-03 (midnight UTC)"
)

P = TypeVar("P")
Resolve = Callable[[str], Symbol | None]
"""Finds the symbol that a caller's spelling names; None for one that nobody carries yet."""


class BarsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request for bars: ``start_ns`` and ``end_ns`` inclusive, nanoseconds, UTC."""

    symbols: dict[Symbol, str]  # to the spelling that the answer uses
    resolution: Resolution
    start_ns: int
    end_ns: int
    limit: int
    descending: bool
    after: tuple[Symbol, int] | None  # the last bar of the page before
    fill: bool  # flat bars for windows without trades
    binding: tuple[str, ...]  # what a page token is bound to
    format: str  # empty: by the Accept header
    fixed: bool  # start and end are the caller's, no default that moves with the clock

    def position(self, symbol: Symbol, time_ns: int) -> Position:
        """Where the next page goes on when this one ends with that bar."""
        return Position(symbol, time_ns, self.start_ns, self.end_ns)

    def last_ns(self) -> int:
        """The last nanosecond of what may be in the answer: a window may end after ``end_ns``."""
        return self.resolution.end_ns(self.resolution.floor_ns(self.end_ns)) - 1


class Params:
    """The query of one request: each parameter at most once, none that is not known."""

    def __init__(self, pairs: Iterable[tuple[str, str]], *, accepted: tuple[str, ...]) -> None:
        """Take the decoded name and value *pairs* of a query string.

        Raises:
            UnknownParameters: a name that is not in *accepted*.
            BadParameter: a name that occurs twice.
        """
        self._values: dict[str, str] = {}
        unknown: list[str] = []
        for name, value in pairs:
            if name not in accepted:
                unknown.append(name)
            elif name in self._values:
                raise BadParameter(name, value, "give it once")
            else:
                self._values[name] = value
        if unknown:
            raise UnknownParameters(unknown, accepted)

    def get(self, name: str) -> str | None:
        return self._values.get(name)

    def symbols(self, resolve: Resolve) -> dict[Symbol, str]:
        """The symbols asked for, each with its spelling; those that nobody carries are left out.

        Raises:
            ApiError: missing, too many, ill-formed, ambiguous, or one symbol in two spellings.
        """
        text = self._values.get("symbols", "")
        if not text:
            raise ApiError(400, f"parameter symbols is missing; {_SYMBOLS_SHAPE}")
        spellings = list(dict.fromkeys(text.split(",")))
        if len(spellings) > MAX_SYMBOLS:
            accepted = f"at most {MAX_SYMBOLS} symbols in one request, not {len(spellings)}"
            raise BadParameter("symbols", text, accepted)
        chosen: dict[Symbol, str] = {}
        for spelling in spellings:
            symbol = _resolve(spelling, resolve)
            if symbol is None:
                continue
            if symbol in chosen:
                same = f"it names {symbol}, as {shown(chosen[symbol])} does; use one spelling"
                raise BadParameter("symbols", spelling, same)
            chosen[symbol] = spelling
        return chosen

    def resolution(self) -> Resolution:
        """The length of bar asked for, 1Min unless one is given.

        Raises:
            BadParameter: not one that is offered.
        """
        text = self._values.get("timeframe", Timeframe.MIN_1.value)
        try:
            return Resolution.parse(text)
        except TimeframeError as exc:
            accepted = f"expected one of {', '.join(exc.accepted)}"
            raise BadParameter("timeframe", text, accepted) from exc

    def time_ns(self, name: str) -> int | None:
        """A point in time, nanoseconds UTC, or None where it is not given.

        Raises:
            BadParameter: neither an RFC 3339 time nor a date, or one that does not exist.
        """
        text = self._values.get(name)
        if text is None:
            return None
        try:
            return parse_time_ns(text)
        except ValueError as exc:
            raise BadParameter(name, text, f"{exc}; {_TIME_SHAPE}") from exc

    def limit(self) -> int:
        """How many bars a page may have in all.

        Raises:
            BadParameter: not a whole number from 1 to 10,000.
        """
        text = self._values.get("limit", str(DEFAULT_BARS))
        if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= MAX_BARS:
            raise BadParameter("limit", text, f"expected a whole number from 1 to {MAX_BARS}")
        return int(text)

    def choice(self, name: str, *accepted: str) -> str:
        """One of a few words, the first of which is the default.

        Raises:
            BadParameter: another word.
        """
        text = self._values.get(name, accepted[0])
        if text not in accepted:
            raise BadParameter(name, text, f"expected {' or '.join(accepted)}")
        return text

    def format(self) -> str:
        """The form of the answer, where the caller does not say it by a header; else empty.

        Raises:
            BadParameter: one that is not offered.
        """
        text = self._values.get("format", "")
        if "format" in self._values and text not in FORMATS:
            raise BadParameter("format", text, f"expected one of {', '.join(FORMATS)}")
        return text

    def search(self) -> str:
        """What /v1/symbols searches for; empty for everything.

        Raises:
            BadParameter: longer than any symbol.
        """
        text = self._values.get("query", "")
        if len(text) > _MAX_QUERY_CHARS:
            raise BadParameter("query", text, f"expected at most {_MAX_QUERY_CHARS} characters")
        return text


def bars_query(pairs: Iterable[tuple[str, str]], resolve: Resolve, *, now_ns: int) -> BarsQuery:
    """Read the parameters of ``/v1/bars``.

    Raises:
        ApiError: whatever is wrong with them first.
    """
    params = Params(pairs, accepted=_BARS_PARAMS)
    symbols = params.symbols(resolve)
    resolution, limit = params.resolution(), params.limit()
    descending = params.choice("sort", "asc", "desc") == "desc"
    fill = params.choice("fill", "none", "previous") == "previous"
    start_ns, end_ns = params.time_ns("start"), params.time_ns("end")
    binding = token_binding(params, resolution.name, start_ns, end_ns)
    position = token_position(params, binding, decode_token)
    if position is not None:
        start_ns, end_ns = position.start_ns, position.end_ns
    fixed = start_ns is not None and end_ns is not None
    start_ns, end_ns = time_range(start_ns, end_ns, now_ns)
    return BarsQuery(
        symbols=symbols,
        resolution=resolution,
        start_ns=start_ns,
        end_ns=end_ns,
        limit=limit,
        descending=descending,
        after=None if position is None else (position.symbol, position.time_ns),
        fill=fill,
        binding=binding,
        format=params.format(),
        fixed=fixed,
    )


class Directory(Protocol):
    """The part of :class:`gateway.http.ports.Market` that finds symbols."""

    complete: bool

    def resolve(
        self, text: str, *, permits: Callable[[Symbol], bool] | None = None
    ) -> Symbol | None: ...


def resolver(market: Directory, caller: Caller = ANYBODY) -> Resolve:
    """How *market* finds symbols for *caller*, by a name alone only once it knows all of them.

    Of several venues that carry a name, those count whose symbol *caller* may read.
    Until then "nobody carries it" would be a guess: raises ApiError (503) for a name without its
    venue that is not known, and ApiError (403) for a symbol that *caller* may not read.
    """

    permits = None if caller.symbols.everything else caller.permits

    def resolve(text: str) -> Symbol | None:
        symbol = market.resolve(text, permits=permits)
        if symbol is None and not market.complete and ":" not in text:
            raise not_read_yet(text, "name its venue, or try again")
        named = parse_symbol(text) if symbol is None and ":" in text else symbol
        if permits is not None and named is not None and not permits(named):
            raise forbidden(text)
        return symbol

    return resolve


def not_read_yet(text: str, remedy: str) -> ApiError:
    """503: whether anybody carries *text* is not known before the stored symbols were read."""
    waits = "the stored symbols are not read yet, /readyz says why"
    return unavailable(f"symbol {shown(text)}: {waits}; {remedy}")


def forbidden(text: str) -> ApiError:
    """403: the symbol that *text* names is not among those that the caller may read."""
    return ApiError(403, f"symbol {shown(text)} is not among those that your key may read")


def matches(symbol: Symbol, wanted: str) -> bool:
    """Does *symbol* hold the text *wanted*, letters in any case and ``/`` like ``-``?"""
    return fold(wanted) in fold(symbol)


def time_range(start_ns: int | None, end_ns: int | None, now_ns: int) -> tuple[int, int]:
    """The range asked for: from the start of today to now where nothing is said.

    Raises:
        ApiError: a start after the end.
    """
    start = now_ns - now_ns % DAY_NS if start_ns is None else start_ns
    end = now_ns if end_ns is None else end_ns
    # A start of today that the caller did not choose, or a start ahead of a "now" that they did
    # not choose: the second is a range that is still empty, the first needs a word.
    if start > end and end_ns is not None:
        which = "the default, today's start" if start_ns is None else "as given"
        raise ApiError(
            400,
            f"parameter start ({rfc3339(start)}, {which}) is after end "
            f"({rfc3339(end)}); give a start that is not after the end",
        )
    return start, end


def _resolve(spelling: str, resolve: Resolve) -> Symbol | None:
    try:
        symbol = resolve(spelling)
        # One with its venue may have stored bars before this process has heard of it.
        return parse_symbol(spelling) if symbol is None and ":" in spelling else symbol
    except SymbolError as exc:
        raise BadParameter("symbols", spelling, exc.reason) from exc


def token_binding(
    params: Params, what: str, start_ns: int | None, end_ns: int | None
) -> tuple[str, ...]:
    """What a token of this query is good for: this query, in pages of any size."""
    spellings = sorted(set((params.get("symbols") or "").split(",")))
    # Not the limit: a caller may ask for the next page in another size.
    order, fill = params.get("sort") or "asc", params.get("fill") or "none"
    return (what, order, fill, str(start_ns), str(end_ns), *spellings)


def token_position(
    params: Params, binding: tuple[str, ...], read: Callable[[str, Sequence[str]], P]
) -> P | None:
    """Where the page asked for begins; None for the first one.

    Raises:
        BadParameter: no token of a page of this query.
    """
    text = params.get("page_token")
    if text is None:
        return None
    try:
        return read(text, binding)
    except ValueError as exc:
        accepted = (
            f"{exc}; expected next_page_token of the page before, the query otherwise unchanged"
        )
        raise BadParameter("page_token", text, accepted) from exc


_BARS_PARAMS: Final = (
    "symbols",
    "timeframe",
    "start",
    "end",
    "limit",
    "sort",
    "page_token",
    "fill",
    "format",
)
_SYMBOLS_SHAPE: Final = "expected a comma-separated list such as COINBASE:BTC-USD,ETH-USD"
