"""Circuit breaker as a pure state machine: the caller brings the time and the result."""

import enum


class BreakerState(enum.StrEnum):
    """What a breaker does with the next call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Stops calls to something that keeps failing; lets one probe through now and then.

    Closed: every call may go out. ``max_failures`` failures in a row open it: none may, until
    ``retry_after_s`` have passed; then one call may, the probe (half-open). Its success closes
    the breaker, its failure opens it for another ``retry_after_s``.
    """

    def __init__(self, *, max_failures: int, retry_after_s: float) -> None:
        """*max_failures* >= 1; *retry_after_s* also bounds how long a lost probe blocks others."""
        self._max_failures, self._retry_after_s = max_failures, retry_after_s
        self._failures = 0
        self._opened_at_s: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """Half-open from the moment that a probe goes out until its end is known."""
        if self._opened_at_s is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._probing else BreakerState.OPEN

    @property
    def is_open(self) -> bool:
        """True while calls are held back (the half-open state included)."""
        return self._opened_at_s is not None

    def allows(self, now_s: float) -> bool:
        """May a call go out? While open, one probe per ``retry_after_s`` may."""
        if self._opened_at_s is None:
            return True
        if now_s - self._opened_at_s < self._retry_after_s:
            return False
        self._opened_at_s = now_s  # this caller is the probe; the next one waits again
        self._probing = True
        return True

    def wait_s(self, now_s: float) -> float:
        """How long :meth:`allows` will say no; 0: it would say yes."""
        if self._opened_at_s is None:
            return 0.0
        return max(0.0, self._opened_at_s + self._retry_after_s - now_s)

    def record(self, *, ok: bool, now_s: float) -> None:
        """Tell the breaker how an allowed call ended."""
        self._failures = 0 if ok else self._failures + 1
        self._probing = False
        if ok:
            self._opened_at_s = None
        elif self._failures >= self._max_failures:
            self._opened_at_s = now_s
