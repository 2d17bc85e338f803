"""Feeds that run behind the clock, replays above all, and what of theirs may go on. Pure."""

from collections.abc import Iterable
from typing import Final

from core.market.bar import Bar
from core.market.resolution import Resolution
from core.market.tick import Tick
from core.market.timeframe import SECOND_NS, Timeframe
from gateway.silence import FeedState

_BEHIND_NS: Final = 60 * SECOND_NS
"""No venue reports this late what it calls live, and not stale."""

_STORED_NS: Final = 600 * SECOND_NS
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


def may_go_on(resolution: Resolution, newest_ns: int, come_ns: int) -> bool:
    """May the window of a symbol's newest bar, or trade, go on, with its feed come to *come_ns*?"""
    return resolution.end_ns(resolution.floor_ns(newest_ns)) > come_ns - _STORED_NS


def flat_until_ns(resolution: Resolution, come_ns: int) -> int:
    """Where the first window starts that is not known to be without trades, come to *come_ns*."""
    return resolution.floor_ns(come_ns - _STORED_NS)


def is_late(timeframe: Timeframe, closed: Bar | None, trade: Tick, over_ns: int) -> bool:
    """Would the bar that holds the last *trade* have closed by now, if that were live?

    *closed* is the newest one that has; windows that end up to *over_ns* are over by the clock.
    Gateways read the trades of a fast replay before the bars that are made of them, and those of
    its end when its feed is not behind any more; of a live feed while no aggregator runs.
    """
    if closed is not None and trade.event_ns < closed.start_ns + timeframe.ns:
        return False
    end_ns = trade.event_ns - trade.event_ns % timeframe.ns + timeframe.ns
    return end_ns <= over_ns
