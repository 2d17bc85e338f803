"""Symbols: ``VENUE:BASE-QUOTE`` or ``VENUE:TICKER``, and how a client may spell them."""

import re
from collections.abc import Iterable, Sequence
from typing import NewType

from core.market.errors import SymbolError

Symbol = NewType("Symbol", str)  # canonical, with its venue: "COINBASE:BTC-USD"

_VENUE = re.compile(r"[A-Z][A-Z0-9_]{0,15}")
_TICKER = re.compile(r"[A-Z0-9][A-Z0-9._/\-]{0,39}")
_SHAPE = "expected VENUE:BASE-QUOTE, VENUE:TICKER or the part after the colon, such as BTC-USD"


def make_symbol(venue: str, ticker: str) -> Symbol:
    """Canonical symbol of a venue's own name; letters are put in upper case, nothing is renamed.

    Raises:
        SymbolError: venue or ticker is empty, too long (16 and 40), or holds another character
            than letters, digits and ``. _ / -`` (venue: letters, digits and ``_``).
    """
    text = f"{venue}:{ticker}"
    if not text.isascii():  # upper() would turn some foreign letters into ASCII ones
        raise SymbolError(text, _SHAPE)
    venue, ticker = venue.upper(), ticker.upper()
    if not _VENUE.fullmatch(venue) or not _TICKER.fullmatch(ticker):
        raise SymbolError(text, _SHAPE)
    return Symbol(f"{venue}:{ticker}")


def parse_symbol(text: str) -> Symbol:
    """Read a full symbol, ``VENUE:TICKER``.

    Raises:
        SymbolError: as :func:`make_symbol`, or no venue is named.
    """
    venue, colon, ticker = text.partition(":")
    if not colon:
        raise SymbolError(text, _SHAPE)
    return make_symbol(venue, ticker)


def fold(text: str) -> str:
    """Spellings that differ only in case or in ``/`` and ``-`` fold to the same text."""
    return text.upper().replace("/", "-")


class SymbolDirectory:
    """The symbols that venues carry, found by any accepted spelling.

    Memory is bounded by the number of symbols added; the caller limits that.
    """

    def __init__(self, symbols: Iterable[Symbol] = ()) -> None:
        self._exact: set[Symbol] = set()
        self._full: dict[str, Symbol] = {}
        self._bare: dict[str, list[Symbol]] = {}
        for symbol in symbols:
            self.add(symbol)

    def add(self, symbol: Symbol) -> bool:
        """Take in a carried symbol; False when it was there already."""
        if symbol in self._exact:
            return False
        self._exact.add(symbol)
        self._full.setdefault(fold(symbol), symbol)
        self._bare.setdefault(fold(symbol.partition(":")[2]), []).append(symbol)
        return True

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._exact

    def __len__(self) -> int:
        return len(self._exact)

    def symbols(self) -> list[Symbol]:
        """All carried symbols, sorted."""
        return sorted(self._exact)

    def resolve(self, text: str) -> Symbol | None:
        """The carried symbol that *text* names, or None for a well-formed one nobody carries yet.

        Raises:
            SymbolError: *text* is ill-formed, or a bare name that several venues carry (the
                message names the choices).
        """
        return only_one(text, self.choices(text))

    def choices(self, text: str) -> list[Symbol]:
        """The carried symbols that *text* may name: none, one, or those of several venues.

        Raises:
            SymbolError: *text* is ill-formed.
        """
        if text in self._exact:
            return [Symbol(text)]
        if ":" in text:
            symbol = parse_symbol(text)
            found = symbol if symbol in self._exact else self._full.get(fold(symbol))
            return [] if found is None else [found]
        bare = text.upper()
        if not text.isascii() or not _TICKER.fullmatch(bare):
            raise SymbolError(text, _SHAPE)
        return self._bare.get(fold(bare), [])


def only_one(text: str, choices: Sequence[Symbol]) -> Symbol | None:
    """The one of *choices* for *text*, None without any.

    Raises:
        SymbolError: there are several; the message names them.
    """
    if len(choices) > 1:
        raise SymbolError(text, f"carried by several venues, say which: {', '.join(choices)}")
    return choices[0] if choices else None
