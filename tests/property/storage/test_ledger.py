"""Ledger against a plain list of entries."""

from hypothesis import given
from hypothesis import strategies as st

from storage.entry_id import ZERO_ID, EntryId
from storage.ledger import ENTRY_OVERHEAD_BYTES, Ledger

SHARDS = 3
appends = st.tuples(
    st.integers(0, SHARDS - 1), st.sampled_from([0, 1, 500, 999, 1000, 1001]), st.integers(0, 40)
)


@given(st.lists(appends, max_size=40), st.integers(0, 3_000), st.sampled_from([0, 256 * 300]))
def test_after_cuts_the_total_is_what_a_server_holds_that_made_them(
    sizes: list[tuple[int, int, int]], limit: int, budget: int
) -> None:
    ledger = Ledger(SHARDS, budget_bytes=budget)
    held: list[list[tuple[EntryId, int]]] = [[] for _ in range(SHARDS)]
    now_ms, last = 0, [ZERO_ID] * SHARDS
    for shard, step_ms, payload in sizes:
        now_ms += step_ms
        last[shard] = last[shard].following(now_ms)
        ledger.add(shard, last[shard], payload)
        held[shard].append((last[shard], payload + ENTRY_OVERHEAD_BYTES))

    for shard, keep in ledger.shrink_to(limit).items():
        held[shard] = [(entry_id, size) for entry_id, size in held[shard] if entry_id >= keep]

    assert ledger.total_bytes == sum(size for entries in held for _, size in entries)
    assert all(not at or (entries and entries[-1][0] == at) for at, entries in _ends(last, held))
    assert ledger.total_bytes <= limit or not ledger.shrink_to(limit)


def _ends(
    last: list[EntryId], held: list[list[tuple[EntryId, int]]]
) -> list[tuple[EntryId | None, list[tuple[EntryId, int]]]]:
    """Of each stream, the id that was appended last and what is still held."""
    return [
        (None if at == ZERO_ID else at, entries) for at, entries in zip(last, held, strict=True)
    ]
