"""Venue gate: when a venue's REST history may be asked; one per venue and process. Pure."""

from collections import deque
from typing import Final

from core.runtime.breaker import Breaker, BreakerState
from ingest.retry_after import MAX_S

_MAX_FAILURES: Final = 5  # requests in a row, then the breaker opens
_OPEN_S: Final = 10.0
_BUSY_S: Final = 10.0  # where a venue says that it is busy, and not for how long


class VenueGate:
    """Holds all who ask a venue to its rate, to what it said of itself, and to a circuit breaker.

    At most ``requests_per_s`` on average, and that many (at least one) at once. Five failures in
    a row open the breaker, which lets one probe through every 10 s.
    """

    def __init__(
        self, venue: str, *, requests_per_s: float, retry_after_s: float = _OPEN_S
    ) -> None:
        """*retry_after_s*: how long the open breaker waits before a probe."""
        self.venue = venue
        self.answered = 0
        self.failed = 0
        self.fault = ""
        """Why the latest request failed, as far as none was answered since."""
        self.refused = 0  # the venue said that it is asked too often
        self._breaker = Breaker(max_failures=_MAX_FAILURES, retry_after_s=retry_after_s)
        burst = max(1, int(requests_per_s))
        self._span_s = burst / requests_per_s
        self._asked_s: deque[float] = deque(maxlen=burst)
        self._busy_until_s = 0.0

    @property
    def state(self) -> BreakerState:
        """The circuit breaker's."""
        return self._breaker.state

    def enter(self, now_s: float) -> float:
        """0: a request goes out now. Else nothing may for so many seconds; ask again then."""
        wait_s = self._busy_until_s - now_s
        if len(self._asked_s) == self._asked_s.maxlen:
            wait_s = max(wait_s, self._asked_s[0] + self._span_s - now_s)
        wait_s = max(wait_s, self._breaker.wait_s(now_s))
        if wait_s > 0:
            return wait_s
        self._breaker.allows(now_s)
        self._asked_s.append(now_s)
        return 0.0

    def answer(self, now_s: float) -> None:
        """A request was answered."""
        self.answered += 1
        self.fault = ""
        self._breaker.record(ok=True, now_s=now_s)

    def fail(self, now_s: float, fault: str) -> None:
        """A request was not answered, or with a fault of the venue's; *fault*: in words."""
        self.failed += 1
        self.fault = fault
        self._breaker.record(ok=False, now_s=now_s)

    def refuse(self, now_s: float, retry_after_s: float | None) -> None:
        """The venue wants no request for *retry_after_s* (None: it did not say); it works."""
        self.refused += 1
        self._breaker.record(ok=True, now_s=now_s)
        pause_s = _BUSY_S if retry_after_s is None else min(retry_after_s, MAX_S)
        self._busy_until_s = max(self._busy_until_s, now_s + pause_s)
