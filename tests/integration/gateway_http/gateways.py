"""Gateways as a whole, that read the streams of a real Redis and keep answers: to ask in turn."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from core.market.bar import Bar, BarRow
from core.runtime.readiness import Readiness
from gateway.access.admission import Access
from gateway.changes import Changes
from gateway.http.app import build_app
from gateway.http.caching import REDIS_TIMEOUT_S, Caching
from gateway.market import MarketState
from gateway.metrics import GatewayMetrics
from gateway.reporter import Identity
from gateway.service import GatewayService, GatewaySettings
from storage.bars import BarStore, FlushBatch
from storage.database import Database
from storage.keys import StreamKeys, shard_of
from storage.redis import connect
from storage.registry import FeedRegistry
from storage.roles import RoleBoard
from storage.stream_ranges import StreamRanges
from storage.stream_reader import StreamReader
from storage.streams import BarWriter
from tests.access import access_of
from tests.clocks import wall_ns

SHARDS = 2
SETTLE_NS = 50_000_000  # nobody fails over here


@dataclass(kw_only=True)
class Town:
    """A database and a Redis, and who writes to them."""

    database: Database
    redis_url: str
    keys: StreamKeys
    flush: int = 0

    async def store(self, *bars: Bar) -> None:
        """As the aggregator does, up to the commit."""
        rows = [BarRow(bar, (0, 0), (0, 0), (bar.volume,), (bar.vwap,)) for bar in bars]
        batch = FlushBatch(rows=rows, checkpoints=[], last_trades=[])
        await BarStore(self.database).flush(batch)

    async def publish(self, *bars: Bar) -> None:
        """As the aggregator does, after it."""
        redis = connect(self.redis_url)
        for bar in bars:
            self.flush += 1
            shard = shard_of(bar.symbol, SHARDS)
            await BarWriter(redis, self.keys).publish(shard, token=1, flush=self.flush, bars=[bar])
        await redis.aclose()


@dataclass(kw_only=True)
class Place:
    """One gateway, with how often its database was asked for pages."""

    base: str
    registry: CollectorRegistry
    changes: Changes
    session: aiohttp.ClientSession
    readiness: Readiness
    market: MarketState
    queries: list[str] = field(default_factory=list)

    async def closes(self, path: str, **params: str) -> list[float]:
        """The closing prices in an answer of /v1/bars with one symbol."""
        bars: dict[str, list[dict[str, Any]]] = (await self.json(path, **params))["bars"]
        return [bar["c"] for some in bars.values() for bar in some]

    async def json(self, path: str, **params: str) -> Any:
        """An answer that is a success."""
        async with self.session.get(self.base + path, params=params) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    def lookups(self, cache: str, outcome: str) -> float:
        labels = {"cache": cache, "outcome": outcome}
        return self.registry.get_sample_value("gateway_http_cache_lookups_total", labels) or 0.0


@asynccontextmanager
async def town(database_url: str, redis_url: str, namespace: str) -> AsyncIterator[Town]:
    """What gateways stand in."""
    database = Database(database_url, min_size=1)
    await database.open()
    try:
        yield Town(database=database, redis_url=redis_url, keys=StreamKeys(namespace, SHARDS))
    finally:
        await database.close()


@asynccontextmanager
async def gateway(
    town: Town, *, redis_url: str = "", answers_url: str = "", access: Access | None = None
) -> AsyncIterator[Place]:
    """A gateway that has heard of all streams; it may reach Redis by ways of its own."""
    redis_url = redis_url or town.redis_url
    redis = connect(redis_url)
    answers = connect(answers_url or redis_url, command_timeout_s=REDIS_TIMEOUT_S)
    readers = [StreamReader(redis_url, block_ms=50) for _ in range(2)]
    changes = Changes(SHARDS, settle_ns=SETTLE_NS)
    market, registry = MarketState(), CollectorRegistry()
    store = BarStore(town.database)
    board = RoleBoard(redis, town.keys, now_ns=wall_ns)
    readiness = Readiness(wall_ns, "redis", "database")
    access = access or access_of()
    app = build_app(
        market=market,
        bars=store,
        board=board,
        readiness=readiness,
        registry=registry,
        access=access,
        now_ns=wall_ns,
        monotonic_ns=time.monotonic_ns,
        version="1.2.3",
        caching=Caching(changes=changes, redis=answers, keys=town.keys),
    )
    service = GatewayService(
        settings=GatewaySettings(port=0),
        identity=Identity(name="test:1", pid=1),
        app=app,
        market=market,
        access=access,
        stream_keys=town.keys,
        ticks=readers[0],
        bars=readers[1],
        feeds=FeedRegistry(redis, town.keys),
        ranges=StreamRanges(redis),
        board=board,
        load_symbols=store.symbols,
        readiness=readiness,
        metrics=GatewayMetrics(CollectorRegistry()),
        now_ns=wall_ns,
        monotonic_ns=time.monotonic_ns,
        changes=changes,
    )
    try:
        async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
            running = group.create_task(service.run(), name="gateway under test")
            while not (service.port and changes.settled(time.monotonic_ns()) and market.complete):
                assert not running.done(), running
                await asyncio.sleep(0.005)
            yield Place(
                base=f"http://127.0.0.1:{service.port}",
                registry=registry,
                changes=changes,
                session=session,
                readiness=readiness,
                market=market,
            )
            service.begin_drain()
    finally:
        for client in (redis, answers):
            await client.aclose()
        for reader in readers:
            await reader.close()
