"""Leases and fences against both makes of server: one writer per feed, whoever thinks otherwise."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from core.market.block import decode_meta
from storage.errors import LeaseHeld, LeaseLost
from storage.keys import StreamKeys
from storage.lease import Lease, is_gone, process_owner
from storage.redis import Redis, command, connect
from storage.tick_writer import TickWriter
from tests.contract.storage.conftest import HandClock, MakeBlock
from tests.redis_servers import MAKES, Server, running

KEYS = StreamKeys("n", 2)


@pytest.fixture(params=MAKES)
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """A server of the test's own: Valkey, and again Redis 7."""
    one = Server(request.param, tmp_path / "server")
    async with running([one]):
        yield one


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[Redis]:
    client = connect(server.url)
    yield client
    await client.aclose()


@pytest.fixture
def open_writer(redis: Redis, clock: HandClock) -> Callable[..., Awaitable[TickWriter]]:
    async def open_it(owner: str, *, expired: bool = False, **options: Any) -> TickWriter:
        lease = Lease(redis, key=KEYS.lease("sim"), feed="sim", owner=owner)
        await lease.acquire(expired=expired)
        limits: dict[str, Any] = {"retention_s": 60, "max_bytes": 1 << 30, "shards": 2}
        return await TickWriter.open(
            redis, namespace="n", feed="sim", now_ns=clock, lease=lease, **(limits | options)
        )

    return open_it


Open = Callable[..., Awaitable[TickWriter]]


async def numbers(redis: Redis, shard: int = 0) -> list[int]:
    found = await command(redis, "XRANGE", KEYS.ticks("sim", shard), "-", "+")
    return [decode_meta(fields[1]).number for _, fields in found]


async def run_out(redis: Redis) -> None:
    """As if the owner had been silent for long enough."""
    await command(redis, "HSET", KEYS.lease("sim"), "until", 1)


async def test_a_lease_is_held_by_one_until_it_runs_out_or_is_released(redis: Redis) -> None:
    one, other = (Lease(redis, key="lease", feed="sim", owner=name) for name in "ab")
    await one.acquire()

    with pytest.raises(LeaseHeld, match="feed sim is published by a"):
        await other.acquire()
    with pytest.raises(LeaseHeld) as held:
        await other.acquire(expired=True)
    assert not held.value.ran_out
    await one.renew()

    await one.release()
    await other.acquire()
    assert other.token > one.token > 0
    with pytest.raises(LeaseLost, match="taken over by b"):
        await one.renew()
    await one.release()  # of another's lease: nothing
    with pytest.raises(LeaseHeld):
        await one.acquire()


async def test_a_lease_that_ran_out_is_taken_only_by_who_says_so(redis: Redis) -> None:
    one, other = (Lease(redis, key=KEYS.lease("sim"), feed="sim", owner=name) for name in "ab")
    await one.acquire()
    await run_out(redis)

    with pytest.raises(LeaseHeld) as held:
        await other.acquire()
    assert held.value.ran_out
    await one.renew()
    with pytest.raises(LeaseHeld):
        await other.acquire(expired=True)
    await run_out(redis)
    await other.acquire(expired=True)
    assert other.token > one.token


async def test_the_lease_of_a_process_that_is_gone_is_free(redis: Redis) -> None:
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    mine = process_owner()
    gone = mine.replace(f":{os.getpid()}:", f":{ended.pid}:")
    await Lease(redis, key="lease", feed="sim", owner=gone).acquire()

    await Lease(redis, key="lease", feed="sim").acquire()

    assert is_gone(gone)
    assert not any(map(is_gone, (mine, "", "a", "elsewhere:1:1", mine.replace(":", ":x", 1))))


async def test_tokens_grow_though_the_server_lost_everything(redis: Redis) -> None:
    one, other = (Lease(redis, key="lease", feed="sim", owner=name) for name in "ab")
    await one.acquire()
    await command(redis, "FLUSHALL")
    await one.renew()
    await command(redis, "FLUSHALL")
    await other.acquire()

    assert other.token > one.token


