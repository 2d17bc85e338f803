"""A store that flushes from a thread stores, refuses and closes as the plain one does."""

from collections.abc import AsyncIterator

import pytest

from core.market.symbol import Symbol
from core.market.tick import Tick
from storage.database import Database
from storage.errors import DatabaseUnavailable, StaleOwner
from storage.flush_thread import ThreadedStore
from storage.rows import Checkpoint, FlushBatch
from storage.shard_leases import ShardLeases

A = Symbol("X:A")


@pytest.fixture
async def store(database: Database, migrated_url: str) -> AsyncIterator[ThreadedStore]:
    store = ThreadedStore(database, lambda: Database(migrated_url, min_size=1, max_size=1))
    await store.open()
    yield store
    await store.close()


async def test_what_is_flushed_is_read_from_here(store: ThreadedStore) -> None:
    trade = Tick(A, 7, 10.0, 2.0, 1_700_000_000 * 10**9, seq=7)

    await store.flush(FlushBatch(last_trades=[trade]))

    (row,) = [row for row in await store.symbols() if row.symbol == A]
    assert row.last_trade == trade


async def test_a_lost_lease_is_told_here(store: ThreadedStore, database: Database) -> None:
    leases = ShardLeases(database, owner="me", shards=2)
    await leases.create()
    await leases.acquire([0], at_most=1)

    with pytest.raises(StaleOwner):
        await store.flush(FlushBatch(checkpoints=[Checkpoint(0, 0, 1, b"", b"")]))


async def test_a_closed_store_writes_nothing(store: ThreadedStore) -> None:
    await store.close()

    with pytest.raises(DatabaseUnavailable, match="the store is closed"):
        await store.flush(FlushBatch())
