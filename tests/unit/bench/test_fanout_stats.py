import pytest

from tests.bench.fanout.stats import estimate, median, ratios


def test_the_median_of_an_even_number_is_between_the_two_middle_ones() -> None:
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.5
    assert median([3.0, 1.0, 2.0]) == 2.0


def test_there_is_no_median_of_nothing() -> None:
    with pytest.raises(ValueError, match="median of nothing"):
        median([])


def test_nine_rounds_give_an_interval_from_the_second_to_the_eighth() -> None:
    found = estimate([9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0])

    assert (found.low, found.median, found.high) == (2.0, 5.0, 8.0)
    assert found.coverage == pytest.approx(1 - 2 * (1 + 9) / 2**9)  # 96.1 %


def test_six_rounds_are_the_first_whose_range_reaches_95_percent() -> None:
    assert estimate(range(5)).coverage == pytest.approx(0.9375)
    assert estimate(range(6)).coverage == pytest.approx(0.96875)
    assert (estimate(range(6)).low, estimate(range(6)).high) == (0, 5)


def test_twenty_rounds_leave_out_five_on_each_side() -> None:
    found = estimate(range(1, 21))

    assert (found.low, found.high) == (6, 15)  # as tables of the sign test have it
    assert found.coverage >= 0.95


def test_one_round_is_its_own_interval_and_sure_of_nothing() -> None:
    found = estimate([3.0])

    assert (found.low, found.median, found.high, found.coverage) == (3.0, 3.0, 3.0, 0.0)


def test_ratios_are_taken_within_a_round_before_the_median() -> None:
    found = ratios([2.0, 30.0, 8.0], [1.0, 10.0, 2.0])

    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)
