"""An aggregator over real servers: blocks written as ingest writes them, bars read back."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from aggregator.metrics import AggregatorMetrics
from aggregator.rebuilder import Rebuilder
from aggregator.service import AggregatorService, AggregatorTimes
from core.market.bar import Bar, decode_bars
from core.market.bar_range import BarRange
from core.market.block import MAX_TICKS, BlockMeta, encode_block
from core.market.resolution import Resolution
from core.market.tick import Tick
from core.market.timeframe import TIMEFRAMES, Timeframe
from core.runtime.readiness import Readiness
from storage.bars import BarStore
from storage.database import Database
from storage.keys import StreamKeys, shard_of
from storage.redis import connect
from storage.roles import RoleReport
from storage.shard_leases import STATEMENT_S, ShardLeases
from storage.solo import SoloDatabase
from storage.stream_reader import StreamReader
from storage.tick_log import TickLog
from storage.tick_writer import TickWriter
from tests.clocks import wall_ns

SHARDS = 4
GRACE_NS = 2 * 10**9
FAR_NS = 2**62
HORIZON_NS = 3600 * 10**9


@dataclass(kw_only=True)
class Rig:
    """One deployment in its own namespace and database."""

    redis_url: str
    database_url: str
    namespace: str
    feed: str = "replay-test"
    feed_time_ns: int = -(2**63)
    keeps_log: bool = True
    writer: TickWriter | None = None
    service: AggregatorService | None = None
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.keys = StreamKeys(self.namespace, SHARDS)
        self.redis = connect(self.redis_url)

    async def open_writer(self) -> None:
        self.writer = await TickWriter.open(
            self.redis,
            namespace=self.namespace,
            feed=self.feed,
            shards=SHARDS,
            retention_s=1800,
            max_bytes=1 << 28,
            now_ns=wall_ns,
        )

    async def write(self, ticks: Sequence[Tick], *, end: bool = False) -> None:
        """Blocks as a replay publishes them: feed time is the newest event time."""
        if self.writer is None:
            await self.open_writer()
        assert self.writer is not None
        for start in range(0, max(len(ticks), 1), MAX_TICKS):
            part = ticks[start : start + MAX_TICKS]
            self.feed_time_ns = max([self.feed_time_ns, *(t.event_ns for t in part)])
            blocks = []
            for shard in range(SHARDS):
                meta = BlockMeta(
                    number=self.writer.next_number(shard),
                    watermark_ns=self.feed_time_ns - GRACE_NS,
                    feed_time_ns=self.feed_time_ns,
                    sealed_ns=wall_ns(),
                )
                mine = [t for t in part if shard_of(t.symbol, SHARDS) == shard]
                blocks.append((shard, encode_block(meta, mine)))
            await self.writer.append(blocks)
        if end:
            await self._write_end()

    async def _write_end(self) -> None:
        assert self.writer is not None
        metas = [
            BlockMeta(
                number=self.writer.next_number(shard),
                watermark_ns=FAR_NS,
                feed_time_ns=self.feed_time_ns,
                sealed_ns=wall_ns(),
                end=True,
            )
            for shard in range(SHARDS)
        ]
        await self.writer.append([(s, encode_block(meta, [])) for s, meta in enumerate(metas)])

    def make_service(
        self,
        store: BarStore,
        *,
        exit_after: frozenset[str] = frozenset(),
        name: str = "test:1",
        database_url: str = "",
    ) -> AggregatorService:
        self.registry = CollectorRegistry()
        solo = SoloDatabase(database_url or self.database_url, timeout_s=STATEMENT_S)
        return AggregatorService(
            redis_url=self.redis_url,
            store=store,
            leases=ShardLeases(solo, owner=name, shards=SHARDS),
            keys=self.keys,
            keep_ids_ns=HORIZON_NS,
            tick_log=store.tick_log(shards=SHARDS) if self.keeps_log else None,
            rebuilder=Rebuilder(
                requests=store.rebuilds(shards=SHARDS),
                log=store.tick_log(shards=SHARDS),
                store=store,
                look_s=0.05,
            ),
            readiness=Readiness(wall_ns, "redis", "database"),
            metrics=AggregatorMetrics(self.registry),
            now_ns=wall_ns,
            monotonic_ns=time.monotonic_ns,
            report=RoleReport(role="aggregator", name=name, pid=1, reported_ms=0, started_ms=0),
            times=AggregatorTimes(flush_s=0.02, checkpoint_s=0.05, running_s=0.1),
            exit_after=exit_after,
        )

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        database = Database(self.database_url, acquire_timeout_s=1.0)
        await database.open()
        try:
            yield database
        finally:
            await database.close()

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[BarStore]:
        async with self.database() as database:
            yield BarStore(database)

    async def fold_one_by_one(
        self, parts: Sequence[Sequence[Tick]], eventually: Callable[..., Awaitable[object]]
    ) -> None:
        """Have an aggregator fold each of *parts* before the next is written, then drain it."""
        async with self.store() as store, asyncio.TaskGroup() as group:
            service = self.make_service(store)
            group.create_task(service.run())
            folded = 0
            for part in parts:
                await self.write(part)
                folded += len(part)
                await eventually(lambda: self.counted("ticks") == folded)  # noqa: B023 - at once
            service.begin_drain()

    async def run_to_end(self) -> None:
        """Run an aggregator until the feed's end is stored."""
        async with self.store() as store, asyncio.timeout(60):
            await self.make_service(store, exit_after=frozenset({self.feed})).run()

    async def run_and_kill(self, after_s: float) -> None:
        """Run an aggregator and end it without a drain, wherever it is."""
        async with self.store() as store:
            service = self.make_service(store, exit_after=frozenset({self.feed}))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(after_s):
                    await service.run()

    async def stored(self) -> list[Bar]:
        async with self.store() as store:
            symbols = [row.symbol for row in await store.symbols()]
            bars: list[Bar] = []
            for timeframe in TIMEFRAMES:
                resolution = Resolution.of(timeframe)
                page = {"symbols": symbols, "resolution": resolution, "limit": 10_000}
                bounds = {"start_ns": 0, "end_ns": 9_000_000_000 * 10**9}
                after = None
                while found := await store.page(BarRange(**page, **bounds, after=after)):
                    bars += found
                    after = (found[-1].symbol, found[-1].start_ns)
            return bars

    async def logged(self) -> list[Tick]:
        """All ticks of the log, by symbol, then in order."""
        async with self.database() as database:
            log = TickLog(database, shards=SHARDS)
            symbols = [row.symbol for row in await BarStore(database).symbols()]
            return [tick for symbol in symbols async for tick in log.ticks(symbol, 0, 2**63 - 1)]

    async def published(self) -> list[Bar]:
        """All closed and revised bars on the streams, in order per shard."""
        reader = StreamReader(self.redis_url, block_ms=50, count=1000)
        for shard in range(SHARDS):
            reader.follow(self.keys.bars(shard), "0-0")
        bars: list[Bar] = []
        while entries := await reader.read():
            bars += [bar for entry in entries for bar in decode_bars(entry.payload)]
        await reader.close()
        return bars

    def counted(self, name: str) -> float:
        return self.registry.get_sample_value(f"aggregator_{name}_total") or 0.0

    async def close(self) -> None:
        await self.redis.aclose()


def minutes(bars: Sequence[Bar]) -> list[Bar]:
    return [bar for bar in bars if bar.timeframe is Timeframe.MIN_1]
