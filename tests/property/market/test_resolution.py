"""Windows of any length, against a walk through the minutes of a few days."""

from hypothesis import given
from hypothesis import strategies as st

from core.market.resolution import Resolution
from core.market.timeframe import DAY_NS, MINUTE_NS

lengths = st.sampled_from([1, 2, 7, 60, 61, 100, 719, 721, 1439, 1440]) | st.integers(1, 1440)
# Around midnights, and on and beside the edges of minutes.
moments = st.builds(
    lambda day, minute, off: day * DAY_NS + minute * MINUTE_NS + off,
    st.integers(-1, 2),
    st.integers(0, 3) | st.integers(1436, 1440) | st.integers(0, 1440),
    st.integers(-1, 1),
)


def starts_around(minutes: int, time_ns: int) -> list[int]:
    """The window starts of the day of *time_ns* and its neighbours, by counting."""
    midnight = time_ns // DAY_NS * DAY_NS
    return [
        midnight + day * DAY_NS + minute * MINUTE_NS
        for day in (-1, 0, 1)
        for minute in range(0, 1440, minutes)
    ]


@given(lengths, moments)
def test_every_moment_is_in_one_window_that_lies_in_its_day(minutes: int, time_ns: int) -> None:
    resolution, starts = Resolution(minutes), starts_around(minutes, time_ns)

    start_ns = resolution.floor_ns(time_ns)

    assert start_ns == max(start for start in starts if start <= time_ns)
    assert resolution.end_ns(start_ns) == min(start for start in starts if start > time_ns)
    assert resolution.ceil_ns(time_ns) == min(start for start in starts if start >= time_ns)
    assert resolution.before_ns(start_ns) == max(start for start in starts if start < start_ns)


@given(lengths, moments)
def test_windows_of_what_it_is_made_of_never_cross_its_own(minutes: int, time_ns: int) -> None:
    resolution = Resolution(minutes)
    part_ns = resolution.base.floor_ns(time_ns)

    assert resolution.floor_ns(part_ns) == resolution.floor_ns(time_ns)
    assert part_ns + resolution.base.ns <= resolution.end_ns(resolution.floor_ns(time_ns))


@given(lengths)
def test_a_name_reads_back_as_what_it_names(minutes: int) -> None:
    assert Resolution.parse(Resolution(minutes).name) == Resolution(minutes)
