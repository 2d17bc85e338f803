"""Silence made visible: which feeds are stale, and the messages that say so. Pure: told the time.

A feed is stale when no tick of it came for a while though it runs. It runs as far as this process
knows once a block of it was read, an empty one at least, which ingest writes each second; it is
then judged until it says that it has ended. So a feed that ran days ago and left its name in the
registry is no matter, while one whose ingest died, or that Redis keeps from us, is silent.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.channels import Codec
from gateway.encode import control, time_value
from gateway.frames import frame
from gateway.market import FeedNews

_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FeedState:
    """How one feed stands. Times in UNIX ns: of its events by the venue, else by this process."""

    feed: str
    venue: str
    newest_event_ns: int | None  # None: no tick came since this process reads
    last_tick_ns: int | None  # when the last one came
    quiet_since_ns: int  # the same; without one, when the feed was first heard of
    stale: bool
    ended: bool


@dataclass(slots=True)
class _Seen:
    ticks: int
    monotonic_ns: int
    wall_ns: int


class Silence:
    """Judges the feeds' silence, look by look; as exact as the looks are frequent.

    Memory: some hundred bytes per feed heard of.
    """

    def __init__(self, *, stale_after_s: float = 30.0, heartbeat_s: float = 15.0) -> None:
        """*heartbeat_s* is how often sessions are told the newest event times; 0: never."""
        self.heartbeat_s = heartbeat_s
        self._stale_after_ns = int(stale_after_s * _SECOND_NS)
        self._seen: dict[str, _Seen] = {}
        self._states: dict[str, FeedState] = {}

    def look(
        self,
        heard: Mapping[str, FeedNews],
        venues: Mapping[str, str],
        *,
        now_ns: int,
        monotonic_ns: int,
    ) -> list[FeedState]:
        """Judge by what was *heard* of each feed up to now; those whose ``stale`` has changed."""
        changed = []
        for feed, news in heard.items():
            before = self._states.get(feed)
            seen = self._note(feed, news, _Seen(news.ticks, monotonic_ns, now_ns))
            is_due = monotonic_ns - seen.monotonic_ns >= self._stale_after_ns
            state = FeedState(
                feed=feed,
                venue=venues.get(feed, ""),
                newest_event_ns=news.newest_event_ns,
                last_tick_ns=seen.wall_ns if news.ticks else None,
                quiet_since_ns=seen.wall_ns,
                stale=is_due and news.begun and not news.ended,
                ended=news.ended,
            )
            self._states[feed] = state
            if state.stale != (before is not None and before.stale):
                changed.append(state)
        return changed

    def states(self) -> list[FeedState]:
        """All feeds heard of, as they were at the last look."""
        return list(self._states.values())

    def stale(self) -> list[FeedState]:
        """Those that are stale."""
        return [state for state in self._states.values() if state.stale]

    def _note(self, feed: str, news: FeedNews, now: _Seen) -> _Seen:
        seen = self._seen.get(feed)
        if seen is None or news.ticks != seen.ticks:
            self._seen[feed] = seen = now
        return seen


def heartbeats(states: Iterable[FeedState], now_ns: int) -> dict[Codec, bytes]:
    """`hb` in every codec, framed: the time, and each running feed's newest event time."""
    running = {state.feed: state.newest_event_ns for state in states if not state.ended}
    return _framed(
        lambda codec: {
            "T": "hb",
            "t": time_value(now_ns, codec),
            "feeds": {feed: _time(newest_ns, codec) for feed, newest_ns in running.items()},
        }
    )


def staleness(state: FeedState) -> dict[Codec, bytes]:
    """`stale` in every codec, framed; of a feed that has ended it says that as well."""
    ended = {"ended": True} if state.ended else {}
    return _framed(
        lambda codec: {
            "T": "stale",
            "feed": state.feed,
            "venue": state.venue,
            "stale": state.stale,
            "t": _time(state.newest_event_ns, codec),
            "since": time_value(state.quiet_since_ns, codec),
            **ended,
        }
    )


def shutdown(within_s: int) -> dict[Codec, bytes]:
    """`shutdown` in every codec, framed: the session is closed within that many seconds."""
    reason = "the gateway is going down; reconnect"
    return _framed(lambda _: {"T": "shutdown", "msg": reason, "within_s": within_s})


def _framed(message: Callable[[Codec], Mapping[str, Any]]) -> dict[Codec, bytes]:
    """Made once, whatever the number of clients."""
    return {codec: frame(control(message(codec), codec), codec) for codec in Codec}


def _time(time_ns: int | None, codec: Codec) -> Any:
    return None if time_ns is None else time_value(time_ns, codec)
