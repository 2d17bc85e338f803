"""Which feeds are behind the clock, and how far each has come."""

from gateway.http.behind import behind_ns
from gateway.silence import FeedState

NOW_NS = 1_700_000_000_000_000_000
MINUTE_NS = 60_000_000_000


def feed(newest_ns: int | None, *, stale: bool = False, ended: bool = False) -> FeedState:
    return FeedState("replay", "X", newest_ns, NOW_NS, NOW_NS, stale, ended)


def test_a_venue_is_as_far_as_that_feed_of_it_which_is_furthest_behind() -> None:
    feeds = [feed(NOW_NS), feed(NOW_NS - 9 * MINUTE_NS), feed(NOW_NS - 8 * MINUTE_NS)]

    assert behind_ns(feeds, NOW_NS) == {"X": NOW_NS - 9 * MINUTE_NS}


def test_a_feed_that_is_live_silent_over_or_without_a_tick_is_not_behind() -> None:
    past_ns = NOW_NS - 9 * MINUTE_NS
    feeds = [feed(NOW_NS - MINUTE_NS), feed(past_ns, stale=True), feed(past_ns, ended=True)]

    assert behind_ns([*feeds, feed(None)], NOW_NS) == {}
