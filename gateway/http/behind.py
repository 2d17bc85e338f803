"""Feeds that run behind the clock, replays above all: how far each has come. Pure."""

from collections.abc import Iterable
from typing import Final

from core.market.timeframe import SECOND_NS
from gateway.silence import FeedState

_BEHIND_NS: Final = 60 * SECOND_NS
"""No venue reports this late what it calls live, and not stale."""

STORED_NS: Final = 600 * SECOND_NS
"""By this feed time after its end a window is stored: ten seconds of a replay 60 times as fast."""


def behind_ns(feeds: Iterable[FeedState], now_ns: int) -> dict[str, int]:
    """The newest event times, by venue, of those that have a feed which runs behind *now_ns*.

    The clock says nothing of which of their windows are over. Of several such feeds of a venue,
    the one that is furthest behind counts.
    """
    found: dict[str, int] = {}
    for feed in feeds:
        newest_ns = feed.newest_event_ns
        if newest_ns is None or feed.ended or feed.stale or newest_ns >= now_ns - _BEHIND_NS:
            continue
        found[feed.venue] = min(newest_ns, found.get(feed.venue, newest_ns))
    return found
