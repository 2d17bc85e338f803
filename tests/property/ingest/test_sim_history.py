"""A sim's history, stopped anywhere, goes on as if it had never been stopped."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.sim_history import SimHistory

MINUTE_NS = 60 * 10**9
NOW_NS = 1_000_000 * MINUTE_NS

histories = st.builds(SimHistory, minutes=st.integers(1, 10_080), symbols=st.integers(1, 10_000))


@given(histories, st.lists(st.integers(0, 2**40), min_size=1, max_size=5), st.integers(0, 10**16))
def test_ticks_keep_their_times_over_a_stop(
    history: SimHistory, stops: list[int], later_ns: int
) -> None:
    start_ns = history.start_ns([], now_ns=NOW_NS)
    numbers = [1 + stop % history.ticks for stop in stops]
    newest = [history.event_times(n - 1, 1, start_ns=start_ns)[0] for n in numbers]
    lowest = min(newest)  # an empty block may have been written at the lowest shard's time
    marks = [*zip(numbers, newest, strict=True), (max(numbers), lowest)]
    whole = [n == history.ticks for n in numbers]

    again_ns = history.start_ns(marks, now_ns=NOW_NS + later_ns)

    if not all(whole):  # otherwise there is nothing left to emit
        assert again_ns == start_ns


@given(histories, st.integers(1, 10**16))
def test_nothing_lies_in_the_future_when_the_clock_was_set_back(
    history: SimHistory, back_ns: int
) -> None:
    start_ns = history.start_ns([], now_ns=NOW_NS)
    mark = (1, history.event_times(0, 1, start_ns=start_ns)[0])

    again_ns = history.start_ns([mark], now_ns=NOW_NS - back_ns)

    assert history.event_times(history.ticks - 1, 1, start_ns=again_ns)[0] < NOW_NS - back_ns


@given(histories, st.integers(0, 2**40), st.integers(1, 250))
def test_times_are_in_order_and_before_now(history: SimHistory, at: int, count: int) -> None:
    start_ns = history.start_ns([], now_ns=NOW_NS)
    first = at % history.ticks
    count = min(count, history.ticks - first)

    times = history.event_times(first, count, start_ns=start_ns)

    assert times == sorted(times)
    assert times[-1] < NOW_NS
    assert history.event_times(first, 1, start_ns=start_ns) == times[:1]
