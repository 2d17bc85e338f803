"""A running gateway on a free port, with the streams of a real Valkey server behind it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from core.market.bar import Bar
from core.market.block import BlockMeta, encode_block
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.readiness import Readiness
from gateway.access.admission import Access
from gateway.access.follow import KeyFollower
from gateway.access.jwks import JwksSource
from gateway.connection import Limits
from gateway.keys import ApiKeys
from gateway.market import MarketState
from gateway.metrics import GatewayMetrics
from gateway.reporter import Identity
from gateway.service import GatewayService, GatewaySettings
from gateway.silence import Silence
from gateway.tally_memory import private
from gateway.tls import Certificate
from storage.errors import LeaseLost
from storage.redis import Command, Redis, command, exchange
from storage.redis import connect as connect_redis
from storage.roles import RoleBoard
from storage.rows import SymbolRow
from storage.stream_ranges import StreamRanges
from storage.streams import (
    BarWriter,
    FeedRegistry,
    StreamKeys,
    StreamReader,
    TickWriter,
    shard_of,
)
from tests.access import access_of
from tests.clocks import wall_ns

SHARDS = 2
START_NS = 1_700_000_000_000_000_000


class Rig:
    """A gateway, and the writers that feed it."""

    def __init__(self, service: GatewayService, redis: Redis, keys: StreamKeys) -> None:
        self.service, self.redis, self.keys = service, redis, keys
        self.board = RoleBoard(redis, keys, now_ns=wall_ns)
        self.registry = CollectorRegistry()
        self._writers: dict[str, TickWriter] = {}
        self._next_id = 0
        self.written: dict[str, int] = {}  # stream key → newest block number
        self._flush = 0

    def go_on_from(self, before: "Rig") -> None:
        """Trade ids do."""
        self._next_id = before._next_id

    def has_read_all(self) -> bool:
        """Has the gateway read every block that was written?"""
        read = self.service.read_positions()
        return all(read.get(key) == number for key, number in self.written.items())

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.service.port}/v1/stream"

    @asynccontextmanager
    async def client(self, path: str = "", **options: Any) -> AsyncIterator["Client"]:
        """A client of the `websockets` package that has seen `connected`.

        *path* is that of another endpoint, or the query of ours.
        """
        options.setdefault("compression", None)
        url = self.url.replace("/v1/stream", path) if path[:1] == "/" else self.url + path
        async with connect(url, **options) as connection:
            client = Client(connection)
            assert await client.receive() == [{"T": "success", "msg": "connected"}]
            yield client

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample."""
        return self.registry.get_sample_value(name, labels) or 0.0

    async def trade(self, *symbols: str, price: float = 100.5, feed: str = "sim") -> list[Tick]:
        """Publish one block per shard with a new trade of each of *symbols*."""
        ticks = []
        for name in symbols:
            self._next_id += 1
            at_ns = START_NS + self._next_id * 1_000_000
            ticks.append(Tick(Symbol(name), self._next_id, price, 2.0, at_ns, Side.BUY))
        await self.publish(ticks, feed=feed)
        return ticks

    async def publish(self, ticks: Sequence[Tick], *, feed: str = "sim") -> None:
        """Write *ticks* as the ingest role does; the feed is taken over from another rig."""
        try:
            await self._append(ticks, feed)
        except LeaseLost:
            del self._writers[feed]
            await self._append(ticks, feed)

    async def _append(self, ticks: Sequence[Tick], feed: str) -> None:
        writer = await self.open(feed)
        by_shard: dict[int, list[Tick]] = {}
        for tick in ticks:
            by_shard.setdefault(shard_of(tick.symbol, SHARDS), []).append(tick)
        blocks = []
        for shard, some in by_shard.items():
            now_ns = wall_ns()
            meta = BlockMeta(
                number=writer.next_number(shard),
                watermark_ns=some[-1].event_ns,
                feed_time_ns=some[-1].event_ns,
                sealed_ns=now_ns,
                epoch=writer.epoch,
            )
            blocks.append((shard, encode_block(meta, some)))
            self.written[self.keys.ticks(feed, shard)] = meta.number
        await writer.append(blocks)

    async def skip_blocks(self, symbol: str, missing: int) -> None:
        """Append a block behind the writer's back whose number leaves out *missing* ones."""
        shard = shard_of(symbol, SHARDS)
        number = self._writers["sim"].next_number(shard) + missing
        now_ns = wall_ns()
        epoch = self._writers["sim"].epoch
        meta = BlockMeta(
            number=number, watermark_ns=0, feed_time_ns=0, sealed_ns=now_ns, epoch=epoch
        )
        payload = encode_block(meta, [])
        await command(self.redis, "XADD", self.keys.ticks("sim", shard), "*", "b", payload)

    async def trade_at_once(self, symbols: Sequence[str], *, garbage_at: int) -> None:
        """Append a block for each of *symbols* behind the writer's back, all in one moment.

        That at *garbage_at* is none. Nothing else can be written to the feed afterwards.
        """
        writer = self._writers["sim"]
        numbers = {shard: writer.next_number(shard) for shard in range(SHARDS)}
        commands: list[Command] = [("MULTI",)]
        for place, name in enumerate(symbols):
            shard = shard_of(name, SHARDS)
            tick = Tick(Symbol(name), place, 1.0, 2.0, START_NS, Side.BUY)
            meta = BlockMeta(
                number=numbers[shard],
                watermark_ns=0,
                feed_time_ns=1,
                sealed_ns=wall_ns(),
                epoch=writer.epoch,
            )
            numbers[shard] += 1
            payload = b"garbage" if place == garbage_at else encode_block(meta, [tick])
            commands.append(("XADD", self.keys.ticks("sim", shard), "*", "b", payload))
        await exchange(self.redis, [*commands, ("EXEC",)])

    async def publish_bar(self, bar: Bar) -> None:
        """Write one bar as the aggregator does."""
        writer = BarWriter(self.redis, self.keys)
        shard = shard_of(bar.symbol, SHARDS)
        if bar.final:
            self._flush += 1
            await writer.publish(shard, token=1, flush=self._flush, bars=[bar])
        else:
            await writer.publish_running(shard, [bar])

    async def open(self, feed: str, *, bars_only: bool = False, stocks: bool = False) -> TickWriter:
        """Register *feed*, unless it is."""
        if feed in self._writers:
            return self._writers[feed]
        writer = await TickWriter.open(
            self.redis,
            namespace=self.keys.namespace,
            shards=SHARDS,
            feed=feed,
            venue=feed.upper(),
            bars_only=bars_only,
            stocks=stocks,
            retention_s=1800,
            max_bytes=1 << 28,
            now_ns=wall_ns,
        )
        self._writers[feed] = writer
        return writer


