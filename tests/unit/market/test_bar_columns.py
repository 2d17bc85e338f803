"""Bars in columns: parts, joins and roll-ups are those of the same bars as objects."""

import pytest

from core.market.bar import Bar
from core.market.bar_columns import (
    columns_of,
    joined,
    rolled_columns,
    that_are_over,
    window_index,
    window_starts,
    windows_a_day,
)
from core.market.resolution import Resolution
from core.market.rolled import rolled
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe

A, B = Symbol("X:A"), Symbol("X:B")
DAY = 20_000 * DAY_NS
ONE = Timeframe.MIN_1


def bar(minute: int, symbol: Symbol = A, **fields: float) -> Bar:
    price = 100.0 + minute
    return Bar(symbol, ONE, DAY + minute * MINUTE_NS, price, price + 2, price - 2,
               price + 1, 1.5, 3, price, **fields)  # type: ignore[arg-type]  # fmt: skip


SOME = [bar(0, rev=1), bar(1, gap=True), bar(3), bar(0, B), bar(5, B)]


def test_bars_come_back_from_columns_as_they_were() -> None:
    columns = columns_of(SOME)

    assert columns.runs == ((A, 3), (B, 2))
    assert columns.bars(ONE) == SOME
    assert columns.last() == (B, SOME[-1].start_ns)
    assert columns_of([]).bars(ONE) == []


def test_a_part_has_the_symbols_that_are_in_it() -> None:
    columns = columns_of(SOME)

    assert columns.part(1, 4).bars(ONE) == SOME[1:4]
    assert columns.part(3, 9).runs == ((B, 2),)
    assert columns.part(2, 2).runs == ()


def test_parts_are_joined_and_a_symbol_goes_on_where_it_was_cut() -> None:
    columns = columns_of(SOME)

    whole = joined([columns.part(0, 2), columns.part(2, 2), columns.part(2, 5)])

    assert whole.runs == columns.runs
    assert whole.bars(ONE) == SOME
    assert joined([]).bars(ONE) == joined([columns_of([])]).bars(ONE) == []


def test_the_last_window_is_left_while_more_of_it_may_follow() -> None:
    three = Resolution(3)

    made, left = rolled_columns(columns_of(SOME), three, descending=False, is_last=False)

    assert [(b.symbol, (b.start_ns - DAY) // MINUTE_NS) for b in made.bars(ONE)] == [
        (A, 0), (A, 3), (B, 0)]  # fmt: skip
    assert left.bars(ONE) == SOME[4:]


def test_one_window_alone_is_left_whole() -> None:
    made, left = rolled_columns(
        columns_of(SOME[:2]), Resolution(3), descending=False, is_last=False
    )

    assert (made.bars(ONE), left.bars(ONE)) == ([], SOME[:2])


def test_windows_at_or_after_an_open_one_are_left_out() -> None:
    columns = columns_of(SOME)
    one = Resolution(1)

    assert that_are_over(columns, one, {}).bars(ONE) == SOME
    open_at = {A: SOME[1].start_ns + 1, B: DAY + DAY_NS}
    assert that_are_over(columns, one, open_at).bars(ONE) == [SOME[0], *SOME[3:]]
    assert that_are_over(columns, one, {A: DAY}).runs == ((B, 2),)


def test_windows_are_numbered_without_a_hole_over_midnight() -> None:
    seven_hours = Resolution(420)

    first = window_index(seven_hours, DAY + 420 * MINUTE_NS)

    assert windows_a_day(seven_hours) == 4
    assert window_starts(seven_hours, first, first + 4).tolist() == [
        DAY + 420 * MINUTE_NS,
        DAY + 840 * MINUTE_NS,
        DAY + 1260 * MINUTE_NS,
        DAY + DAY_NS,
    ]


def test_the_average_of_equal_prices_is_that_price() -> None:
    flat = [
        Bar(A, ONE, DAY + minute * MINUTE_NS, *[price] * 4, size, 1, price)
        for price in (0.1, 0.7, 1.1)
        for minute, size in ((0, 3.3), (1, 0.3), (2, 0.7))
    ]
    given = [Bar(A, ONE, DAY + m * MINUTE_NS, *[1.0] * 4, 2.0, 1, 1.0009) for m in range(3)]

    for some in (flat[0:3], flat[3:6], flat[6:9], given):
        made, _ = rolled_columns(columns_of(some), Resolution(3), descending=False, is_last=True)
        assert made.vwap.tolist() == [rolled(some, DAY).vwap]
        assert made.vwap.tolist() == [pytest.approx(some[0].vwap, rel=1e-15)]
        assert (made.vwap <= made.high).all() == (some is not given)
