"""Amendments wait for their trades, in bounds, and for the flush that stores them."""

import pytest

from aggregator import pending as pending_module
from aggregator.pending import (
    MAX_PENDING,
    Applied,
    Pending,
    awaited,
    beyond,
    bound_given,
    expired,
    forget_given,
    ids_in,
    note,
    that_came,
    times_in,
)
from core.market.notice import Cancel, Correction, Gap, GapState
from core.market.symbol import Symbol
from core.market.tick import Tick
from storage.rows import Retold
from tests.unit.gateway.listeners import block_of

A, B = Symbol("X:A"), Symbol("X:B")


def off(ident: int, symbol: Symbol = A) -> Cancel:
    return Cancel(symbol, ident, ident, 1.0, 1.0)


def test_the_oldest_are_given_up_when_there_are_too_many_and_gaps_do_not_wait() -> None:
    pending: list[Pending] = []
    gap = Gap(A, GapState.OPEN, 0, 1)

    assert note(pending, [gap, *map(off, range(MAX_PENDING))], now_ns=5) == []
    assert note(pending, [off(-1), off(-2)], now_ns=6) == [off(0), off(1)]

    assert len(pending) == MAX_PENDING
    assert pending[-1] == Pending(6, off(-2))


def test_the_oldest_of_a_shard_are_given_up_whatever_their_symbol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending_module, "MAX_OF_SHARD", 3)
    some = [
        [Pending(1, off(1)), Pending(4, off(4))],
        [Pending(2, off(2, B)), Pending(3, off(3, B))],
    ]

    assert beyond(some) == [off(1)]
    assert beyond(some) == []
    assert some == [[Pending(4, off(4))], [Pending(2, off(2, B)), Pending(3, off(3, B))]]


def test_those_that_waited_long_are_taken_away() -> None:
    pending = [Pending(1, off(1)), Pending(2, off(2))]

    assert expired(pending, before_ns=2) == [off(1)]
    assert pending == [Pending(2, off(2))]


def test_a_block_with_the_trade_is_noticed_also_under_an_older_id() -> None:
    pending = [Pending(1, Correction(A, 1, 7, 1.0, 1.0, 8, 2.0, 1.0)), Pending(1, off(8))]

    def came(symbol: Symbol, ident: int) -> bool:
        block = block_of([Tick(symbol, ident, 1.0, 1.0, 1)])
        return that_came(block, {A: awaited(pending, {10: 1})}) == {A}

    assert times_in(block_of([Tick(A, 7, 1.0, 1.0, 5), Tick(B, 8, 1.0, 1.0, 6)]), A, {7, 8}) == {
        7: 5
    }
    assert times_in(block_of([]), A, {7}) == {}
    assert came(A, 7)
    assert came(A, 8)
    assert not came(A, 9)
    assert not came(B, 7)
    assert came(A, 10)
    pending = []
    assert came(A, 10)
    assert not came(A, 7)


def test_given_ids_go_by_age_and_by_number_the_oldest_first() -> None:
    some, others = {1: 10, 2: 20, 3: 30}, {4: 15, 5: 40}

    forget_given(some, before_ns=20)
    assert some == {2: 20, 3: 30}
    assert bound_given([some, others], 4) == 0
    assert bound_given([some, {}, others], 2) == 2
    assert (some, others) == ({3: 30}, {5: 40})


def test_the_ids_of_a_symbol_in_a_block() -> None:
    block = block_of([Tick(A, 7, 1.0, 1.0, 5), Tick(B, 8, 1.0, 1.0, 6), Tick(A, 9, 1.0, 1.0, 6)])

    assert ids_in(block, A) == {7, 9}
    assert ids_in(block, Symbol("X:C")) == set()


def test_what_was_applied_is_known_until_it_is_stored() -> None:
    applied = Applied()
    retold = Retold(A, 1, None)
    applied.add([off(1), off(2, B)])
    applied.retell(retold)
    assert applied.of(A) == {off(1)}

    assert applied.hand_over(1, 0) == ([off(1), off(2, B)], [retold])
    applied.add([off(3)])
    assert applied.of(A) == {off(1), off(3)}
    assert applied.hand_over(2, 1) == ([off(3)], [])

    assert applied.of(A) == {off(3)}
    assert applied.hand_over(3, 2) == ([], [])
    assert applied.of(A) == set()
