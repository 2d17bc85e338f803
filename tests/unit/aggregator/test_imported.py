import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aggregator.imported import imported_window, is_imported, shows
from aggregator.window import Window
from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import MINUTE_NS, Timeframe

A = Symbol("X:A")
START_NS = 1_625_279_400 * 10**9
numbers = st.floats(1e-12, 1e12)


def folded(trades: list[tuple[float, float]]) -> Window:
    window = Window(A, Timeframe.MIN_1, START_NS)
    for n, (price, size) in enumerate(trades):
        window.fold(START_NS + n, n, price, size)
    return window


@example([(0.1, 0.7), (0.3, 0.9)])
@example([(1e12, 1e-12), (3.0, 1e12)])
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20))
def test_a_bar_that_came_from_ticks_is_shown_as_it_was(trades: list[tuple[float, float]]) -> None:
    bar = folded(trades).bar(final=True)
    window = imported_window(bar)

    assert window.bar(final=True) == bar
    assert shows(window, bar)
    assert shows(Window.from_row(window.row()), bar)


def test_any_other_average_is_shown_within_a_rounding() -> None:
    for n in range(1, 500):
        vwap, volume = 1.0 + 2**-52 * (2**51 + n), 1.0 + n / 512
        bar = Bar(A, Timeframe.MIN_1, START_NS, 1.5, 2.0, 1.0, 1.5, volume, 3, vwap)
        assert imported_window(bar).bar(final=True).vwap == pytest.approx(vwap, rel=3e-16)


def test_a_given_bar_is_known_until_something_is_folded_into_it() -> None:
    bar = Bar(A, Timeframe.MIN_1, START_NS, 1.5, 2.0, 1.0, 1.5, 8.0, 3, 1.5)
    window = Window.from_row(imported_window(bar).row())
    assert is_imported(window)
    assert not shows(window, msgspec.structs.replace(bar, close=1.0))

    window.fold(START_NS + 5, 5, 1.0, 0.25)
    assert (window.bar(final=True).volume, is_imported(window)) == (8.25, False)
    assert not is_imported(folded([(1.0, 1.0)]))
    assert not is_imported(Window(A, Timeframe.MIN_1, START_NS))
    assert not shows(Window(A, Timeframe.MIN_1, START_NS), bar)


def test_longer_bars_find_open_and_close_in_given_ones() -> None:
    parent = Window(A, Timeframe.MIN_5, START_NS)
    for minute in (2, 0, 1):
        price = 1.0 + minute
        start_ns = START_NS + minute * MINUTE_NS
        bar = Bar(A, Timeframe.MIN_1, start_ns, price, price, price, price, 1.0, 1, price)
        parent.merge(imported_window(bar))
    made = parent.bar(final=True)

    assert (made.open, made.close, made.trades, made.vwap) == (1.0, 3.0, 3, 2.0)
    assert not is_imported(parent)
