"""How many requests a caller may make in a minute, counted by all gateways together.

The count is in Redis, by the package `limits`: a window of a minute that begins with a caller's
first request. A gateway takes what it may answer in *leases*: of one request while the limit is
low, so that it is kept to the request, and of up to a thousandth of it where it is high, so that
a caller of 600,000 a minute costs 17 round trips a second and not 10,000. A lease divides the
limit, so the last one fits; what a gateway holds and does not use when the window ends is what
callers may be refused too early by, a thousandth for each gateway.

While Redis is away, each gateway counts for itself, its workers together: nobody is refused or
waits because of that.
"""

import functools
import hashlib
import math
from dataclasses import dataclass
from typing import Final

import msgspec
from limits import RateLimitItemPerMinute
from limits.aio.strategies import FixedWindowRateLimiter

from core.market.errors import TickgateError
from core.market.timeframe import MINUTE_NS, SECOND_NS
from core.runtime.breaker import Breaker
from core.runtime.ports import Clock, MonotonicClock
from gateway.tally import Tally

_MINUTE_S: Final = 60
_MAX_WINDOWS: Final = 10_000  # callers remembered; beyond: the oldest ask Redis again
_LEASES: Final = 1_000  # of a limit, at least
_LONGEST_NS: Final = MINUTE_NS + SECOND_NS  # of a window; one that lasts longer is of another clock
_RETRY_S: Final = 2.0  # between looks at whether Redis is back


class Allowance(msgspec.Struct, frozen=True):
    """Whether a request may pass, and what the caller may still do in this window."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    """UNIX seconds when the window ends."""
    retry_after_s: int

    def headers(self) -> dict[str, str]:
        """As answers tell it."""
        told = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
        }
        return told if self.allowed else {**told, "Retry-After": str(self.retry_after_s)}


@dataclass(slots=True)
class _Window:
    limit: int
    end_ns: int  # UNIX
    held: int  # requests of the lease that are not used yet
    remaining: int  # beside these, when Redis was asked last

    def take(self, now_ns: int) -> Allowance | None:
        """One request of what is held; None: Redis has to be asked."""
        runs = 0 < self.end_ns - now_ns <= _LONGEST_NS
        if not runs or (not self.held and self.remaining):
            return None
        allowed = self.held > 0
        self.held -= allowed
        wait_s = -((now_ns - self.end_ns) // SECOND_NS)
        reset_s = -(-self.end_ns // SECOND_NS)
        return Allowance(allowed, self.limit, self.held + self.remaining, reset_s, wait_s)


class Rates:
    """The limits of all callers. One task owns it: the gateway's event loop."""

    def __init__(
        self,
        shared: FixedWindowRateLimiter | None,
        tally: Tally,
        *,
        now_ns: Clock,
        monotonic_ns: MonotonicClock,
    ) -> None:
        """*shared* counts for all gateways; None: each counts for itself in *tally*."""
        self._shared, self._tally = shared, tally
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns
        self._breaker = Breaker(max_failures=1, retry_after_s=_RETRY_S)
        self._windows: dict[str, _Window] = {}

    @property
    def is_local(self) -> bool:
        """Does this gateway count for itself at the moment?"""
        return self._shared is None or self._breaker.is_open

    def take(self, name: str, limit: int) -> Allowance | None:
        """Count one request of *name*, from memory; None: :meth:`ask`."""
        window = self._windows.get(name)
        if window is not None and window.limit == limit:
            found = window.take(self._now_ns())
            if found is not None:
                return found
        return self.count_here(name, limit) if self._shared is None else None

    async def ask(self, name: str, limit: int) -> Allowance:
        """The same where Redis has to be asked; within its client's time-out, come what may."""
        now_s = self._monotonic_ns() / SECOND_NS
        if self._shared is None or not self._breaker.allows(now_s):
            return self.count_here(name, limit)
        try:
            window = await self._lease(self._shared, name, limit)
        except TickgateError:
            self._breaker.record(ok=False, now_s=self._monotonic_ns() / SECOND_NS)
            return self.count_here(name, limit)
        self._breaker.record(ok=True, now_s=now_s)
        self._keep(name, window)
        found = window.take(self._now_ns())
        return self.count_here(name, limit) if found is None else found

    def count_here(self, name: str, limit: int) -> Allowance:
        """Count one request of *name* in this gateway only, in whole minutes."""
        now_ns = self._monotonic_ns()
        count = self._tally.hit(self._tally.mark("http", name), _MINUTE_S, now_ns)
        left_s = -(-(MINUTE_NS - now_ns % MINUTE_NS) // SECOND_NS)
        reset_s = self._now_ns() // SECOND_NS + left_s
        return Allowance(count <= limit, limit, max(limit - count, 0), reset_s, left_s)

    async def _lease(self, shared: FixedWindowRateLimiter, name: str, limit: int) -> _Window:
        item, size = RateLimitItemPerMinute(limit, namespace="http"), lease_of(limit)
        mark = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()  # a name may be personal
        granted = await shared.hit(item, mark, cost=size)
        reset_s, remaining = await shared.get_window_stats(item, mark)
        window = self._windows.get(name)
        end_ns = math.ceil(reset_s * SECOND_NS)
        held = size if granted else 0
        if window is not None and window.limit == limit and window.end_ns > self._now_ns():
            held += window.held  # of a lease that another request took meanwhile
        return _Window(limit, end_ns, held, remaining if granted else 0)

    def _keep(self, name: str, window: _Window) -> None:
        self._windows.pop(name, None)
        while len(self._windows) >= _MAX_WINDOWS:
            del self._windows[next(iter(self._windows))]
        self._windows[name] = window


@functools.lru_cache(maxsize=1_000)
def lease_of(limit: int) -> int:
    """How many requests are taken at a time of *limit*: a divisor, a thousandth at most."""
    most = max(1, limit // _LEASES)
    return next(size for size in range(most, 0, -1) if limit % size == 0)
