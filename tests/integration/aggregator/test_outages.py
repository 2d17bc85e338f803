"""A server that goes away and comes back: the aggregator waits, says so, and nothing is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import psycopg
import pytest

from aggregator.service import AggregatorService
from core.market.bar import Bar, decode_bars
from core.market.block import BlockMeta, encode_block
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from core.market.timeframe import MINUTE_NS
from storage.bars import BarStore, FlushBatch
from storage.database import Database
from storage.embedded import PostgresServer, ValkeyServer
from storage.errors import DatabaseUnavailable
from storage.migrations import migrate
from storage.redis import command, connect
from storage.roles import RoleBoard, RoleReport
from storage.stream_reader import StreamReader
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.integration.aggregator.rig import SHARDS, Rig, minutes
from tests.property.aggregator.harness import oracle, plain

START_NS = 1_700_000_000 * 10**9 // MINUTE_NS * MINUTE_NS


def trades(first: int, count: int) -> list[Tick]:
    """One trade a second over four symbols, from second *first*."""
    return [
        Tick(Symbol(f"X:S{n % 4}"), n + 1, 1.0 + n % 7, 0.5, START_NS + n * 10**9, seq=n + 1)
        for n in range(first, first + count)
    ]


@pytest.fixture
async def rig(redis_url: str, embedded_migrated_url: str, namespace: str) -> AsyncIterator[Rig]:
    """On one kind of database: these tests are about coming and going."""
    rig = Rig(redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace)
    yield rig
    await rig.close()


@contextlib.asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[AggregatorService]:
    async with rig.store() as store:
        service = rig.make_service(store)
        async with asyncio.TaskGroup() as group:
            group.create_task(service.run())
            yield service
            service.begin_drain()


class CountingStore(BarStore):
    """Counts the flushes that failed."""

    failures = 0

    async def flush(self, batch: FlushBatch) -> None:
        try:
            await super().flush(batch)
        except DatabaseUnavailable:
            self.failures += 1
            raise


@pytest.mark.timeout(60)
async def test_a_database_that_is_away_at_the_start_and_in_the_middle(
    redis_url: str, postgres: PostgresServer, namespace: str, eventually: Eventually
) -> None:
    await migrate(postgres.url)
    await postgres.stop()
    rig = Rig(redis_url=redis_url, database_url=postgres.url, namespace=namespace)
    await rig.write(trades(0, 200))
    async with running(rig) as service:
        await eventually(lambda: "PostgreSQL" in service.readiness.states()["database"].reason)

        await postgres.start()
        await eventually(lambda: rig.counted("ticks") == 200)
        await eventually(lambda: service.readiness.ready)
        await postgres.kill()
        await rig.write(trades(200, 400))
        await eventually(lambda: not service.readiness.ready)
        assert service.readiness.states()["database"].reason

        await postgres.start()
        await eventually(lambda: service.readiness.ready)
        await eventually(lambda: rig.counted("ticks") == 600)
    await rig.write([], end=True)
    await rig.run_to_end()
    bars = await rig.stored()
    await rig.close()

    assert {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in bars} == oracle(trades(0, 600))


@pytest.mark.timeout(60)
async def test_a_redis_that_is_away_at_the_start_and_in_the_middle(
    valkey: ValkeyServer, embedded_migrated_url: str, namespace: str, eventually: Eventually
) -> None:
    rig = Rig(redis_url=valkey.url, database_url=embedded_migrated_url, namespace=namespace)
    await valkey.stop()
    async with running(rig) as service:
        await eventually(lambda: "Redis" in service.readiness.states()["redis"].reason)

        await valkey.start()
        await rig.write(trades(0, 200))
        await eventually(lambda: rig.counted("ticks") == 200)
        await valkey.kill()
        await eventually(lambda: not service.readiness.ready)
        await valkey.start()
        await rig.write(trades(200, 400), end=True)
        await eventually(lambda: rig.counted("ticks") == 600)
        await eventually(lambda: service.readiness.ready)
    await rig.run_to_end()
    bars = await rig.stored()
    published = {(b.symbol, b.timeframe, b.start_ns): b for b in await rig.published()}
    await rig.close()

    assert {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in bars} == oracle(trades(0, 600))
    assert sorted(published) == sorted((b.symbol, b.timeframe, b.start_ns) for b in bars)


async def test_flushes_behind_a_lock_are_cancelled_and_made_again_until_it_goes(
    redis_url: str, embedded_migrated_url: str, namespace: str, eventually: Eventually
) -> None:
    rig = Rig(redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace)
    database = Database(embedded_migrated_url, statement_timeout_s=0.1, slow_query_s=0.05)
    await database.open()
    store = CountingStore(database)
    service = rig.make_service(store)
    async with asyncio.TaskGroup() as group, asyncio.timeout(40):
        group.create_task(service.run())
        await rig.write(trades(0, 200))
        await eventually(lambda: rig.counted("ticks") == 200 and service.readiness.ready)
        async with await psycopg.AsyncConnection.connect(embedded_migrated_url) as holder:
            await holder.execute("LOCK TABLE bars_1min")
            await rig.write(trades(200, 2_000))
            await eventually(lambda: store.failures >= 3, timeout_s=20)
            assert "flush: " in service.readiness.states()["database"].reason
        await eventually(lambda: service.readiness.ready, timeout_s=20)
        await eventually(lambda: rig.counted("ticks") == 2_200)
        service.begin_drain()
    await database.close()
    await rig.write([], end=True)
    await rig.run_to_end()
    bars = await rig.stored()
    await rig.close()

    assert {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in bars} == oracle(trades(0, 2_200))


async def test_bars_that_a_server_lost_are_published_again_though_none_follow(
    rig: Rig, eventually: Eventually
) -> None:
    await rig.write(trades(0, 300), end=True)
    async with running(rig):
        await eventually(lambda: rig.counted("ticks") == 300)

        async def all_published() -> list[Bar]:
            bars = await rig.published()
            assert len({(b.symbol, b.timeframe, b.start_ns) for b in bars}) == len(
                oracle(trades(0, 300))
            )
            return bars

        before = await eventually(all_published)
        for shard in range(SHARDS):
            await command(rig.redis, "DEL", rig.keys.bars(shard))

        assert await eventually(all_published) == before


async def test_draining_before_the_database_ever_came_returns(
    redis_url: str, postgres: PostgresServer, namespace: str, eventually: Eventually
) -> None:
    await postgres.stop()
    rig = Rig(redis_url=redis_url, database_url=postgres.url, namespace=namespace)
    async with asyncio.timeout(15), running(rig) as service:
        await eventually(lambda: "PostgreSQL" in service.readiness.states()["database"].reason)
    await rig.close()


async def test_draining_while_the_database_is_away_returns_and_the_next_start_makes_it_good(
    redis_url: str, postgres: PostgresServer, namespace: str, eventually: Eventually
) -> None:
    await migrate(postgres.url)
    rig = Rig(redis_url=redis_url, database_url=postgres.url, namespace=namespace)
    await rig.write(trades(0, 100))
    async with asyncio.timeout(30), running(rig) as service:
        await eventually(lambda: rig.counted("ticks") == 100)
        await postgres.stop()
        await rig.write(trades(100, 500))
        await eventually(lambda: not service.readiness.ready)
    await postgres.start()
    await rig.write([], end=True)

    await rig.run_to_end()

    bars = await rig.stored()
    await rig.close()
    assert {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in bars} == oracle(trades(0, 600))


async def test_entries_that_are_no_blocks_are_counted_and_passed_over(
    rig: Rig, eventually: Eventually
) -> None:
    await rig.write(trades(0, 100))
    for shard in range(SHARDS):
        key = rig.keys.ticks(rig.feed, shard)
        await command(rig.redis, "XADD", key, "*", "b", b"garbage")

    async with running(rig):
        await eventually(lambda: rig.counted("bad_blocks") == SHARDS)
        assert rig.counted("ticks") == 100


async def test_blocks_that_were_trimmed_before_they_were_read_are_counted(
    rig: Rig, eventually: Eventually
) -> None:
    key = rig.keys.ticks(rig.feed, 0)
    await rig.open_writer()
    async with running(rig):
        for number in (1, 2, 5):
            meta = BlockMeta(number=number, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
            payload = encode_block(meta, [Tick(Symbol("X:A"), NO_ID, 1.0, 1.0, START_NS)])
            await command(rig.redis, "XADD", key, "*", "b", payload)

        await eventually(lambda: rig.counted("ticks") == 3)
        assert rig.counted("lost_blocks") == 2


async def test_a_feed_with_another_number_of_shards_is_left_out(
    rig: Rig, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    from storage.registry import FeedInfo, FeedRegistry

    await FeedRegistry(rig.redis, rig.keys).register(FeedInfo("other", "X", SHARDS * 2, 0))

    async with running(rig):
        await eventually(lambda: any("other" in r.getMessage() for r in caplog.records))


async def test_a_feed_whose_number_of_shards_was_set_right_is_read_without_a_restart(
    rig: Rig, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    from storage.registry import FeedInfo, FeedRegistry

    registry = FeedRegistry(rig.redis, rig.keys)
    wrong = FeedInfo(rig.feed, "X", SHARDS * 2, 0)

    def errors(feed: str = rig.feed) -> list[str]:
        said = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
        return [message for message in said if f"feed {feed} writes" in message]

    await registry.register(wrong)
    async with running(rig):
        await eventually(errors)
        assert "it is left out" in errors()[0]

        tick = Tick(Symbol("X:A"), 1, 1.0, 1.0, START_NS)
        await rig.write([tick])  # its writer registers with the right number
        await eventually(lambda: rig.counted("ticks") == 1)

        await registry.register(wrong)
        await eventually(lambda: len(errors()) == 2)
        assert "its bars are wrong now" in errors()[1]
        await registry.register(FeedInfo(rig.feed, "X", SHARDS, 0))
        await registry.register(FeedInfo("z", "Z", SHARDS + 1, 0))
        await eventually(lambda: errors("z"))  # the feeds were looked at since
        await rig.write([msgspec.structs.replace(tick, trade_id=2)])
        await eventually(lambda: rig.counted("ticks") == 2)
        assert rig.counted("repeated_blocks") == 0
        assert len(errors()) == 2


def reader_of_running_bars(rig: Rig) -> StreamReader:
    """From the first one on; the caller closes it."""
    reader = StreamReader(rig.redis_url, block_ms=50)
    for shard in range(SHARDS):
        reader.follow(rig.keys.running(shard), "0-0")
    return reader


async def test_running_bars_are_published_while_their_window_is_open(
    rig: Rig, eventually: Eventually
) -> None:
    reader = reader_of_running_bars(rig)
    await rig.write(trades(0, 30))
    seen = []

    async def all_seen() -> bool:
        for entry in await reader.read():
            seen.extend(decode_bars(entry.payload))
        return len({(bar.symbol, bar.timeframe) for bar in seen}) == 12

    async with running(rig):
        await eventually(all_seen)
    await reader.close()

    assert not any(bar.final for bar in seen)
    newest = {(b.symbol, b.timeframe, b.start_ns): b for b in seen}
    assert {key: plain(bar) for key, bar in newest.items()} == oracle(trades(0, 30))
    assert len(minutes(list(newest.values()))) == 4


async def test_open_bars_are_published_once_more_for_each_gateway_that_comes(
    rig: Rig, eventually: Eventually
) -> None:
    reader = reader_of_running_bars(rig)
    redis = connect(rig.redis_url)
    board = RoleBoard(redis, rig.keys, now_ns=wall_ns)
    told: dict[tuple[str, str], int] = {}

    async def is_told(times: int) -> bool:
        for entry in await reader.read():
            for bar in decode_bars(entry.payload):
                told[bar.symbol, bar.timeframe] = told.get((bar.symbol, bar.timeframe), 0) + 1
        return len(told) == 12 and set(told.values()) == {times}

    async def report(name: str, started_ms: int = 1, open_asked: int = 0) -> None:
        await board.publish(
            RoleReport(
                role="gateway",
                name=name,
                pid=1,
                reported_ms=wall_ns() // 10**6,
                started_ms=started_ms,
                open_asked=open_asked,
            )
        )

    async with running(rig):
        await rig.write(trades(0, 4))
        await eventually(lambda: is_told(1))
        await report("host:1")
        await eventually(lambda: is_told(2))
        await report("host:2")
        await eventually(lambda: is_told(3))
        await report("host:2")  # it is known
        await report("host:1", started_ms=2)  # another one under the same name
        await eventually(lambda: is_told(4))
        await report("host:2", open_asked=1)
        await eventually(lambda: is_told(5))
    await reader.close()
    await redis.aclose()


async def test_blocks_published_twice_are_folded_once(rig: Rig) -> None:
    ticks = [msgspec.structs.replace(tick, trade_id=NO_ID) for tick in trades(0, 300)]
    await rig.write(ticks)
    for shard in range(SHARDS):
        key = rig.keys.ticks(rig.feed, shard)
        for _, fields in await command(rig.redis, "XRANGE", key, "-", "+"):
            await command(rig.redis, "XADD", key, "*", *fields)
    await rig.write([], end=True)

    await rig.run_to_end()

    assert rig.counted("repeated_blocks") == SHARDS
    bars = await rig.stored()
    assert {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in bars} == oracle(ticks)
