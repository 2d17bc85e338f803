"""Texts of window starts: whatever the windows, the same as one by one."""

import datetime as dt

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from core.market.timeframe import MINUTE_NS
from gateway.http.answers import window_texts

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LAST = 120_000_000  # in the year 2198


def as_text(minute: int) -> str:
    return (_EPOCH + dt.timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


@example(1_439, 1, 3_000, {5, 2_999}, False)
@example(1_439, 1, 3_000, set(), False)
@example(7, 5, 300, set(), False)
@given(
    st.integers(0, _LAST),
    st.sampled_from([1, 2, 5, 7, 15, 60, 1_440]),
    st.integers(0, 3_000),
    st.sets(st.integers(0, 2_999), max_size=3),
    st.booleans(),
)
def test_texts_of_windows_with_and_without_holes_either_way(
    first: int, step: int, count: int, holes: set[int], descending: bool
) -> None:
    minutes = [first + n * step for n in range(count) if n not in holes]
    if descending:
        minutes.reverse()

    texts = window_texts(np.array(minutes, np.int64) * MINUTE_NS)

    assert texts == [as_text(minute) for minute in minutes]
