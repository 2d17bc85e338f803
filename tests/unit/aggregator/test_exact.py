"""Exact sums against rational arithmetic."""

import sys
from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from aggregator.exact import expand, products, segment_sums

amounts = st.floats(1e-12, 1e12)


@given(st.lists(st.floats(-1e15, 1e15), max_size=30))
def test_an_expansion_has_the_same_exact_sum(values: list[float]) -> None:
    parts = expand(values)

    assert sum(map(Fraction, parts)) == sum(map(Fraction, values))
    assert len(parts) <= 3 + len(values)


@given(st.lists(st.tuples(amounts, amounts), max_size=20))
def test_products_have_the_same_exact_sum(pairs: list[tuple[float, float]]) -> None:
    prices, sizes = [p for p, _ in pairs], [s for _, s in pairs]

    exact = sum((Fraction(p) * Fraction(s) for p, s in pairs), Fraction(0))
    assert sum(map(Fraction, products(prices, sizes))) == exact


def test_beyond_the_range_of_exact_products_the_rounded_one_stands() -> None:
    assert products([1e300], [1.0]) == [1e300, 0.0]


def test_a_sum_beyond_all_floats_is_the_largest_of_them_however_often_it_is_summed() -> None:
    largest = [sys.float_info.max]

    assert expand([1e308] * 4) == largest
    assert expand(products([1e308], [1e308])) == largest
    assert expand([*largest, 1.0, *largest]) == largest


def test_the_order_of_summing_makes_no_difference() -> None:
    values = [1e16, 1.0, -1e16, 0.1] * 5

    assert expand(values) == expand(sorted(values))


values = st.floats(-1e280, 1e280)


@given(
    st.lists(st.lists(st.tuples(values, values), min_size=1, max_size=9), min_size=1, max_size=5)
)
@example([[(0.0, 0.0)]])
@example([[(5e-324, 1e280), (-1.0, 0.1)], [(2.0**-1074, 3e-8)]])
def test_segments_have_the_same_exact_sums(segments: list[list[tuple[float, float]]]) -> None:
    flat = [pair for segment in segments for pair in segment]
    starts = np.cumsum([0, *map(len, segments)])[:-1]
    terms = [np.array([pair[which] for pair in flat]) for which in (0, 1)]

    found = segment_sums(terms, starts)

    exact = [sum(Fraction(a) + Fraction(b) for a, b in segment) for segment in segments]
    assert [sum(map(Fraction, parts)) for parts in found or [()] * len(segments)] == exact
