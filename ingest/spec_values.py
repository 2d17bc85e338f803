"""The values of a feed spec's options: each reader takes the text, or raises ValueError. Pure."""

import math
import re
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

from core.market.errors import SymbolError
from core.market.symbol import make_symbol


def number(low: float, high: float) -> Callable[[str], float]:
    """A number from *low* to *high*."""

    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:  # also refuses NaN
            raise ValueError(text)
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from *low* to *high*."""

    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return read


def url(*schemes: str) -> Callable[[str], str]:
    """An address with one of *schemes* and a host."""

    def read(text: str) -> str:
        parts = urlsplit(text)  # raises ValueError on an ill-formed IPv6 address or port
        if parts.scheme not in schemes or not parts.hostname or parts.port == 0:
            raise ValueError(text)
        parts.hostname.encode("idna")  # raises UnicodeError, a ValueError, on an empty label
        return text

    return read


def speed(text: str) -> float | None:
    """A factor above 0; None for ``max``."""
    if text == "max":
        return None
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def start(text: str) -> Literal["subscribed"] | float:
    """When a replay begins: ``subscribed``, or seconds."""
    return "subscribed" if text == "subscribed" else number(0, 86_400)(text)


def venue_name(text: str) -> str:
    """The part of a symbol before the colon."""
    try:
        return make_symbol(text, "X").partition(":")[0]
    except SymbolError as exc:
        raise ValueError(text) from exc


def names(text: str) -> tuple[str, ...]:
    """Names of symbols, separated by commas."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in found:
        _ = _ticker(name)
    return found


def _ticker(text: str) -> str:
    try:
        return make_symbol("X", text)
    except SymbolError as exc:
        raise ValueError(text) from exc


def path(text: str) -> str:
    """Keys within an answer, separated by dots."""
    if not re.fullmatch(r"[^.]+(\.[^.]+)*", text):
        raise ValueError(text)
    return text


def one_of(*names: str) -> Callable[[str], str]:
    """One of some words."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return read
