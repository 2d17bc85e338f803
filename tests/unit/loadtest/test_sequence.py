from hypothesis import given
from hypothesis import strategies as st

from loadtest.sequence import SequenceChecker


def seen(*ids: int) -> SequenceChecker:
    checker = SequenceChecker("one")
    for trade_id in ids:
        checker.see("SIM:A", trade_id)
    return checker


def test_ids_that_count_up_are_right_wherever_they_begin() -> None:
    checker = seen(7, 8, 9)

    assert (checker.received, checker.missing, checker.repeated) == (3, 0, 0)
    assert not checker.findings


def test_a_hole_is_counted_by_the_trades_in_it_and_told_once() -> None:
    checker = seen(7, 10, 11)

    assert (checker.missing, checker.repeated) == (2, 0)
    assert [str(f) for f in checker.findings] == [
        "one SIM:A: 2 trades missing, expected id 8, was 10"
    ]


def test_a_trade_that_comes_twice_or_late_is_a_repeat() -> None:
    checker = seen(7, 8, 8, 9)

    assert (checker.missing, checker.repeated) == (0, 1)
    assert str(checker.findings[0]) == "one SIM:A: a trade came twice or late, expected id 9, was 8"


def test_symbols_count_apart() -> None:
    checker = SequenceChecker("one")

    assert checker.see("SIM:A", 1) is None
    assert checker.see("SIM:B", 40) is None
    assert checker.see("SIM:A", 2) is None


def test_only_the_first_findings_are_kept() -> None:
    checker = seen(*range(0, 200, 2))

    assert checker.missing == 99
    assert len(checker.findings) == 20


@given(st.lists(st.integers(0, 6), min_size=1))
def test_no_finding_means_an_unbroken_run(ids: list[int]) -> None:
    unbroken = ids == list(range(ids[0], ids[0] + len(ids)))

    checker = seen(*ids)

    assert (not checker.missing and not checker.repeated) == unbroken
