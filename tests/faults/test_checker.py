"""The checker sees whatever is wrong, and only that."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults import oracle
from tests.faults.checker import (
    Heard,
    Verdict,
    check_agreement,
    check_bars,
    check_overlap,
    check_revisions,
    check_sequence,
)

MINUTE_NS = 60 * 10**9
TRADES = [
    ("V:A", 1, 10 * MINUTE_NS, 5.0, 1.0),
    ("V:A", 2, 10 * MINUTE_NS + 5, 7.0, 2.0),
    ("V:A", 3, 11 * MINUTE_NS, 6.0, 0.5),
    ("V:B", 1, 12 * MINUTE_NS, 1.5, 4.0),
]
ORDERS = st.lists(st.integers(1, 60), unique=True, min_size=2, max_size=40)


def sequence(right: Sequence[int], got: Sequence[int], gaps: frozenset[int]) -> Verdict:
    verdict = Verdict()
    check_sequence("reader", "V:A", right, Heard(got, gaps), verdict)
    return verdict


def test_the_oracle_gives_the_bars_of_a_few_trades_worked_out_by_hand() -> None:
    bars = oracle.bars([*TRADES, TRADES[1]])

    assert bars["V:A", "1Min", 10 * MINUTE_NS] == (5.0, 7.0, 5.0, 7.0, 2, 3.0, 19 / 3)
    assert bars["V:A", "5Min", 10 * MINUTE_NS] == (5.0, 7.0, 5.0, 6.0, 3, 3.5, 22 / 3.5)
    assert bars["V:A", "15Min", 0] == bars["V:A", "5Min", 10 * MINUTE_NS]
    assert bars["V:B", "1Min", 12 * MINUTE_NS] == (1.5, 1.5, 1.5, 1.5, 1, 4.0, 1.5)
    assert len(bars) == 7


def test_right_bars_are_right() -> None:
    right, verdict = oracle.bars(TRADES), Verdict()

    check_bars(right, dict(right), verdict)
    check_agreement("reader", right, dict(right), verdict)

    assert verdict.clean


@pytest.mark.parametrize(
    ("there", "lost", "duplicated"),
    [(TRADES[1:], 1, 0), ([*TRADES, ("V:A", 9, 1, 1.0, 1.0)], 0, 1)],
)
def test_a_trade_that_is_in_no_bar_or_in_one_too_many_is_counted(
    there: list[tuple[str, int, int, float, float]], lost: int, duplicated: int
) -> None:
    verdict = Verdict()

    check_bars(oracle.bars(TRADES), oracle.bars(there), verdict)

    assert (verdict.lost, verdict.duplicated) == (lost, duplicated)
    assert verdict.wrong_bars > 0


@given(at=st.integers(0, 6), off=st.sampled_from([1, -0.5, 1e-9]), data=st.data())
def test_a_bar_with_any_wrong_value_is_wrong(at: int, off: float, data: st.DataObject) -> None:
    right = oracle.bars(TRADES)
    key = data.draw(st.sampled_from(sorted(right)))
    values = list(right[key])
    values[at] += 1 if at == 4 else off
    found = {**right, key: tuple(values)}
    verdict, reader = Verdict(), Verdict()

    check_bars(right, found, verdict)
    check_agreement("reader", right, found, reader)

    assert verdict.wrong_bars == reader.wrong_bars == 1


def test_a_reader_may_lack_bars_of_a_symbol_of_which_a_gap_was_told_and_of_no_other() -> None:
    stored, verdict = oracle.bars(TRADES), Verdict()
    seen = {key: bar for key, bar in stored.items() if key[0] == "V:B"}

    check_agreement("reader", stored, seen, verdict, excused=["V:A"])
    assert verdict.clean
    check_agreement("reader", stored, seen, verdict, excused=["V:B"])

    assert verdict.wrong_bars == len(stored) - len(seen)


@given(ORDERS)
def test_a_whole_sequence_in_order_is_clean(right: list[int]) -> None:
    assert sequence(right, right, frozenset()).clean


@given(ORDERS, st.data())
def test_a_hole_is_lost_and_without_a_gap_in_its_place_undetected(
    right: list[int], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(right) - 1))
    end = data.draw(st.integers(start + 1, len(right)))
    got = right[:start] + right[end:]

    silent = sequence(right, got, frozenset())
    told = sequence(right, got, frozenset({start}))
    elsewhere = sequence(right, got, frozenset({start + 1}))

    assert (silent.lost, silent.undetected) == (end - start, end - start)
    assert (told.lost, told.undetected) == (end - start, 0)
    assert elsewhere.undetected == end - start
    assert silent.duplicated == silent.misordered == 0


@given(ORDERS, st.data())
def test_a_trade_that_comes_twice_is_duplicated(right: list[int], data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(right))
    at = data.draw(st.integers(right.index(again), len(right)))

    verdict = sequence(right, [*right[:at], again, *right[at:]], frozenset())

    assert verdict.duplicated == 1
    assert verdict.lost == verdict.undetected == 0


@given(ORDERS, st.data())
def test_a_trade_that_comes_before_an_earlier_one_is_misordered(
    right: list[int], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(right) - 2))
    got = [*right[:at], right[at + 1], right[at], *right[at + 2 :]]

    verdict = sequence(right, got, frozenset())

    assert verdict.misordered == 1
    assert verdict.lost == verdict.duplicated == verdict.undetected == 0


def test_a_trade_that_never_happened_is_not_overlooked() -> None:
    assert sequence([1, 2], [1, 99, 2], frozenset()).duplicated == 1


@given(ORDERS, st.data())
def test_two_feeds_of_the_same_are_clean_however_they_interleave(
    right: list[int], data: st.DataObject
) -> None:
    turns = data.draw(st.permutations([0] * len(right) + [1] * len(right)))
    feeds = iter(right), iter(right)
    got = [next(feeds[turn]) for turn in turns]
    verdict, third = Verdict(), Verdict()

    check_overlap("reader", "V:A", right, Heard(got), verdict)
    check_overlap("reader", "V:A", right, Heard([*got, right[0]]), third)

    assert verdict.clean
    assert third.duplicated > 0


def test_a_state_of_a_bar_is_published_once_the_newer_after_the_older() -> None:
    key, verdict = ("V:A", "1Min", 0), Verdict()

    check_revisions("reader", [(key, 0), (key, 2)], verdict)
    assert verdict.clean
    check_revisions("reader", [(key, 0), (key, 0), (key, 1), (key, 0)], verdict)

    assert (verdict.duplicated, verdict.misordered) == (1, 1)