async def test_an_owner_that_the_server_forgot_may_come_back_first(redis: Redis) -> None:
    one, other = (Lease(redis, key="lease", feed="sim", owner=name) for name in "ab")
    await one.acquire()
    with pytest.raises(LeaseHeld):
        await other.acquire()
    await command(redis, "FLUSHALL")

    with pytest.raises(LeaseHeld, match="published by a") as held:
        await other.acquire()
    assert held.value.ran_out
    await one.renew()
    with pytest.raises(LeaseHeld):
        await other.acquire(expired=True)
    await command(redis, "FLUSHALL")
    await other.acquire(expired=True)
    assert other.token > one.token


async def test_a_writer_that_lost_its_lease_cannot_append(
    redis: Redis, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    paused = await open_writer("a")
    await paused.append([(0, block(1))])
    await run_out(redis)
    newer = await open_writer("b", expired=True)

    clock.now_ms += 1
    with pytest.raises(LeaseLost):
        await paused.append([(0, block(2)), (1, block(1))])
    await newer.append([(0, block(2)), (1, block(1))])
    clock.now_ms += 10_000
    with pytest.raises(LeaseLost, match="taken over by b"):
        await paused.append([])

    assert paused.waiting == 2
    assert newer.epoch > paused.epoch
    assert await numbers(redis, 0) == [1, 2]
    assert await numbers(redis, 1) == [1]


async def test_who_takes_over_between_two_appends_fences_streams_that_nobody_wrote(
    redis: Redis, open_writer: Open, block: MakeBlock
) -> None:
    paused = await open_writer("a")
    await run_out(redis)
    await open_writer("b", expired=True)

    with pytest.raises(LeaseLost):
        await paused.append([(1, block(1))])

    assert await numbers(redis, 1) == []


async def test_what_a_server_lost_is_stored_again_in_place(
    server: Server, redis: Redis, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    writer = await open_writer("a")
    await writer.append([(shard, block(number)) for number in range(1, 6) for shard in (0, 1)])
    before = await command(redis, "XRANGE", KEYS.ticks("sim", 0), "-", "+")
    server.kill()  # it has written nothing to disk
    await server.start()
    clock.now_ms += 5_000

    await writer.append([(0, block(6))])
    await writer.append([(1, block(6)), (0, block(7))])

    assert await numbers(redis, 0) == [1, 2, 3, 4, 5, 6, 7]
    assert await numbers(redis, 1) == [1, 2, 3, 4, 5, 6]
    after = await command(redis, "XRANGE", KEYS.ticks("sim", 0), "-", "+")
    assert after[:5] == before
    assert (writer.replayed, writer.lost) == (10, 0)


async def test_what_was_lost_and_is_not_kept_any_more_is_counted(
    server: Server, redis: Redis, open_writer: Open, clock: HandClock, block: MakeBlock
) -> None:
    writer = await open_writer("a", ring_bytes=3 * len(block(1)))
    await writer.append([(0, block(number)) for number in range(1, 9)])
    server.kill()
    await server.start()

    await writer.append([(0, block(9))])

    assert await numbers(redis) == [6, 7, 8, 9]
    assert (writer.replayed, writer.lost) == (3, 5)


async def test_what_a_server_lost_of_a_feed_that_ended_is_stored_again(
    server: Server, redis: Redis, open_writer: Open, block: MakeBlock
) -> None:
    writer = await open_writer("a")
    await writer.append([(0, block(1)), (0, block(2))])
    await writer.confirm()
    assert writer.replayed == 0
    server.kill()
    await server.start()

    await writer.confirm()
    await writer.confirm()

    assert await numbers(redis, 0) == [1, 2]
    assert (writer.replayed, writer.lost) == (2, 0)


async def test_a_feed_that_was_taken_over_is_not_stored_again(
    redis: Redis, open_writer: Open, block: MakeBlock, clock: HandClock
) -> None:
    writer = await open_writer("a")
    await writer.append([(0, block(1))])
    await run_out(redis)
    newer = await open_writer("b", expired=True)
    await newer.append([(0, block(2))])

    with pytest.raises(LeaseLost):
        await writer.confirm()

    assert await numbers(redis, 0) == [1, 2]
