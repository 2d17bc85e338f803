"""Windows: every moment is in exactly one of them."""

from hypothesis import given
from hypothesis import strategies as st

from core.market.timeframe import MINUTE_NS, Timeframe

near_edges = st.builds(
    lambda minutes, off: minutes * MINUTE_NS + off, st.integers(-31, 31), st.integers(-2, 2)
)


@given(st.sampled_from(Timeframe), near_edges)
def test_a_moment_is_in_the_half_open_window_that_it_is_floored_to(
    timeframe: Timeframe, time_ns: int
) -> None:
    start_ns = timeframe.floor_ns(time_ns)

    assert start_ns % timeframe.ns == 0
    assert start_ns <= time_ns < start_ns + timeframe.ns


@given(near_edges)
def test_smaller_windows_nest_in_larger_ones(time_ns: int) -> None:
    for small, large in ((Timeframe.MIN_1, Timeframe.MIN_5), (Timeframe.MIN_5, Timeframe.MIN_15)):
        assert large.floor_ns(small.floor_ns(time_ns)) == large.floor_ns(time_ns)
