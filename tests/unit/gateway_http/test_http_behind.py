"""Which feeds are behind the clock, how far each has come, and what may go on."""

import pytest

from core.market.bar import Bar
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import Timeframe
from gateway.http.behind import behind_ns, flat_until_ns, is_late, may_go_on
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


def test_a_window_may_go_on_until_its_feed_has_come_ten_minutes_past_it() -> None:
    hour, start_ns = Resolution(60), NOW_NS - NOW_NS % (60 * MINUTE_NS)

    assert may_go_on(hour, start_ns + 5 * MINUTE_NS, start_ns + 69 * MINUTE_NS)
    assert not may_go_on(hour, start_ns + 5 * MINUTE_NS, start_ns + 70 * MINUTE_NS)


def test_a_window_without_a_trade_is_known_to_be_so_ten_minutes_of_its_feed_later() -> None:
    hour, start_ns = Resolution(60), NOW_NS - NOW_NS % (60 * MINUTE_NS)

    assert flat_until_ns(hour, start_ns + 70 * MINUTE_NS - 1) == start_ns
    assert flat_until_ns(hour, start_ns + 70 * MINUTE_NS) == start_ns + 60 * MINUTE_NS


@pytest.mark.parametrize(
    ("minute", "over_minute", "late"),
    [
        (4.9, 60, False),  # in the bar that closed
        (5, 60, True),
        (12, 14.9, False),  # its window is not over
        (12, 15, True),
    ],
)
def test_a_bar_is_late_where_the_last_trade_is_behind_all_that_closed(
    minute: float, over_minute: float, late: bool
) -> None:
    symbol, start_ns = Symbol("X:A"), NOW_NS - NOW_NS % (60 * MINUTE_NS)
    closed = Bar(symbol, Timeframe.MIN_5, start_ns, 1.0, 1.0, 1.0, 1.0, 1.0, 1, 1.0)
    trade = Tick(symbol, 1, 1.0, 1.0, start_ns + int(minute * MINUTE_NS))

    over_ns = start_ns + int(over_minute * MINUTE_NS)

    assert is_late(Timeframe.MIN_5, closed, trade, over_ns) is late


def test_where_no_bar_has_closed_the_clock_alone_tells_whether_one_is_late() -> None:
    trade = Tick(Symbol("X:A"), 1, 1.0, 1.0, NOW_NS - NOW_NS % MINUTE_NS)

    assert not is_late(Timeframe.MIN_1, None, trade, trade.event_ns + MINUTE_NS - 1)
    assert is_late(Timeframe.MIN_1, None, trade, trade.event_ns + MINUTE_NS)