class Client:
    """A WebSocket client that decodes what it gets, by the type of the frame."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def receive(self, *, timeout_s: float = 5.0) -> list[dict[str, Any]]:
        """The next message."""
        async with asyncio.timeout(timeout_s):
            received = await self.connection.recv()
        if isinstance(received, bytes):
            decoded = msgspec.msgpack.decode(received)
        else:
            decoded = msgspec.json.decode(received)
        assert isinstance(decoded, list)
        return decoded

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send one JSON message; the reply, which must be alone in its array."""
        await self.connection.send(msgspec.json.encode(message).decode())
        (reply,) = await self.receive()
        return reply

    async def data(self, count: int) -> list[dict[str, Any]]:
        """The next messages until there are *count* of them."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += await self.receive()
        assert len(found) == count
        return found

    async def ended(self, *, timeout_s: float = 5.0) -> tuple[list[dict[str, Any]], int]:
        """All that comes until the server closes, and its close code."""
        found: list[dict[str, Any]] = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                found += await self.receive(timeout_s=timeout_s)
        close = self.connection.protocol.close_rcvd
        return found, 1006 if close is None else close.code


@asynccontextmanager
async def gateway(
    redis_url: str,
    namespace: str,
    *,
    settings: GatewaySettings | None = None,
    keys: ApiKeys | None = None,
    symbols: Sequence[SymbolRow] = (),
    await_streams: bool = True,
    stocks: Sequence[str] = (),
    load_symbols: Callable[[], Awaitable[Sequence[SymbolRow]]] | None = None,
    ping_database: Callable[[], Awaitable[None]] | None = None,
    make: type[GatewayService] = GatewayService,
    silence: Silence | None = None,
    reader_url: str = "",
    access: Access | None = None,
    follower: KeyFollower | None = None,
    jwks: JwksSource | None = None,
    certificate: Certificate | None = None,
    now_ns: Clock = wall_ns,
    monotonic_ns: MonotonicClock = time.monotonic_ns,
) -> AsyncIterator[Rig]:
    """A gateway that runs until the block ends, then drains; *await_streams*: Redis is there.

    *stocks*: feeds that declare their venues as such.

    *reader_url*: for reading what is new, where that is another way than that for all else.
    """
    stream_keys = StreamKeys(namespace, SHARDS)
    redis = connect_redis(redis_url)
    readers = [StreamReader(reader_url or redis_url, count=32) for _ in range(2)]
    registry = CollectorRegistry()

    async def given_symbols() -> Sequence[SymbolRow]:
        return symbols

    async def hello(_: web.Request) -> web.Response:
        return web.json_response({"hello": "world"})

    app = web.Application()
    tally = private()
    app.router.add_get("/hello", hello)
    service = make(
        settings=settings or GatewaySettings(port=0),
        identity=Identity(name="test:1", pid=1),
        app=app,
        market=MarketState(),
        access=access or access_of(keys or ApiKeys(), tally=tally),
        keys=follower,
        jwks=jwks,
        certificate=certificate,
        tally=tally,
        stream_keys=stream_keys,
        ticks=readers[0],
        bars=readers[1],
        feeds=FeedRegistry(redis, stream_keys),
        ranges=StreamRanges(redis),
        board=RoleBoard(redis, stream_keys, now_ns=wall_ns),
        load_symbols=load_symbols or given_symbols,
        ping_database=ping_database,
        silence=silence or Silence(),
        readiness=Readiness(wall_ns, "redis", "database"),
        metrics=GatewayMetrics(registry),
        now_ns=now_ns,
        monotonic_ns=monotonic_ns,
    )
    rig = Rig(service, redis, stream_keys)
    rig.registry = registry
    if await_streams:
        # Before the gateway looks for feeds, which it does each second.
        for feed in ("sim", *stocks):
            await rig.open(feed, stocks=feed in stocks)
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(service.run(), name="gateway under test")
            followed = 2 * stream_keys.shards if await_streams else 0  # of closed and running bars
            while not service.port or len(readers[1].positions) < followed:
                assert not running.done(), running
                await asyncio.sleep(0.001)
            try:
                yield rig
            finally:
                service.begin_drain()
                await asyncio.wait({running}, timeout=5)
    finally:
        for reader in readers:
            await reader.close()
        await redis.aclose()


def bar(symbol: str, *, minutes: int = 1, start_ns: int = START_NS, **fields: Any) -> Bar:
    """A bar with a plain shape; *fields* differ."""
    timeframe = Timeframe(f"{minutes}Min")
    values: dict[str, Any] = {"open": 1.0, "high": 3.0, "low": 0.5, "close": 2.0}
    values |= {"volume": 4.0, "trades": 5, "vwap": 1.5} | fields
    return Bar(
        symbol=Symbol(symbol),
        timeframe=timeframe,
        start_ns=timeframe.floor_ns(start_ns),
        **values,
    )


__all__ = ["SHARDS", "START_NS", "Client", "Limits", "Rig", "bar", "gateway"]
