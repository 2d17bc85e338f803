"""Resolutions: names, what they are made of, and windows that start anew at midnight."""

import pytest

from core.market.errors import TimeframeError
from core.market.resolution import Resolution
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe


@pytest.mark.parametrize(
    ("text", "minutes", "name"),
    [
        ("1Min", 1, "1Min"),
        ("7Min", 7, "7Min"),
        ("90T", 90, "90Min"),
        ("t", 1, "1Min"),
        ("60min", 60, "1Hour"),
        ("1Hour", 60, "1Hour"),
        ("4H", 240, "4Hour"),
        ("hour", 60, "1Hour"),
        ("24h", 1440, "1Day"),
        ("1440Min", 1440, "1Day"),
        ("1Day", 1440, "1Day"),
        ("D", 1440, "1Day"),
    ],
)
def test_a_name_is_read_in_any_spelling_and_given_out_in_one(
    text: str, minutes: int, name: str
) -> None:
    found = Resolution.parse(text)

    assert found == Resolution(minutes)
    assert found.name == name
    assert Resolution.parse(found.name) == found


@pytest.mark.parametrize(
    "text",
    ["", "5", "1M", "0Min", "01Min", "-1Min", "1441Min", "25Hour", "2Day", "1Week", "1.5H", "1 Min",
     "99999Min", "1Mins"],
)  # fmt: skip
def test_another_name_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="expected one of 1Min to 1440Min") as caught:
        Resolution.parse(text)

    assert isinstance(caught.value, TimeframeError)
    assert caught.value.text == text


@pytest.mark.parametrize("minutes", [0, -1, 1441])
def test_a_length_beyond_a_minute_and_a_day_is_refused(minutes: int) -> None:
    with pytest.raises(TimeframeError, match=f"{minutes}Min"):
        Resolution(minutes)


@pytest.mark.parametrize(
    ("minutes", "base"),
    [(1, "1Min"), (2, "1Min"), (5, "5Min"), (10, "5Min"), (15, "15Min"), (60, "15Min"),
     (70, "5Min"), (90, "15Min"), (91, "1Min"), (1440, "15Min")],
)  # fmt: skip
def test_it_is_made_of_the_longest_stored_bars_that_fit(minutes: int, base: str) -> None:
    resolution = Resolution(minutes)

    assert resolution.base == base
    assert resolution.is_stored == (resolution.minutes == resolution.base.minutes)


def test_a_stored_timeframe_is_a_resolution_of_the_same_name() -> None:
    for timeframe in Timeframe:
        resolution = Resolution.of(timeframe)

        assert (resolution.name, resolution.base) == (timeframe.value, timeframe)
        assert resolution.is_stored


def test_windows_start_at_midnight_and_the_last_one_of_a_day_may_be_shorter() -> None:
    seven_hours = Resolution(420)
    day = 20_000 * DAY_NS
    starts = [day + n * 420 * MINUTE_NS for n in range(4)]

    assert [seven_hours.end_ns(start) for start in starts] == [*starts[1:], day + DAY_NS]
    assert seven_hours.floor_ns(day + DAY_NS - 1) == starts[3]
    assert seven_hours.floor_ns(day + DAY_NS) == day + DAY_NS
    assert seven_hours.before_ns(day + DAY_NS) == starts[3]
    assert seven_hours.ceil_ns(starts[3] + 1) == day + DAY_NS
    assert seven_hours.ceil_ns(starts[3]) == starts[3]
    assert seven_hours.ns == 420 * MINUTE_NS


def test_longer_ones_come_after_shorter_ones() -> None:
    assert sorted([Resolution(60), Resolution(5), Resolution(1440)])[0] == Resolution(5)
    assert len({Resolution(60), Resolution.parse("1H")}) == 1
