"""Shard leases: one owner per shard, whose token guards every flush, by the database's clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import psycopg
import pytest

from storage.bars import BarStore, Checkpoint, FlushBatch
from storage.database import Database
from storage.errors import DatabaseUnavailable, SchemaError, StaleOwner
from storage.rows import LeaseRow
from storage.shard_leases import ShardLeases, session_name
from storage.solo import SoloDatabase
from tests.conftest import Eventually
from tests.contract.storage.market import make_row, own

SHARDS = 4
Make = Callable[[str], ShardLeases]


@pytest.fixture
async def database(embedded_migrated_url: str) -> AsyncIterator[Database]:
    """On one kind of database: the tables are plain on both."""
    db = Database(embedded_migrated_url, max_size=4)
    await db.open()
    yield db
    await db.close()


@pytest.fixture
async def make(embedded_migrated_url: str) -> AsyncIterator[Make]:
    """Leases of an aggregator by name, of the same database as ``database``."""
    made: list[ShardLeases] = []

    def one(owner: str) -> ShardLeases:
        made.append(
            ShardLeases(
                SoloDatabase(embedded_migrated_url, timeout_s=5), owner=owner, shards=SHARDS
            )
        )
        return made[-1]

    yield one
    for leases in made:
        await leases.close()


async def taken(leases: ShardLeases, shards: range = range(SHARDS), **options: object) -> dict:
    return await leases.acquire(shards, at_most=SHARDS, **options)  # type: ignore[arg-type]


async def expire(database: Database, owner: str) -> None:
    for table in ("shard_leases", "aggregators"):
        statement = f"UPDATE {table} SET expires_at = now() WHERE owner = %s"
        await database.fetch("expire", statement, [owner])  # type: ignore[arg-type]


async def test_of_many_that_take_at_once_each_shard_has_one_owner(make: Make) -> None:
    everybody = [make(f"a{n}") for n in range(6)]
    async with asyncio.TaskGroup() as group:
        for leases in everybody:
            group.create_task(leases.create())
    async with asyncio.TaskGroup() as group:
        takers = [group.create_task(taken(leases)) for leases in everybody]

    tokens = [pair for taker in takers for pair in taker.result().items()]
    assert sorted(tokens) == [(0, 1), (1, 1), (2, 1), (3, 1)]


async def test_a_lease_is_good_while_it_is_renewed_and_runs_out_after(
    make: Make, database: Database
) -> None:
    a, b = make("a"), make("b")
    await a.create()
    held = await a.acquire(range(SHARDS), at_most=3)
    assert held == {0: 1, 1: 1, 2: 1}

    view = await a.beat(held)
    assert view.renewed == {0, 1, 2}
    assert view.members == {"a"} or view.members == frozenset()  # as it was before the beat
    assert await taken(b, range(3)) == {}

    await expire(database, "a")
    assert LeaseRow(0, "a", True) in (await b.beat({})).leases
    assert await taken(b, range(2)) == {0: 2, 1: 2}
    view = await a.beat(held)
    assert view.renewed == {2}
    assert view.members == {"b"}
    assert LeaseRow(0, "b", False) in view.leases


async def test_what_ran_out_is_still_its_owners_until_it_is_taken(
    make: Make, database: Database
) -> None:
    a, b = make("a"), make("b")
    await a.create()
    held = await taken(a)
    await expire(database, "a")

    assert (await a.beat(held)).renewed == set(range(SHARDS))
    assert await taken(b) == {}


async def test_a_process_that_is_known_to_be_gone_is_succeeded_at_once(make: Make) -> None:
    a, b = make("a"), make("b")
    await a.create()
    await taken(a)

    assert await taken(b, gone=["a"]) == dict.fromkeys(range(SHARDS), 2)


async def test_what_is_released_may_be_had_at_once_and_only_by_its_token(make: Make) -> None:
    a, b = make("a"), make("b")
    await a.create()
    held = await taken(a)
    await a.beat(held)
    await a.release({0: held[0], 1: held[1] + 7})

    assert await taken(b) == {0: 2}
    await a.leave()
    assert (await b.beat({0: 2})).members <= {"b"}


async def test_tokens_are_larger_than_those_of_checkpoints_and_than_asked_for(
    make: Make, database: Database
) -> None:
    await own(database, {1: 7})
    await BarStore(database).flush(FlushBatch(checkpoints=[Checkpoint(1, 7, 3, b"", b"")]))
    await database.fetch("lose", "DELETE FROM shard_leases")
    a = make("a")
    await a.create()

    assert await taken(a, above={2: 40, 1: 3}) == {0: 1, 1: 8, 2: 41, 3: 1}


async def test_a_flush_with_a_stale_token_writes_nothing_and_says_which_shards(
    make: Make, database: Database
) -> None:
    a, b, store = make("a"), make("b"), BarStore(database)
    await a.create()
    held = await taken(a)
    await expire(database, "a")
    assert await taken(b, range(1, 3)) == {1: 2, 2: 2}
    parts = [Checkpoint(shard, token, 1, b"a", b"") for shard, token in held.items()]

    with pytest.raises(StaleOwner) as caught:
        await store.flush(FlushBatch(rows=[make_row()], checkpoints=parts))

    assert caught.value.stale == {1: (1, 2), 2: (1, 2)}
    assert "shard 1 (token 1, now 2), 2 (token 1, now 2)" in str(caught.value)
    assert await store.load_checkpoints(range(SHARDS)) == []
    assert await store.symbols() == []
    await store.flush(FlushBatch(checkpoints=[parts[0], parts[3]]))
    assert await store.load_checkpoints(range(SHARDS)) == [parts[0], parts[3]]


async def test_a_renewal_does_not_wait_for_a_flush_and_another_owner_does(
    make: Make, database: Database, eventually: Eventually
) -> None:
    a, b, store = make("a"), make("b"), BarStore(database)
    await a.create()
    held = await taken(a)
    await expire(database, "a")
    batch = FlushBatch(rows=[make_row()], checkpoints=[Checkpoint(0, held[0], 1, b"a", b"")])
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        async with database.transaction("hold up") as connection:
            await connection.execute("LOCK TABLE bars_1min")
            flush = group.create_task(store.flush(batch))
            await eventually(lambda: _is_locked(database, 0))
            assert await taken(b, range(1)) == {}
            assert (await a.beat(held)).renewed == set(range(SHARDS))
        await flush

    assert len(await store.load_checkpoints([0])) == 1


async def test_the_flush_of_an_owner_that_was_paused_is_ended(
    make: Make, embedded_migrated_url: str, database: Database, eventually: Eventually
) -> None:
    a, b = make("a"), make("b")
    await a.create()
    held = await taken(a)
    await expire(database, "a")
    paused = await psycopg.AsyncConnection.connect(
        embedded_migrated_url, application_name=session_name("a")
    )
    await paused.execute("SELECT FROM shard_leases WHERE shard = 0 FOR KEY SHARE")
    assert await taken(b, range(1)) == {}
    assert await b.end_sessions(["nobody"]) == 0

    assert await b.end_sessions(["a"]) == 1

    assert await eventually(lambda: taken(b, range(1))) == {0: held[0] + 1}
    with pytest.raises(psycopg.OperationalError):
        await paused.execute("SELECT 1")


async def test_a_flush_of_another_database_user_is_left_to_the_server(
    embedded_migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    user = f"other_{uuid4().hex[:8]}"
    other_url = embedded_migrated_url.replace("//tickgate@", f"//{user}@")
    async with await psycopg.AsyncConnection.connect(
        embedded_migrated_url, application_name=session_name("a"), autocommit=True
    ) as flush:
        await flush.execute(f"CREATE ROLE {user} LOGIN")  # type: ignore[arg-type]
        try:
            async with flush.transaction():
                await flush.execute("SELECT FROM shard_leases FOR KEY SHARE")
                b = ShardLeases(SoloDatabase(other_url, timeout_s=5), owner="b", shards=SHARDS)
                assert await b.end_sessions(["a"]) == 0
                await b.close()
        finally:
            await flush.execute(f"DROP ROLE {user}")  # type: ignore[arg-type]

    assert "a flush of a cannot be ended" in caplog.text


async def test_aggregators_that_ended_long_ago_are_forgotten(
    make: Make, database: Database
) -> None:
    a, b = make("a"), make("b")
    await a.beat({})
    statement = "UPDATE aggregators SET expires_at = now() - interval '2 hours'"
    await database.fetch("age", statement)

    await b.beat({})

    assert await database.fetch("who", "SELECT owner FROM aggregators") == [("b",)]


async def test_without_the_tables_or_the_server_the_caller_is_told(
    embedded_database_url: str,
) -> None:
    unmigrated = ShardLeases(
        SoloDatabase(embedded_database_url, timeout_s=5), owner="a", shards=SHARDS
    )
    with pytest.raises(SchemaError, match="tickgate migrate"):
        await unmigrated.beat({})
    await unmigrated.close()

    absent = SoloDatabase("postgresql://127.0.0.1:1/x", timeout_s=5)
    with pytest.raises(DatabaseUnavailable, match="renew shard leases"):
        await ShardLeases(absent, owner="a", shards=SHARDS).beat({})


async def test_a_server_that_goes_silent_is_noticed_and_found_again(
    embedded_migrated_url: str, proxied: Callable[[str], Awaitable], eventually: Eventually
) -> None:
    proxy = await proxied(embedded_migrated_url)
    leases = ShardLeases(SoloDatabase(proxy.url, timeout_s=0.3), owner="a", shards=SHARDS)
    await leases.create()
    proxy.black_hole()
    async with asyncio.timeout(2):
        with pytest.raises(DatabaseUnavailable, match=r"no answer within 0.3 s"):
            await leases.beat({})

    await proxy.heal()
    assert len((await leases.beat({})).leases) == SHARDS
    await leases.close()


async def _is_locked(database: Database, shard: int) -> bool:
    """Does somebody hold the shard's row?"""
    statement = "SELECT shard FROM shard_leases WHERE shard = %s FOR UPDATE SKIP LOCKED"
    return not await database.fetch("look", statement, [shard])


@pytest.mark.parametrize("before", [2, 8])
async def test_another_number_of_shards_than_the_database_was_written_with_is_told(
    embedded_migrated_url: str, make: Make, caplog: pytest.LogCaptureFixture, before: int
) -> None:
    other = ShardLeases(
        SoloDatabase(embedded_migrated_url, timeout_s=5), owner="before", shards=before
    )
    await other.beat({})
    await other.create()
    await other.beat({})
    await other.close()
    assert not caplog.records

    leases = make("now")
    for _ in range(2):
        await leases.beat({})
    said = f"this database was written with {before} shards, and `shards` is {SHARDS} now"
    assert [record.message.startswith(said) for record in caplog.records] == [True]
