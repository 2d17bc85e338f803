"""Subscriptions, intervals and rows of the crowd scenarios."""

from collections import Counter

import pytest

from tests.bench.crowd.figures import (
    Figure,
    neighbour_sets,
    random_sets,
    section,
    symbol_names,
)


def test_random_sets_hold_different_symbols_and_are_the_same_for_one_seed() -> None:
    sets = random_sets(200, symbols=50, each=10)

    assert all(len(set(numbers)) == 10 and max(numbers) < 50 for numbers in sets)
    assert len(set(map(tuple, sets))) == 200
    assert sets == random_sets(200, symbols=50, each=10)
    assert sets != random_sets(200, symbols=50, each=10, seed=2)


def test_neighbour_sets_are_shared_by_equally_many_clients() -> None:
    sets = Counter(map(tuple, neighbour_sets(100, symbols=10, each=3)))

    assert sets[(9, 0, 1)] == 10
    assert set(sets.values()) == {10}


def test_symbols_have_the_form_of_full_names() -> None:
    assert symbol_names(2) == ["BENCH:S000-USD", "BENCH:S001-USD"]


@pytest.mark.parametrize(
    ("figure", "row"),
    [
        (Figure("a", 1234.56, "ms", 1), ("a", "1,234.6 ms", "", "")),
        (Figure("b", 5.0, "ms", 1, goal=5), ("b", "5.0 ms", "≤ 5 ms", "met")),
        (Figure("c", 5.1, "ms", 1, goal=5), ("c", "5.1 ms", "≤ 5 ms", "**missed**")),
        (Figure("d", 0, goal=0), ("d", "0", "0", "met")),
        (Figure("e", 3000, "", 0, 3000, True), ("e", "3,000", "≥ 3,000", "met")),
        (Figure("f", 2999, "", 0, 3000, True), ("f", "2,999", "≥ 3,000", "**missed**")),
    ],
)
def test_a_row_says_whether_the_goal_is_met(figure: Figure, row: tuple[str, ...]) -> None:
    assert figure.row() == row


def test_a_section_carries_its_figures_as_values_too() -> None:
    found = section("T", "How.", [Figure("x", 1.5, digits=1)], sound=False, more=[2])

    assert (
        found.text
        == "How.\n\n| what | measured | goal |  |\n| --- | --- | --- | --- |\n| x | 1.5 |  |  |"
    )
    assert found.figures == {"x": 1.5, "more": [2]}
    assert not found.sound
