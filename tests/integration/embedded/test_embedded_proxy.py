"""The proxy that other tests break connections with does break them, and heals."""

import asyncio
from typing import Any

import psycopg
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_SILENCE_S = 0.2


def _client(url: str) -> Any:
    return redis.asyncio.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=_SILENCE_S)


async def test_connections_are_cut_refused_silenced_and_healed(
    redis_url: str, proxied: Any
) -> None:
    proxy = await proxied(redis_url)
    async with _client(proxy.url) as client:
        assert await client.ping()

        await proxy.cut()
        with pytest.raises(redis.ConnectionError):
            await client.ping()
        assert await client.ping()

        proxy.black_hole()
        with pytest.raises(redis.TimeoutError):
            await client.ping()

        await proxy.refuse()
        with pytest.raises(redis.ConnectionError):
            await client.ping()

        await proxy.heal()
        assert await client.ping()


async def test_it_stands_before_every_kind_of_database(database_url: str, proxied: Any) -> None:
    proxy = await proxied(database_url)

    async with await psycopg.AsyncConnection.connect(proxy.url) as database:
        name = await (await database.execute("SELECT current_database()")).fetchone()
        assert name is not None
        assert name[0].startswith("test_")
        await proxy.cut()
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(database.execute("SELECT 1"), 5)
