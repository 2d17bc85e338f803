"""Which symbols somebody may read, as a few patterns. Pure."""

import re
from collections.abc import Iterable
from typing import Final

from core.market.errors import TickgateError
from core.market.symbol import fold

ANY: Final = "*"
MAX_PATTERNS: Final = 10_000  # of one caller; a token or a row with more is refused
_PATTERN: Final = re.compile(r"([A-Z][A-Z0-9_]{0,15}:)?[A-Z0-9._\-]{0,40}\*?")


class EntitlementError(TickgateError):
    """A list of patterns cannot be read."""

    def __init__(self, given: str) -> None:
        self.given = given
        super().__init__(given)

    def __str__(self) -> str:
        return (
            f"symbols: {self.given[:80]!a} is not accepted; expected *, VENUE:*, VENUE:NAME, a "
            "beginning such as COINBASE:BTC-*, or a name at any venue such as BTC-USD"
        )


class Entitlement:
    """Symbols by pattern; equal ones of the same patterns are equal. Immutable.

    A pattern is ``*``, a symbol or its beginning with a ``*`` behind it. Without a venue it is for
    the names of all venues. Case does not matter, and ``/`` and ``-`` are alike.
    """

    __slots__ = ("_beginnings", "_names", "_symbols", "everything", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        """Take *patterns*; none permits nothing.

        Raises:
            EntitlementError: one of them is ill-formed, or they are too many.
        """
        folded = sorted({_checked(pattern) for pattern in patterns})
        if len(folded) > MAX_PATTERNS:
            raise EntitlementError(f"{len(folded)} patterns, more than {MAX_PATTERNS}")
        self.everything = ANY in folded
        """Are all symbols permitted?"""
        self.patterns = (ANY,) if self.everything else tuple(folded)
        exact = [pattern for pattern in self.patterns if not pattern.endswith(ANY)]
        begun = [pattern[:-1] for pattern in self.patterns if pattern.endswith(ANY)]
        # Names without a venue are compared with what follows the colon, which they begin with.
        self._symbols = frozenset(p for p in exact if ":" in p)
        self._names = frozenset(f":{p}" for p in exact if ":" not in p)
        self._beginnings = (
            tuple(p for p in begun if ":" in p),
            tuple(f":{p}" for p in begun if ":" not in p),
        )

    def permits(self, symbol: str) -> bool:
        """May *symbol*, named in full, be read?"""
        if self.everything:
            return True
        full = fold(symbol)
        name = full[full.find(":") :]
        return (
            full in self._symbols
            or name in self._names
            or full.startswith(self._beginnings[0])
            or name.startswith(self._beginnings[1])
        )

    def touches(self, venue: str) -> bool:
        """May some symbol of *venue* be read?"""
        loose = self.everything or any(":" not in pattern for pattern in self.patterns)
        return loose or any(pattern.startswith(f"{venue}:") for pattern in self.patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entitlement) and self.patterns == other.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)

    def __repr__(self) -> str:
        return f"Entitlement({list(self.patterns)!r})"


def _checked(pattern: str) -> str:
    folded = fold(pattern)
    is_shaped = pattern.isascii() and _PATTERN.fullmatch(folded)  # upper() makes some letters ASCII
    if not is_shaped or not folded or folded.endswith(":"):
        raise EntitlementError(pattern)
    return folded


EVERYTHING: Final = Entitlement((ANY,))
"""All symbols, those of tomorrow too."""
