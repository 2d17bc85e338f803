"""When which symbol ticks."""

from collections import Counter
from itertools import islice, takewhile

from tests.bench.crowd.schedule import SECOND_NS, Due, Plan, dues

START_NS = 1_700_000_000 * SECOND_NS
MS_NS = 1_000_000


def of_one_second(plan: Plan) -> list[Due]:
    end_ns = START_NS + SECOND_NS
    return list(takewhile(lambda due: due.write_ns <= end_ns, dues(plan, START_NS)))


def test_steady_ticks_are_even_in_time_and_over_the_symbols() -> None:
    found = of_one_second(Plan(symbols=5, rate=1_000))

    assert [due.event_ns - START_NS for due in found] == [n * MS_NS for n in range(1_000)]
    assert set(Counter(due.symbol for due in found).values()) == {200}


def test_ticks_of_a_slot_are_written_together_at_its_end() -> None:
    found = list(islice(dues(Plan(symbols=5, rate=1_000, slot_ms=5), START_NS), 12))

    assert [(due.write_ns - START_NS) // MS_NS for due in found] == [5] * 5 + [10] * 5 + [15] * 2
    assert all(due.event_ns < due.write_ns for due in found)


def test_quiet_symbols_tick_at_random_and_are_written_at_once() -> None:
    plan = Plan(symbols=3, rate=0, quiet=2, quiet_gap_s=(0.3, 0.4))
    found = list(islice(dues(plan, START_NS), 100))

    assert [due.write_ns for due in found] == sorted(due.event_ns for due in found)
    for symbol in (3, 4):
        times = [due.event_ns for due in found if due.symbol == symbol]
        gaps = [b - a for a, b in zip([START_NS, *times], times, strict=False)]
        assert all(0.3 * SECOND_NS <= gap <= 0.4 * SECOND_NS for gap in gaps)
        assert len(set(gaps)) > 10


def test_steady_and_quiet_ticks_come_in_the_order_of_writing() -> None:
    plan = Plan(symbols=3, rate=1_000, quiet=5)
    found = of_one_second(plan)

    assert [due.write_ns for due in found] == sorted(due.write_ns for due in found)
    assert {due.symbol for due in found} == set(range(8))
    assert plan.all_symbols == 8


def test_the_same_plan_makes_the_same_ticks() -> None:
    plan = Plan(symbols=3, rate=100, quiet=5, seed=3)

    assert of_one_second(plan) == of_one_second(plan)
