"""Many bars as rows of JSON are what each bar is by itself."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.market.bar import Bar
from core.market.bar_columns import columns_of
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from gateway.encode import rfc3339
from gateway.http.answers import MANY_ROWS, bar_answer, encode, encode_bars
from gateway.http.bar_rows import RowShape, bar_rows

A, B = Symbol("SIM:A"), Symbol("SIM:B")
LAST_NS = 9_223_286_400_000_000_000  # 2262-04-11
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTS = st.integers(0, 2**63 - 1)


def rows_of(shape: RowShape, starts_ns: list[int], *columns: Any) -> list[Any]:
    text, stops = bar_rows(shape, np.array(starts_ns, np.int64), [np.array(c) for c in columns])
    ends = [0, *stops.tolist()]
    rows = [bytes(text[at:to]) for at, to in pairwise(ends)]
    assert all(row.endswith(b"},") for row in rows)
    return [json.loads(row[:-1]) for row in rows]


@given(st.lists(st.tuples(st.integers(0, LAST_NS // MINUTE_NS), FLOATS, INTS), min_size=1))
def test_rows_of_any_numbers_and_times(some: list[tuple[int, float, int]]) -> None:
    minutes, floats, ints = zip(*some, strict=True)
    starts_ns = [minute * MINUTE_NS for minute in minutes]

    rows = rows_of(RowShape.of("o", "trade"), starts_ns, floats, ints)

    expected = zip(map(rfc3339, starts_ns), floats, ints, strict=True)
    assert rows == [{"t": time, "o": number, "trade": count} for time, number, count in expected]


@given(st.integers(0, 100_000), st.integers(1, 40), st.integers(1, 3_000), st.booleans())
def test_rows_of_any_span_of_days(first: int, n: int, step: int, descending: bool) -> None:
    starts_ns = [first * MINUTE_NS + k * step * MINUTE_NS for k in range(n)]
    starts_ns = starts_ns[::-1] if descending else starts_ns

    rows = rows_of(RowShape.of("n"), starts_ns, range(n))

    assert [row["t"] for row in rows] == [rfc3339(start_ns) for start_ns in starts_ns]
    assert [row["n"] for row in rows] == list(range(n))


@pytest.mark.parametrize("width", [1, 2])
def test_what_a_short_number_brings_along_is_written_over(width: int) -> None:
    """Next to the longest there is, the shortest, in each place of a row."""
    longest = -1.2345678901234567e-300
    for place in range(3):
        columns = [np.array([1.0] * 3) for _ in range(3)]
        columns[place] = np.array([longest] * width + [0.0] * (3 - width))

        rows = rows_of(RowShape.of("o", "h", "l"), [0, MINUTE_NS, DAY_NS], *columns)

        assert [list(row.values())[1:] for row in rows] == np.array(columns).T.tolist()


def test_rows_end_as_their_shape_says_and_columns_may_come_as_one() -> None:
    shape = RowShape.of("o", "c", "vw", end=',"final":true')

    text, stops = bar_rows(shape, np.array([0]), [np.array([1.5, 2.0]), np.array([[7.25]])[0]])

    row = b'{"t":"1970-01-01T00:00:00Z","o":1.5,"c":2.0,"vw":7.25,"final":true},'
    assert bytes(text[: stops[0]]) == row


def page(n: int, *, gap: bool) -> list[Bar]:
    return [
        Bar(
            A if k < n // 3 else B,
            Timeframe.MIN_1,
            k * 7 * MINUTE_NS,
            k / 8,
            k + 1e17,
            -0.1,
            k / 3,
            k * 1e-9,
            k,
            k / 7,
            rev=k % 3,
            gap=gap and k == n // 2,
        )
        for k in range(n)
    ]


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("n", [MANY_ROWS - 1, MANY_ROWS, 4_000])
def test_a_page_of_many_bars_is_the_page_of_each(n: int, gap: bool) -> None:
    bars = page(n, gap=gap)

    answer = json.loads(encode_bars(columns_of(bars), {A: 'the "first"', B: "b"}, "on"))

    shown = [json.loads(encode(bar_answer(bar))) for bar in bars]
    assert answer["next_page_token"] == "on"
    assert answer["bars"] == {'the "first"': shown[: n // 3], "b": shown[n // 3 :]}
