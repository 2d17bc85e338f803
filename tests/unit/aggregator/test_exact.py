"""Exact sums against rational arithmetic."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from aggregator.exact import expand, products

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


def test_the_order_of_summing_makes_no_difference() -> None:
    values = [1e16, 1.0, -1e16, 0.1] * 5

    assert expand(values) == expand(sorted(values))
