"""StreamReader against a real server: from a position on, in order, and a lost server noticed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from storage.embedded import ValkeyServer
from storage.errors import StreamUnavailable
from storage.redis import Redis, command
from storage.stream_reader import StreamReader
from tests.contract.storage.lossy import LossyProxy


@pytest.fixture
async def reader(redis_url: str) -> AsyncIterator[StreamReader]:
    stream_reader = StreamReader(redis_url, block_ms=20, count=3)
    yield stream_reader
    await stream_reader.close()


async def add(redis: Redis, key: str, *payloads: bytes) -> None:
    for payload in payloads:
        await command(redis, "XADD", key, "*", "b", payload)


async def read_all(reader: StreamReader) -> list[bytes]:
    found = []
    while entries := await reader.read():
        found += [entry.payload for entry in entries]
    return found


async def test_entries_come_once_and_in_order_from_the_position_on(
    redis: Redis, reader: StreamReader, namespace: str
) -> None:
    await add(redis, namespace, *[b"%d" % n for n in range(8)])
    reader.follow(namespace, "0-0")

    first = await reader.read()
    assert [entry.payload for entry in first] == [b"0", b"1", b"2"]
    assert {entry.key for entry in first} == {namespace}
    assert reader.positions == {namespace: first[-1].entry_id}
    assert await read_all(reader) == [b"3", b"4", b"5", b"6", b"7"]
    assert await reader.read() == []


async def test_a_stream_followed_from_its_end_brings_only_what_comes_later(
    redis: Redis, reader: StreamReader, namespace: str
) -> None:
    filled, empty = f"{namespace}-filled", f"{namespace}-empty"
    await add(redis, filled, b"old")
    reader.follow(filled, "$")
    reader.follow(empty, "$")
    assert await reader.read() == []

    await add(redis, filled, b"new")
    await add(redis, empty, b"first")

    assert sorted(await read_all(reader)) == [b"first", b"new"]


async def test_streams_are_added_and_dropped_while_reading(
    redis: Redis, reader: StreamReader, namespace: str
) -> None:
    one, other = f"{namespace}-1", f"{namespace}-2"
    await add(redis, one, b"a")
    await add(redis, other, b"b")
    reader.follow(one, "0-0")
    assert await read_all(reader) == [b"a"]

    reader.follow(other, "0-0")
    reader.unfollow(one)
    await add(redis, one, b"c")

    assert await read_all(reader) == [b"b"]


async def test_reading_without_a_stream_is_an_error(reader: StreamReader) -> None:
    with pytest.raises(ValueError, match="follow a stream"):
        await reader.read()


async def test_a_read_waits_for_an_entry_and_brings_it_at_once(
    redis: Redis, redis_url: str, namespace: str
) -> None:
    reader = StreamReader(redis_url, block_ms=10_000)
    reader.follow(namespace, "0-0")
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        reading = group.create_task(reader.read())
        await add(redis, namespace, b"x")
    await reader.close()

    assert [entry.payload for entry in reading.result()] == [b"x"]


async def test_a_cut_connection_is_told_and_the_next_read_goes_on_in_place(
    redis: Redis, lossy: LossyProxy, namespace: str
) -> None:
    reader = StreamReader(lossy.url, block_ms=20, count=3)
    await add(redis, namespace, *[b"%d" % n for n in range(8)])
    reader.follow(namespace, "0-0")
    assert len(await reader.read()) == 3

    lossy.replies_left = 30
    with pytest.raises(StreamUnavailable):
        await reader.read()

    assert await read_all(reader) == [b"3", b"4", b"5", b"6", b"7"]
    await reader.close()


async def test_a_cancelled_read_loses_nothing(
    redis: Redis, reader: StreamReader, redis_url: str, namespace: str
) -> None:
    waiting = StreamReader(redis_url, block_ms=10_000)
    waiting.follow(namespace, "0-0")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await waiting.read()
    await add(redis, namespace, b"x", b"y")

    found = [entry.payload for entry in [*await waiting.read(), *await waiting.read()]]
    assert found[:2] == [b"x", b"y"]
    await waiting.close()


async def test_a_hanging_server_is_noticed_soon_after_the_blocking_time(
    valkey: ValkeyServer, namespace: str
) -> None:
    reader = StreamReader(valkey.url, block_ms=50)
    reader.follow(namespace, "0-0")
    assert await reader.read() == []
    valkey.pause()
    started_s = asyncio.get_running_loop().time()

    with pytest.raises(StreamUnavailable, match=r"no answer within 1\.55 s"):
        await reader.read()

    assert asyncio.get_running_loop().time() - started_s < 3
    valkey.resume()
    await reader.close()


async def test_a_refused_read_is_told(
    redis: Redis, reader: StreamReader, namespace: str, eventually: Any
) -> None:
    await command(redis, "SET", namespace, "no stream")
    reader.follow(namespace, "0-0")

    with pytest.raises(StreamUnavailable, match="WRONGTYPE"):
        await reader.read()


async def test_a_reader_that_is_behind_small_entries_takes_ever_more_at_a_time(
    redis_url: str, redis: Redis, namespace: str
) -> None:
    reader = StreamReader(redis_url, block_ms=10, count=2, most=8)
    await add(redis, namespace, *[b"small"] * 40)
    reader.follow(namespace, "0-0")

    sizes = [len(await reader.read()) for _ in range(8)]
    await add(redis, namespace, *[b"small"] * 4)
    sizes += [len(await reader.read()) for _ in range(2)]
    await reader.close()

    assert sizes == [2, 4, 8, 8, 8, 8, 2, 0, 2, 2]


async def test_a_reader_that_is_behind_large_entries_takes_no_more_at_a_time(
    redis_url: str, redis: Redis, namespace: str
) -> None:
    reader = StreamReader(redis_url, block_ms=10, count=2, most=8)
    large = bytes((1 << 20) + 1)
    await add(redis, namespace, b"small", b"small", *[large] * 7)
    reader.follow(namespace, "0-0")

    sizes = [len(await reader.read()) for _ in range(4)]
    await reader.close()

    assert sizes == [2, 4, 2, 1]  # the larger question was out when large ones came
