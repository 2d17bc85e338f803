"""Feed time: what time it is by a feed's own events."""

import enum
from typing import Final

NEVER: Final = -(2**63)


class ClockKind(enum.Enum):
    """How a feed's time goes on, and what checks the future."""

    LIVE = "live"  # runs on between events; the wall clock checks the first of each connection
    PULLED = "pulled"  # runs on between events; the wall clock checks every event
    HISTORY = "history"  # as in a replay until go_live(), then PULLED; so is it checked
    REPLAY = "replay"  # the newest event time alone; there is no future


class FeedClock:
    """The newest event time seen plus, unless it is past trading, the monotonic time since then.

    Pure: the caller brings the monotonic time. ``newest_ns`` never goes back; feed time may, by
    as much as an event came late, which is why the publisher holds the watermark.
    """

    __slots__ = ("_arrived_ns", "kind", "newest_ns", "unanchored")

    def __init__(self, kind: ClockKind, *, newest_ns: int = NEVER, monotonic_ns: int = 0) -> None:
        """Start at *newest_ns*, the feed time of the last stored block (NEVER: a new feed)."""
        self.kind = kind
        self.newest_ns = newest_ns
        self._arrived_ns = monotonic_ns
        self.unanchored = True
        """True: the next event is the first (of a connection); the wall clock checks it. Whoever
        takes it in tells whether it is the first one still."""

    @property
    def by_events_alone(self) -> bool:
        """Does time stand still between events?"""
        return self.kind is ClockKind.REPLAY or self.kind is ClockKind.HISTORY

    def now_ns(self, monotonic_ns: int) -> int:
        """Feed time at *monotonic_ns*; NEVER before the first event."""
        if self.by_events_alone or self.newest_ns == NEVER:
            return self.newest_ns
        return self.newest_ns + max(0, monotonic_ns - self._arrived_ns)

    def advance(self, event_ns: int, monotonic_ns: int) -> None:
        """An admitted event of *event_ns* arrived at *monotonic_ns*."""
        if event_ns > self.newest_ns:
            self.newest_ns = event_ns
            self._arrived_ns = monotonic_ns

    def reconnected(self) -> None:
        """A new connection: its first event may be far ahead of the last one's feed time."""
        self.unanchored = True

    def go_live(self) -> None:
        """A history is over: time runs on from here."""
        if self.kind is ClockKind.HISTORY:
            self.kind = ClockKind.PULLED
