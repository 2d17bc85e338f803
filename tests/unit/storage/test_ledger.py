"""Ledger: bytes by age, and where to cut."""

from storage.entry_id import EntryId
from storage.ledger import ENTRY_OVERHEAD_BYTES, Ledger

SECOND = 1_000


def entry(ms: int, seq: int = 0) -> EntryId:
    return EntryId(ms, seq)


def test_the_total_counts_payloads_and_what_an_entry_costs_besides() -> None:
    ledger = Ledger(2, budget_bytes=1 << 30)

    ledger.add(0, entry(1), 1_000)
    ledger.add(1, entry(2), 500)

    assert ledger.total_bytes == 1_500 + 2 * ENTRY_OVERHEAD_BYTES


def test_the_oldest_entries_of_all_shards_go_first() -> None:
    ledger = Ledger(3, budget_bytes=1 << 30)
    for second in range(4):
        for shard in (0, 1):
            ledger.add(shard, entry(second * SECOND + shard), 1_000 - ENTRY_OVERHEAD_BYTES)
    ledger.add(2, entry(0), 1_000 - ENTRY_OVERHEAD_BYTES)

    cuts = ledger.shrink_to(6_000)

    assert cuts == {0: entry(2 * SECOND), 1: entry(SECOND + 1)}
    assert ledger.total_bytes == 6_000
    assert ledger.shrink_to(6_000) == {}


def test_the_newest_item_of_a_stream_is_never_given_up() -> None:
    ledger = Ledger(2, budget_bytes=1 << 30)
    for second in range(3):
        ledger.add(0, entry(second * SECOND), 100)
    ledger.add(1, entry(0), 100)

    assert ledger.shrink_to(0) == {0: entry(2 * SECOND)}
    assert ledger.total_bytes == 2 * (100 + ENTRY_OVERHEAD_BYTES)
    assert ledger.shrink_to(0) == {}


def test_entries_of_a_second_go_together_unless_they_are_large() -> None:
    ledger = Ledger(1, budget_bytes=256 * 1_000)
    for seq in range(4):
        ledger.add(0, entry(5, seq), 400 - ENTRY_OVERHEAD_BYTES)
    ledger.add(0, entry(5 + SECOND - 1), 200 - ENTRY_OVERHEAD_BYTES)
    ledger.add(0, entry(5 + SECOND), 100)

    # Two items of two entries each, then one of a single entry: 1,000 bytes are the most.
    assert ledger.shrink_to(1_200) == {0: entry(5, 2)}


def test_a_large_budget_does_not_make_items_that_are_too_large_to_give_up() -> None:
    ledger = Ledger(1, budget_bytes=1 << 40)
    for seq in range(20):
        ledger.add(0, entry(0, seq), 40_000)

    assert ledger.shrink_to(ledger.total_bytes - 1) == {0: entry(0, 6)}


def test_what_the_server_trimmed_by_age_is_no_longer_counted() -> None:
    ledger = Ledger(2, budget_bytes=1 << 30)
    for second in range(5):
        ledger.add(0, entry(second * SECOND), 100)
    ledger.add(1, entry(0), 100)

    ledger.expire(2 * SECOND)
    assert ledger.total_bytes == 4 * (100 + ENTRY_OVERHEAD_BYTES)

    ledger.expire(100 * SECOND)
    assert ledger.total_bytes == 2 * (100 + ENTRY_OVERHEAD_BYTES)


def test_what_an_earlier_run_left_is_spread_over_its_time() -> None:
    ledger = Ledger(1, budget_bytes=1 << 30)

    ledger.seed(0, entry(0), entry(10 * SECOND, 7), 11_001)
    assert ledger.total_bytes == 11_001

    assert ledger.shrink_to(6_001) == {0: entry(10 * SECOND * 6 // 11)}
    ledger.shrink_to(0)
    assert 0 < ledger.total_bytes <= 1_001


def test_a_single_entry_of_an_earlier_run_stays() -> None:
    ledger = Ledger(1, budget_bytes=1 << 30)

    ledger.seed(0, entry(9, 9), entry(9, 9), 500)

    assert ledger.shrink_to(0) == {}
    assert ledger.total_bytes == 500
