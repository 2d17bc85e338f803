"""How many requests a caller may make in a minute. Pure: told the time."""

from typing import Final

import msgspec

from core.market.timeframe import MINUTE_NS, SECOND_NS
from gateway.tally import Tally

_MINUTE_S: Final = 60


class Allowance(msgspec.Struct, frozen=True):
    """Whether a request may pass, and what the caller may still do in this minute."""

    allowed: bool
    limit: int
    remaining: int
    retry_after_s: int


class RequestLimiter:
    """Counts requests by caller in fixed minutes of the monotonic clock, over all workers.

    Memory is bounded; more callers than fit are not counted, see :mod:`gateway.tally`.
    """

    def __init__(self, per_minute: int, tally: Tally) -> None:
        self._per_minute, self._tally = per_minute, tally

    def take(self, caller: str, monotonic_ns: int) -> Allowance:
        """Count one request of *caller*; a refused one counts as well."""
        count = self._tally.hit(self._tally.mark("http", caller), _MINUTE_S, monotonic_ns)
        left_s = -(-(MINUTE_NS - monotonic_ns % MINUTE_NS) // SECOND_NS)
        allowed = count <= self._per_minute
        return Allowance(allowed, self._per_minute, max(self._per_minute - count, 0), left_s)
