"""How many requests a caller may make in a minute. Pure: told the time."""

from typing import Final

import msgspec

from core.market.timeframe import MINUTE_NS, SECOND_NS

_MAX_CALLERS: Final = 10_000  # remembered at once; when full, the minute's counts start anew


class Allowance(msgspec.Struct, frozen=True):
    """Whether a request may pass, and what the caller may still do in this minute."""

    allowed: bool
    limit: int
    remaining: int
    retry_after_s: int


class RequestLimiter:
    """Counts requests by caller in fixed minutes of the monotonic clock.

    Memory is bounded: at :data:`_MAX_CALLERS` callers in one minute all counts are dropped, which
    errs on the side of answering.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = -1
        self._counts: dict[str, int] = {}

    def take(self, caller: str, monotonic_ns: int) -> Allowance:
        """Count one request of *caller*; a refused one counts as well."""
        minute, into_ns = divmod(monotonic_ns, MINUTE_NS)
        full = len(self._counts) >= _MAX_CALLERS and caller not in self._counts
        if minute != self._minute or full:
            self._minute = minute
            self._counts = {}
        count = self._counts.get(caller, 0) + 1
        self._counts[caller] = count
        left_s = -(-(MINUTE_NS - into_ns) // SECOND_NS)
        allowed = count <= self._per_minute
        return Allowance(allowed, self._per_minute, max(self._per_minute - count, 0), left_s)
