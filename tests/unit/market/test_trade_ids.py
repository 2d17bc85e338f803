"""Known trade ids: intervals, two generations, bounded memory."""

import pytest

from core.market.trade_ids import TradeIds

HOUR_NS = 3600 * 10**9


def test_an_id_counts_once() -> None:
    ids = TradeIds(HOUR_NS)

    assert [ids.add(trade_id) for trade_id in (5, 5, 6, 4, 5, 9, 8, 7, 7, 1)] == [
        True, False, True, True, False, True, True, True, False, True,
    ]  # fmt: skip


def test_neighbouring_ids_are_one_interval() -> None:
    ids = TradeIds(HOUR_NS)
    for trade_id in (1, 3, 2, 7, 6, 8, 5, 4):
        ids.add(trade_id)

    known = ids.snapshot()

    assert (known.starts, known.ends) == ([1], [8])


def test_an_id_is_known_for_at_least_the_horizon_and_then_forgotten() -> None:
    ids = TradeIds(HOUR_NS)
    ids.advance(0)
    ids.add(1)
    ids.advance(HOUR_NS - 1)
    assert not ids.add(1)

    ids.advance(HOUR_NS)
    assert not ids.add(1)  # in the older generation
    assert ids.add(2)

    ids.advance(2 * HOUR_NS)
    assert not ids.add(2)
    assert ids.add(1)


@pytest.mark.parametrize("restored", [False, True])
def test_ids_of_a_symbol_that_was_quiet_for_long_are_forgotten_all_at_once(restored: bool) -> None:
    ids = TradeIds(HOUR_NS)
    ids.advance(0, 10)
    ids.add(1)
    ids.advance(HOUR_NS, HOUR_NS + 10)
    ids.add(2)
    if restored:
        ids = TradeIds.restore(ids.snapshot(), HOUR_NS)

    ids.advance(24 * HOUR_NS, 24 * HOUR_NS + 10)

    assert ids.add(1)
    assert ids.add(2)
    assert ids.floor_ns == HOUR_NS + 10 + 1


def test_what_was_seen_before_its_time_is_not_forgotten_unnoticed() -> None:
    ids = TradeIds(HOUR_NS)
    ids.advance(0, 9 * HOUR_NS)  # a block of a replay that spans nine hours
    ids.add(1)
    ids.advance(HOUR_NS)
    ids.add(2)
    assert ids.knows(1)
    assert ids.floor_ns < 0
    again = TradeIds.restore(ids.snapshot(), HOUR_NS)

    for some in (ids, again):
        some.advance(2 * HOUR_NS)

        assert not some.knows(1)
        assert some.floor_ns == 9 * HOUR_NS + 1


def test_feed_time_that_steps_back_forgets_nothing() -> None:
    ids = TradeIds(HOUR_NS)
    ids.advance(HOUR_NS)
    ids.add(1)
    ids.advance(0)

    assert not ids.add(1)


def test_memory_is_bounded_and_what_is_forgotten_early_is_told() -> None:
    ids = TradeIds(HOUR_NS, max_intervals=4)
    for second, trade_id in enumerate(range(0, 40, 2)):
        ids.advance(second * 10**9, second * 10**9)
        assert ids.add(trade_id)
        known = ids.snapshot()
        assert len(known.starts) + len(known.old_starts) <= 8

    assert not ids.add(38)
    assert ids.floor_ns == 15 * 10**9 + 1  # ids of events before that are not all known any more
    assert [trade_id for trade_id in range(40) if ids.knows(trade_id)] == list(range(32, 40, 2))


def test_a_snapshot_restores_everything() -> None:
    ids = TradeIds(HOUR_NS, max_intervals=2)
    for trade_id in (1, 3, 5):
        ids.advance(trade_id, trade_id)
        ids.add(trade_id)

    again = TradeIds.restore(ids.snapshot(), HOUR_NS)

    assert [again.add(trade_id) for trade_id in (1, 3, 5, 7)] == [False, False, False, True]
    assert again.floor_ns == ids.floor_ns


def test_without_any_feed_time_the_floor_is_as_early_as_can_be() -> None:
    ids = TradeIds(HOUR_NS, max_intervals=1)
    for trade_id in (1, 3, 5):
        ids.add(trade_id)

    assert ids.floor_ns == -(2**63) + 1


def test_runs_that_leave_holes_close_a_generation_early_too() -> None:
    ids = TradeIds(HOUR_NS, max_intervals=2)
    for at, first in enumerate((1, 10, 20, 30, 40)):
        ids.advance(at + 1, at + 1)
        assert ids.add_run(first, first + 3)

    assert ids.floor_ns > 1
    assert not ids.add_run(41, 45)
    assert not ids.add(33)
