"""Keys that many ask for at a time: each gets its value, by few exchanges, or an error in time."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from storage.errors import StreamUnavailable
from storage.lookups import Lookups
from storage.redis import Command, Redis, Reply, exchange
from tests.conftest import find_free_port


class Counting(Redis):
    """Notes how many commands each exchange had."""

    had: list[int]

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        self.had.append(len(commands))
        return await super().exchange(commands)


@pytest.fixture
async def redis(redis_url: str, namespace: str) -> AsyncIterator[Counting]:
    client = Counting(redis_url, command_timeout_s=1.0, connect_timeout_s=1.0)
    client.had = []
    await exchange(client, [("SET", f"{namespace}:{n}", str(n)) for n in range(0, 600, 2)])
    client.had.clear()
    yield client
    await client.aclose()


async def test_each_gets_the_value_of_its_key_by_few_exchanges(
    redis: Counting, namespace: str
) -> None:
    lookups = Lookups(redis)

    async with asyncio.TaskGroup() as group:
        wanted = [group.create_task(lookups.get(f"{namespace}:{n}")) for n in range(600)]

    values = [one.result() for one in wanted]

    assert values == [None if n % 2 else str(n).encode() for n in range(600)]
    assert redis.had == [256, 256, 88]
    assert await lookups.get(f"{namespace}:4") == b"4"
    assert redis.had[3:] == [1]


async def test_who_leaves_costs_nobody_else_a_value(redis: Counting, namespace: str) -> None:
    lookups = Lookups(redis)
    async with asyncio.TaskGroup() as group:
        wanted = [group.create_task(lookups.get(f"{namespace}:{n}")) for n in range(0, 20, 2)]
        await asyncio.sleep(0)  # all of them wait now
        for leaving in wanted[::2]:
            leaving.cancel()

    stayed = [one.result() for one in wanted[1::2]]
    assert stayed == [str(n).encode() for n in range(2, 20, 4)]
    assert all(one.cancelled() for one in wanted[::2])


async def test_all_are_told_that_the_server_is_away() -> None:
    url = f"redis://127.0.0.1:{find_free_port()}"
    lookups = Lookups(Redis(url, command_timeout_s=0.5, connect_timeout_s=0.5))

    async def is_told(key: str) -> bool:
        with pytest.raises(StreamUnavailable):
            await lookups.get(key)
        return True

    async with asyncio.TaskGroup() as group:
        told = [group.create_task(is_told(str(n))) for n in range(9)]

    assert all(one.result() for one in told)
