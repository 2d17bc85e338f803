"""Runs the ingest role against a real server and reads back what it stored."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic_ns

from prometheus_client import CollectorRegistry

from core.market.block import Block, decode_block
from core.market.tick import Tick
from core.runtime.readiness import Readiness
from ingest.limits import IngestLimits
from ingest.metrics import IngestMetrics
from ingest.service import IngestService
from ingest.spec import FeedSpec
from storage.keys import StreamKeys
from storage.quarantine import QuarantineRecord, QuarantineWriter
from storage.redis import command, connect
from storage.registry import FeedRegistry
from storage.roles import FeedStatus, RoleBoard, RoleReport
from tests.clocks import wall_ns

SHARDS = 4
FAST = IngestLimits(
    silence_s=0.6,
    reconnect_first_s=0.05,
    reconnect_cap_s=0.2,
    connect_timeout_s=0.5,
    idle_block_ns=100_000_000,
    poll_connect_s=0.3,
    poll_read_s=0.3,
    poll_total_s=0.5,
)


@dataclass
class Stored:
    """What is in Redis under one namespace."""

    url: str
    namespace: str

    def __post_init__(self) -> None:
        self.redis = connect(self.url, command_timeout_s=10.0)  # it reads all there is
        self.keys = StreamKeys(self.namespace, SHARDS)
        self.board = RoleBoard(self.redis, self.keys, now_ns=wall_ns)

    async def blocks(self) -> dict[str, list[Block]]:
        """Every block, by stream."""
        found: dict[str, list[Block]] = {}
        for info in await FeedRegistry(self.redis, self.keys).feeds():
            for shard in range(SHARDS):
                key = self.keys.ticks(info.feed, shard)
                entries = await command(self.redis, "XRANGE", key, "-", "+")
                found[key] = [decode_block(fields[1]) for _, fields in entries]
        return found

    async def ticks(self) -> list[Tick]:
        """Every tick, in order per symbol; checks that numbers and watermarks are sound."""
        ticks: list[Tick] = []
        for blocks in (await self.blocks()).values():
            assert [b.meta.number for b in blocks] == list(range(1, len(blocks) + 1))
            marks = [b.meta.watermark_ns for b in blocks]
            assert marks == sorted(marks)
            positions = [b.meta.position for b in blocks]
            assert positions == sorted(positions)
            ticks += [tick for block in blocks for tick in block.ticks()]
        return ticks

    async def ids(self, symbol: str) -> list[int]:
        return [tick.trade_id for tick in await self.ticks() if tick.symbol == symbol]

    async def quarantined(self) -> list[QuarantineRecord]:
        return (await QuarantineWriter(self.redis, self.keys).newest(100))[::-1]

    async def statuses(self) -> list[FeedStatus]:
        """The feeds of every fresh ingest report."""
        return [feed for report in await self.board.read() for feed in report.feeds]

    async def status(self) -> FeedStatus:
        (status,) = await self.statuses()
        return status

    async def consume_all(self) -> None:
        """Report, as an aggregator and a gateway with a client would, that all was read."""
        consumed = {
            key: blocks[-1].meta.number for key, blocks in (await self.blocks()).items() if blocks
        }
        now_ms = wall_ns() // 10**6
        for role in ("aggregator", "gateway"):
            await self.board.publish(
                RoleReport(
                    role=role,
                    name="test:1",
                    pid=1,
                    reported_ms=now_ms,
                    started_ms=now_ms,
                    consumed=consumed,
                    subscribers=1,
                )
            )


def make_service(
    specs: Sequence[str],
    redis_url: str,
    namespace: str,
    *,
    limits: IngestLimits = FAST,
    exit_at_end: bool = False,
) -> IngestService:
    return IngestService(
        specs=[FeedSpec.parse(spec) for spec in specs],
        redis_url=redis_url,
        namespace=namespace,
        shards=SHARDS,
        retention_s=3_600,
        stream_max_bytes=64 << 20,
        limits=limits,
        now_ns=wall_ns,
        monotonic_ns=monotonic_ns,
        readiness=Readiness(wall_ns, "redis"),
        metrics=IngestMetrics(CollectorRegistry()),
        exit_at_end=exit_at_end,
    )


@asynccontextmanager
async def running(
    specs: Sequence[str], redis_url: str, namespace: str, *, limits: IngestLimits = FAST
) -> AsyncIterator[IngestService]:
    """The ingest role, drained at the end of the block."""
    service = make_service(specs, redis_url, namespace, limits=limits)
    async with asyncio.TaskGroup() as group:
        group.create_task(service.run(), name="ingest")
        yield service
        service.begin_drain()
