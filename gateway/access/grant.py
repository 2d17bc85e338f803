"""What somebody who calls may do. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.access.entitlement import EVERYTHING, Entitlement


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was let in, and what is theirs. Hashable: equal ones may share answers."""

    key_id: str = ""
    """Names them in logs and counts: a key's id or a token's subject; empty: nobody asked."""
    symbols: Entitlement = EVERYTHING
    channels: frozenset[str] | None = None
    """Those of the stream that they may read; None: all."""
    requests_per_minute: int = 0
    """Of HTTP; 0: no limit."""
    connections: int = 0
    """To the stream, at a time; 0: no limit of their own."""
    expires_ns: int = 0
    """UNIX nanoseconds from which on they are nobody; 0: never."""
    by_token: bool = False
    """Let in by a token, which nobody can revoke."""

    def permits(self, symbol: str) -> bool:
        """May they read *symbol*, named in full?"""
        return self.symbols.permits(symbol)

    def permits_all(self, symbols: Iterable[str]) -> bool:
        """May they read all of *symbols*?"""
        return self.symbols.everything or all(map(self.symbols.permits, symbols))

    def permits_channel(self, channel: str) -> bool:
        """May they read *channel* of the stream?"""
        return self.channels is None or channel in self.channels


ANYBODY: Final = Caller()
"""Who calls where no keys are asked for: may read everything, without a limit."""
