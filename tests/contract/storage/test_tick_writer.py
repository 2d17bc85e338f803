"""TickWriter against a real server: once, in order, without a hole, whatever breaks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.market.block import decode_meta
from core.market.errors import BlockError
from storage.embedded import ValkeyServer
from storage.errors import StreamUnavailable
from storage.keys import StreamKeys
from storage.redis import Redis, command, connect
from storage.registry import FeedRegistry
from storage.tick_writer import TickWriter
from tests.contract.storage.conftest import HandClock, MakeBlock
from tests.contract.storage.lossy import LossyProxy

Open = Callable[..., Awaitable[TickWriter]]
SHARDS = 2


@pytest.fixture
def open_writer(namespace: str, clock: HandClock) -> Open:
    async def open_it(redis: Redis, **options: Any) -> TickWriter:
        limits: dict[str, Any] = {
            "retention_s": 60,
            "max_bytes": 1 << 30,
            "shards": SHARDS,
            "feed": "sim",
        }
        return await TickWriter.open(redis, namespace=namespace, now_ns=clock, **(limits | options))

    return open_it


async def stored(redis: Redis, namespace: str, shard: int = 0) -> list[tuple[str, int]]:
    """Id and block number of every entry."""
    key = StreamKeys(namespace, SHARDS).ticks("sim", shard)
    found = await command(redis, "XRANGE", key, "-", "+")
    return [(entry_id.decode(), decode_meta(fields[1]).number) for entry_id, fields in found]


async def numbers(redis: Redis, namespace: str, shard: int = 0) -> list[int]:
    return [number for _, number in await stored(redis, namespace, shard)]


async def test_blocks_are_numbered_from_one_per_stream_and_stored_in_order(
    redis: Redis, namespace: str, open_writer: Open, block: MakeBlock
) -> None:
    writer = await open_writer(redis)
    assert writer.resume == {}
    assert (writer.next_number(0), writer.next_number(1)) == (1, 1)

    await writer.append([(0, block(1)), (1, block(1)), (0, block(2)), (0, block(3))])

    assert await numbers(redis, namespace, 0) == [1, 2, 3]
    assert await numbers(redis, namespace, 1) == [1]
    assert (writer.next_number(0), writer.next_number(1)) == (4, 2)


async def test_a_block_out_of_turn_is_refused_and_none_of_its_company_is_taken(
    redis: Redis, namespace: str, open_writer: Open, block: MakeBlock
) -> None:
    writer = await open_writer(redis)

    with pytest.raises(ValueError, match="shard 0: block 3, expected 2"):
        await writer.append([(0, block(1)), (0, block(3))])
    with pytest.raises(BlockError):
        await writer.append([(0, block(1)), (1, b"no block")])

    assert await numbers(redis, namespace) == []
    assert writer.next_number(0) == 1


async def test_what_a_server_lost_behind_the_last_append_is_found_and_sent_again(
    redis: Redis, namespace: str, open_writer: Open, block: MakeBlock
) -> None:
    keys = StreamKeys(namespace, SHARDS)
    writer = await open_writer(redis)
    await writer.append([(0, block(1)), (1, block(1))])
    replica = [
        (key, await command(redis, "DUMP", key))
        for key in (keys.fence("sim", 0), keys.ticks("sim", 0))
    ]
    await writer.append([(0, block(2)), (0, block(3))])
    before = await stored(redis, namespace)
    await writer.confirm()
    assert writer.replayed == 0

    for key, content in replica:  # a master that had not got further
        await command(redis, "RESTORE", key, 0, content, "REPLACE")
    await writer.confirm()

    assert await stored(redis, namespace) == before
    assert await numbers(redis, namespace, 1) == [1]
    assert (writer.replayed, writer.lost) == (2, 0)


async def test_ids_follow_the_clock_and_grow_when_it_steps_back(
    redis: Redis, namespace: str, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    writer = await open_writer(redis)
    start_ms = clock.now_ms

    await writer.append([(0, block(1))])
    clock.now_ms -= 5_000
    await writer.append([(0, block(2)), (0, block(3))])
    clock.now_ms += 5_001
    await writer.append([(0, block(4))])

    assert await stored(redis, namespace) == [
        (f"{start_ms}-0", 1),
        (f"{start_ms}-1", 2),
        (f"{start_ms}-2", 3),
        (f"{start_ms + 1}-0", 4),
    ]


async def test_a_new_writer_goes_on_where_the_last_one_stopped_though_the_clock_is_behind(
    redis: Redis, namespace: str, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    first = await open_writer(redis)
    await first.append([(1, block(1, position=10)), (1, block(2, position=20))])

    clock.now_ms -= 60_000
    second = await open_writer(redis)
    assert set(second.resume) == {1}
    assert (second.resume[1].number, second.resume[1].position) == (2, 20)
    await second.append([(1, block(second.next_number(1)))])

    assert await numbers(redis, namespace, 1) == [1, 2, 3]
    assert second.held_bytes == pytest.approx(await memory(redis, namespace, 1), rel=0.5)


@pytest.mark.parametrize("lost_after", [0, 1, 4, 7])
async def test_a_reply_that_was_lost_does_not_store_a_block_twice(
    lossy: LossyProxy,
    lossy_redis: Redis,
    redis: Redis,
    namespace: str,
    open_writer: Open,
    block: MakeBlock,
    lost_after: int,
) -> None:
    down: list[str] = []
    up: list[bool] = []
    writer = await open_writer(lossy_redis, on_down=down.append, on_up=lambda: up.append(True))
    await writer.append([(0, block(1)), (1, block(1))])
    lossy.replies_left = lost_after

    await writer.append([(0, block(2)), (1, block(2)), (0, block(3))])

    assert lossy.cuts == 1
    assert await numbers(redis, namespace, 0) == [1, 2, 3]
    assert await numbers(redis, namespace, 1) == [1, 2]
    assert writer.repeated >= 1
    assert len(down) == 1
    assert len(up) == 2


@pytest.mark.parametrize("sent", [1, 150, 40_000])
async def test_a_request_that_arrived_in_part_is_sent_again(
    lossy: LossyProxy,
    lossy_redis: Redis,
    redis: Redis,
    namespace: str,
    open_writer: Open,
    block: MakeBlock,
    sent: int,
) -> None:
    writer = await open_writer(lossy_redis)
    lossy.requests_left = sent

    await writer.append([(s, block(n, ticks=500)) for n in (1, 2, 3) for s in (0, 1)])

    assert lossy.cuts == 1
    assert await numbers(redis, namespace, 0) == await numbers(redis, namespace, 1) == [1, 2, 3]


async def test_an_append_waits_while_the_server_is_away_and_says_so(
    valkey: ValkeyServer, namespace: str, open_writer: Open, block: MakeBlock, eventually: Any
) -> None:
    down: list[str] = []
    async with client(valkey.url) as redis:
        writer = await open_writer(redis, on_down=down.append)
        await writer.append([(0, block(1))])
        await valkey.stop()

        async with asyncio.TaskGroup() as group:
            appending = group.create_task(writer.append([(0, block(2)), (0, block(3))]))
            await eventually(lambda: len(down) >= 2)
            assert not appending.done()
            await valkey.start()

        assert await numbers(redis, namespace) == [1, 2, 3]
    assert "see that it runs" in down[0]


async def test_a_black_holed_server_is_noticed_within_the_command_timeout(
    valkey: ValkeyServer, namespace: str, open_writer: Open, block: MakeBlock, eventually: Any
) -> None:
    down: list[str] = []
    async with client(valkey.url, command_timeout_s=0.2) as redis:
        writer = await open_writer(redis, on_down=down.append)
        valkey.pause()

        async with asyncio.TaskGroup() as group:
            group.create_task(writer.append([(0, block(1))]))
            await eventually(lambda: down, timeout_s=2.0)
            valkey.resume()

        assert await numbers(redis, namespace) == [1]
    assert "no answer within 0.2 s" in down[0]


async def test_a_cancelled_append_leaves_its_blocks_with_the_writer(
    valkey: ValkeyServer, namespace: str, open_writer: Open, block: MakeBlock, eventually: Any
) -> None:
    down: list[str] = []
    async with client(valkey.url, command_timeout_s=0.2) as redis:
        writer = await open_writer(redis, on_down=down.append)
        valkey.pause()
        async with asyncio.TaskGroup() as group:
            appending = group.create_task(writer.append([(0, block(1)), (0, block(2))]))
            await eventually(lambda: down)
            appending.cancel()
        valkey.resume()

        assert writer.next_number(0) == 3
        await writer.append([])

        assert await numbers(redis, namespace) == [1, 2]


async def test_a_refusal_for_want_of_memory_makes_room_from_the_feeds_own_oldest_entries(
    valkey: ValkeyServer, namespace: str, open_writer: Open, block: MakeBlock
) -> None:
    async with client(valkey.url) as redis:
        await command(redis, "CONFIG", "SET", "maxmemory", await in_use(redis) + 3_000_000)
        writer = await open_writer(redis)

        for number in range(1, 301):
            await writer.append([(0, block(number, ticks=1000))])

        kept = await numbers(redis, namespace)
        assert writer.refused > 0
        assert kept == list(range(kept[0], 301))
        assert 1 < kept[0] < 290
        reopened = await open_writer(redis)
        assert reopened.next_number(0) == 301


async def test_at_the_cap_the_lease_is_kept_and_the_feed_stays_registered(
    valkey: ValkeyServer, namespace: str, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    async with client(valkey.url) as redis:
        writer = await open_writer(redis, retention_s=3600)
        for number in range(1, 51):
            await writer.append([(0, block(number, ticks=1000))])
        await command(redis, "CONFIG", "SET", "maxmemory", await in_use(redis))

        for number in range(51, 71):  # each is due to renew the lease, and to look at its budget
            clock.now_ms += 10_001
            await writer.append([(0, block(number, ticks=1000))])

        kept = await numbers(redis, namespace)
        assert kept == list(range(kept[0], 71))
        assert writer.given_up > 0
        (feed,) = await FeedRegistry(redis, StreamKeys(namespace, SHARDS)).feeds()
        assert feed.registered_ms == clock.now_ms


async def test_a_process_that_starts_on_a_full_server_makes_room_and_goes_on(
    valkey: ValkeyServer, namespace: str, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    async with client(valkey.url) as redis:
        before = await open_writer(redis)
        for number in range(1, 51):
            clock.now_ms += 1_000
            await before.append([(0, block(number, ticks=1000))])
        await before.release()
        await command(redis, "CONFIG", "SET", "maxmemory", await in_use(redis) - 100_000)

        writer = await open_writer(redis)
        await writer.append([(0, block(51, ticks=1000))])

        kept = await numbers(redis, namespace)
        assert kept == list(range(kept[0], 52))
        assert 1 < kept[0] < 40


async def test_memory_that_a_stopped_feed_holds_goes_before_another_feed_has_to_wait(
    valkey: ValkeyServer, namespace: str, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    async with client(valkey.url) as redis:
        stopped = await open_writer(redis)
        for number in range(1, 51):
            await stopped.append([(0, block(number, ticks=1000))])
        await command(redis, "CONFIG", "SET", "maxmemory", await in_use(redis) - 100_000)
        clock.now_ms += 60_001

        writer = await open_writer(redis, feed="other")
        await writer.append([(0, block(1, ticks=1000)), (0, block(2, ticks=1000))])

        assert await numbers(redis, namespace) == [50]


async def test_when_nothing_of_its_own_is_left_to_give_up_an_append_waits_for_memory(
    valkey: ValkeyServer, namespace: str, open_writer: Open, block: MakeBlock, eventually: Any
) -> None:
    down: list[str] = []
    async with client(valkey.url) as redis:
        writer = await open_writer(redis, on_down=down.append)
        await writer.append([(0, block(1))])
        await command(redis, "CONFIG", "SET", "maxmemory", 1)

        async with asyncio.TaskGroup() as group:
            group.create_task(writer.append([(0, block(2)), (0, block(3)), (1, block(1))]))
            await eventually(lambda: down)
            await command(redis, "CONFIG", "SET", "maxmemory", 0)

        assert await numbers(redis, namespace, 0) == [1, 2, 3]
        assert await numbers(redis, namespace, 1) == [1]
    assert "used memory" in down[0]


async def test_what_is_older_than_the_retention_goes(
    redis: Redis, namespace: str, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    writer = await open_writer(redis, retention_s=10)
    for number in range(1, 31):
        clock.now_ms += 1_000
        await writer.append([(0, block(number, ticks=1000))])

    assert await numbers(redis, namespace) == list(range(20, 31))
    assert writer.held_bytes <= 14 * 43_300


@pytest.mark.parametrize("shards_used", [1, 2])
async def test_the_bytes_of_a_feed_are_bounded_over_all_its_shards(
    redis: Redis, namespace: str, open_writer: Open, block: MakeBlock, shards_used: int
) -> None:
    budget = 1_000_000
    writer = await open_writer(redis, max_bytes=budget)

    for number in range(1, 61):
        await writer.append([(s, block(number, ticks=1000)) for s in range(shards_used)])
        used = sum([await memory(redis, namespace, s) for s in range(SHARDS)])
        assert used <= budget * 1.05

    for shard in range(shards_used):
        kept = await numbers(redis, namespace, shard)
        assert kept == list(range(kept[0], 61))
    assert used >= budget * 0.8
    assert writer.trimmed > 0


async def test_a_feed_of_small_blocks_is_bounded_too(
    redis: Redis, namespace: str, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    writer = await open_writer(redis, max_bytes=20_000)
    for first in range(1, 601, 20):
        clock.now_ms += 100
        await writer.append([(0, block(number, ticks=0)) for number in range(first, first + 20)])

    assert await memory(redis, namespace, 0) <= 20_000
    assert 50 < len(await numbers(redis, namespace)) < 200


async def test_the_budget_is_shared_with_feeds_that_come_later(
    redis: Redis, namespace: str, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    writer = await open_writer(redis, max_bytes=1_000_000)
    await TickWriter.open(
        redis,
        namespace=namespace,
        feed="other",
        shards=SHARDS,
        retention_s=60,
        max_bytes=1_000_000,
        now_ns=clock,
    )
    clock.now_ms += 10_000

    for number in range(1, 31):
        await writer.append([(0, block(number, ticks=1000))])

    assert await memory(redis, namespace, 0) <= 500_000 * 1.05


async def test_a_feed_that_nobody_writes_any_more_gives_its_bytes_back(
    redis: Redis, namespace: str, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    ended = await open_writer(redis)
    await ended.append([(0, block(n, position=n, ticks=1000)) for n in range(1, 11)])
    limits: dict[str, Any] = {"shards": SHARDS, "retention_s": 60, "now_ns": clock}
    running = await TickWriter.open(
        redis, namespace=namespace, feed="other", max_bytes=1_000_000, **limits
    )

    for number in range(1, 31):
        clock.now_ms += 10_000
        await running.append([(1, block(number, ticks=1000))])

    assert await numbers(redis, namespace) == [10]
    again = await open_writer(redis)
    assert again.resume[0].position == 10
    assert await numbers(redis, namespace) == [10]


async def test_a_writer_is_not_opened_while_the_server_is_away_or_the_stream_is_none(
    valkey: ValkeyServer, namespace: str, open_writer: Open
) -> None:
    async with client(valkey.url) as redis:
        key = StreamKeys(namespace, SHARDS).ticks("sim", 0)
        await command(redis, "SET", key, "x")
        with pytest.raises(StreamUnavailable, match="WRONGTYPE"):
            await open_writer(redis)

        await valkey.stop()
        with pytest.raises(StreamUnavailable):
            await open_writer(redis)


async def memory(redis: Redis, namespace: str, shard: int) -> int:
    key = StreamKeys(namespace, SHARDS).ticks("sim", shard)
    return int(await command(redis, "MEMORY", "USAGE", key, "SAMPLES", 0) or 0)


async def in_use(redis: Redis) -> int:
    info = await command(redis, "INFO", "memory")
    return int(info.split(b"used_memory:")[1].split()[0])


@asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[Redis]:
    redis = connect(url, **options)
    try:
        yield redis
    finally:
        await redis.aclose()
