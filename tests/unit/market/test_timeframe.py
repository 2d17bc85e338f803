"""Timeframes: names, lengths and windows."""

import pytest

from core.market.errors import TimeframeError
from core.market.timeframe import DAY_NS, MINUTE_NS, SECOND_NS, TIMEFRAMES, Timeframe


def test_the_offered_timeframes_are_one_five_and_fifteen_minutes() -> None:
    assert [t.value for t in TIMEFRAMES] == ["1Min", "5Min", "15Min"]
    assert [t.minutes for t in TIMEFRAMES] == [1, 5, 15]
    assert [t.ns for t in TIMEFRAMES] == [MINUTE_NS, 5 * MINUTE_NS, 15 * MINUTE_NS]
    assert DAY_NS == 86_400 * SECOND_NS


def test_a_window_starts_at_its_first_nanosecond_and_ends_before_the_next() -> None:
    five = Timeframe.MIN_5

    assert five.floor_ns(0) == 0
    assert five.floor_ns(five.ns - 1) == 0
    assert five.floor_ns(five.ns) == five.ns
    assert five.floor_ns(-1) == -five.ns


def test_a_wire_name_is_read_and_another_is_refused_with_what_is_accepted() -> None:
    assert Timeframe.parse("15Min") is Timeframe.MIN_15
    with pytest.raises(TimeframeError) as caught:
        Timeframe.parse("1min")

    assert str(caught.value) == "timeframe '1min': expected one of 1Min, 5Min, 15Min"
    assert caught.value.accepted == ("1Min", "5Min", "15Min")
