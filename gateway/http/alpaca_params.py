"""Queries of the published market-data API, brought into those of ours. Pure.

What asks for something that is not done here, such as prices adjusted for splits, is refused in
words; what only names a source of data is taken and means nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway.http.errors import ApiError, BadParameter, UnknownParameters
from gateway.http.times import parse_time_ns

Pairs = list[tuple[str, str]]

_HISTORY: Final = ("symbols", "start", "end", "limit", "sort", "page_token")
_CALENDAR: Final = re.compile(r"[0-9]*(w|week|m|month)", re.IGNORECASE)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FEED: Final = re.compile(r"[A-Za-z0-9_]{1,32}")


def latest_pairs(pairs: Iterable[tuple[str, str]], *, stocks: bool, symbol: str = "") -> Pairs:
    """A query for the newest values: of *symbol*, or of those that it names.

    Raises:
        ApiError: something is asked for that is not offered.
    """
    extra = ("feed", "currency") if stocks else ()
    return _taken(pairs, ("symbols",), extra, symbol)


def history_pairs(pairs: Iterable[tuple[str, str]], *, stocks: bool, symbol: str = "") -> Pairs:
    """A query for trades or quotes of a time.

    Raises:
        ApiError: something is asked for that is not offered.
    """
    extra = ("feed", "currency", "asof") if stocks else ()
    return _taken(pairs, _HISTORY, extra, symbol)


def bars_pairs(pairs: Iterable[tuple[str, str]], *, stocks: bool, symbol: str = "") -> Pairs:
    """A query for bars of a time; it names a timeframe.

    Raises:
        ApiError: something is asked for that is not offered.
    """
    extra = ("feed", "currency", "asof", "adjustment") if stocks else ()
    found = _taken(pairs, (*_HISTORY, "timeframe"), extra, symbol)
    timeframe = dict(found).get("timeframe", "")
    if not timeframe:
        raise ApiError(400, "parameter timeframe is missing; expected one such as 1Min, 1H or 1Day")
    if _CALENDAR.fullmatch(timeframe):
        raise BadParameter("timeframe", timeframe, "weeks and months are not offered; up to 1Day")
    return found


def _taken(
    pairs: Iterable[tuple[str, str]],
    accepted: tuple[str, ...],
    extra: tuple[str, ...],
    symbol: str,
) -> Pairs:
    """Those of *pairs* that mean something; *symbol* is what the path names."""
    if "," in symbol:
        raise BadParameter("symbol", symbol, "the path names one; ask for several by symbols=")
    names = (*accepted, *extra) if not symbol else (*(set(accepted) - {"symbols"}), *extra)
    given = list(pairs)
    unknown = [name for name, _ in given if name not in names]
    if unknown:
        raise UnknownParameters(unknown, sorted(names))
    for name, value in given:
        if name in extra:
            _CHECKS[name](value)
    kept = [(name, _meant(name, value)) for name, value in given if name not in extra]
    return [("symbols", symbol), *kept] if symbol else kept


def _meant(name: str, value: str) -> str:
    """*value* as our own paths read it: there, a date is its midnight; as an end, here all of it.

    A date that does not exist stays as it was given, for the error that it leads to.
    """
    if name != "end" or not _DATE.fullmatch(value):
        return value
    try:
        parse_time_ns(value)
    except ValueError:
        return value
    return f"{value}T23:59:59.999999999Z"


def _check_adjustment(value: str) -> None:
    if value != "raw":
        raise BadParameter("adjustment", value, "prices are as they were traded: raw")


def _check_currency(value: str) -> None:
    if value.upper() != "USD":
        raise BadParameter("currency", value, "prices are not converted: USD, or leave it out")


def _check_asof(value: str) -> None:
    """A date on which the symbols had their names; here symbols never change theirs."""
    if value in ("", "-"):
        return
    try:
        parse_time_ns(value)
    except ValueError as exc:
        raise BadParameter("asof", value, "expected a date such as 2021-07-03, or -") from exc


def _check_feed(value: str) -> None:
    if not _FEED.fullmatch(value):
        raise BadParameter("feed", value, "expected a name such as iex; all mean the same here")


_CHECKS: Final[Mapping[str, Callable[[str], None]]] = {
    "adjustment": _check_adjustment,
    "currency": _check_currency,
    "asof": _check_asof,
    "feed": _check_feed,
}
