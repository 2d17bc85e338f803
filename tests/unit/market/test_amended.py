"""What is left of trades after corrections and cancels, whatever their order and number."""

import itertools

import pytest

from core.market.amended import (
    EARLY_NS,
    Amendment,
    Sighting,
    amended,
    concerning,
    earlier_ids,
    families,
)
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick

A = Symbol("X:A")


def tick(ident: int, price: float = 10.0) -> Tick:
    return Tick(A, ident, price, 1.0, 1_000 + ident, Side.BUY, ident)


def to(ident: int, new_id: int, price: float = 20.0, *, at: int = 1) -> Correction:
    return Correction(A, at, ident, 10.0, 1.0, new_id, price, 3.0)


def off(ident: int, *, at: int = 1) -> Cancel:
    return Cancel(A, at, ident, 10.0, 1.0)


def shown(ticks: list[Tick]) -> list[tuple[int, float]]:
    return [(tick.trade_id, tick.price) for tick in ticks]


@pytest.mark.parametrize(
    ("amendments", "left"),
    [
        ([], [(1, 10.0), (2, 10.0)]),
        ([off(1)], [(2, 10.0)]),
        ([off(9)], [(1, 10.0), (2, 10.0)]),
        ([to(1, 7)], [(7, 20.0), (2, 10.0)]),
        ([to(1, 1)], [(1, 20.0), (2, 10.0)]),
        ([to(1, 7, at=1), to(7, 8, 30.0, at=2)], [(8, 30.0), (2, 10.0)]),
        ([to(1, 7, at=1), off(7, at=2)], [(2, 10.0)]),
        ([to(1, 7, at=1), off(1, at=2)], [(7, 20.0), (2, 10.0)]),
        ([off(1, at=1), to(1, 7, at=2)], [(2, 10.0)]),
        ([to(1, 1, 20.0, at=1), to(1, 1, 30.0, at=2)], [(1, 30.0), (2, 10.0)]),
        ([to(1, 7, at=1), to(7, 1, 30.0, at=2)], [(1, 30.0), (2, 10.0)]),
        ([to(1, 2)], [(2, 20.0)]),  # that one came in its own right, too
        ([to(1, 7), to(2, 7)], [(7, 20.0)]),
        ([to(1, 7, at=1), off(7, at=2), off(2, at=1)], []),
    ],
)
def test_order_and_repeats_of_what_was_said_make_no_difference(
    amendments: list[Amendment], left: list[tuple[int, float]]
) -> None:
    for some in itertools.permutations(amendments):
        assert shown(amended([tick(1), tick(2)], [*some, *some])) == left


def test_a_corrected_trade_keeps_its_place_in_time_and_its_side() -> None:
    (left,) = amended([tick(1)], [to(1, 7)])

    assert left == Tick(A, 7, 20.0, 3.0, 1_001, Side.BUY, 1)


def seen(ident: int) -> Sighting:
    return Sighting(A, 9, ident, 1_000_000)


@pytest.mark.parametrize(
    ("amendments", "left"),
    [
        ([to(1, 7), seen(1), seen(7)], [(2, 10.0)]),  # 7 is corrected from 1, which is elsewhere
        ([to(7, 1), seen(1), seen(7)], [(1, 20.0), (2, 10.0)]),
        ([to(7, 1), seen(7)], [(1, 20.0), (2, 10.0)]),
        ([to(1, 7)], [(7, 10.0), (2, 10.0)]),  # nobody has seen 1
        ([to(1, 7, at=2), off(1, at=1), seen(1)], [(7, 10.0), (2, 10.0)]),
        ([to(1, 7, at=2), to(7, 2, 30.0, at=1), seen(1)], [(2, 30.0)]),
        ([to(1, 7, at=1), to(7, 2, 30.0, at=2), seen(1)], []),
    ],
)
def test_what_is_seen_elsewhere_takes_the_place_of_trades_in_their_own_right(
    amendments: list[Sighting | Amendment], left: list[tuple[int, float]]
) -> None:
    for some in itertools.permutations(amendments):
        assert shown(amended([tick(7), tick(2)], some)) == left


def test_ids_that_corrections_join_are_a_family() -> None:
    some = [to(1, 7), to(7, 8), to(3, 8), off(5), seen(9)]

    assert families([7, 5, 3, 9], some) == [{1, 3, 7, 8}, {5}, {9}]
    assert families([], some) == []


def test_trades_without_an_id_are_never_amended() -> None:
    ticks = [tick(NO_ID), tick(NO_ID)]

    assert amended(ticks, [off(NO_ID)]) == ticks


def test_a_trade_is_known_by_all_the_ids_that_it_had() -> None:
    some = earlier_ids([to(1, 7), to(7, 8), to(8, 7), off(8), to(3, 4)])

    assert concerning(8, some) == {1, 7, 8}
    assert concerning(4, some) == {3, 4}
    assert concerning(99, some) == {99}


@pytest.mark.parametrize(
    "before",
    [off(1, at=-EARLY_NS), to(1, 7, at=-EARLY_NS), to(7, 1, at=-EARLY_NS),
     Sighting(A, 5, 1, -EARLY_NS)],
)  # fmt: skip
def test_what_was_said_long_before_a_trade_is_about_another_one_of_that_id(
    before: Amendment | Sighting,
) -> None:
    assert amended([tick(1), tick(2)], [before]) == [tick(1), tick(2)]
    assert shown(amended([tick(1), tick(2)], [before, to(1, 2)])) == [(2, 20.0)]
