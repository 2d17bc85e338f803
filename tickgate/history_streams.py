"""Streams on which trades of the past go into the bars: of a backfill, or of an import."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from core.market.errors import TickgateError
from ingest.backfill import BackfillStreams, count_refused
from ingest.flow import FlowLedger
from storage.errors import LeaseHeld
from storage.keys import StreamKeys
from storage.quarantine import QuarantineWriter
from storage.redis import Redis, connect
from storage.roles import RoleBoard
from storage.tick_writer import TickWriter
from tickgate.ingest_role import ingest_limits
from tickgate.settings import Settings

log = logging.getLogger(__name__)

_PATIENCE_S = 30.0  # for an aggregator that takes something


class HistoryRuns(TickgateError):
    """Another process writes the same streams."""

    def __init__(self, held: LeaseHeld) -> None:
        self.feed, self.owner = held.feed, held.owner
        super().__init__(held)

    def __str__(self) -> str:
        return f"another process ({self.owner}) is at {self.feed}: wait for its end"


class HistoryStreams(NamedTuple):
    """Open streams, and a way to hear what the aggregator did not take from them."""

    streams: BackfillStreams
    feed: str
    quarantine: QuarantineWriter
    opened_ns: int

    async def aside(self) -> int:
        """Trades that the aggregator set aside since the streams were opened.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        return await count_refused(self.quarantine, self.feed, self.opened_ns)


@asynccontextmanager
async def history_streams(
    settings: Settings, *, feed: str, venue: str
) -> AsyncIterator[HistoryStreams]:
    """The streams of *feed*, this process's for the length of the block.

    Raises:
        HistoryRuns: another process has them.
        StreamUnavailable: Redis refuses.
    """
    opened_ns = time.time_ns()
    keys = StreamKeys(settings.namespace, settings.shards)
    redis = connect(settings.redis_url)
    try:
        writer = await _open_writer(redis, feed, venue, settings)
        quarantine = QuarantineWriter(redis, keys)
        try:
            streams = BackfillStreams(
                writer=writer,
                board=RoleBoard(redis, keys, now_ns=time.time_ns),
                flow=FlowLedger([keys.ticks(feed, shard) for shard in range(settings.shards)]),
                quarantine=quarantine,
                feed=feed,
                shards=settings.shards,
                limits=ingest_limits(settings),
                patience_s=_PATIENCE_S,
                now_ns=time.time_ns,
                monotonic_ns=time.monotonic_ns,
            )
            yield HistoryStreams(streams, feed, quarantine, opened_ns)
        finally:
            await writer.release()
    finally:
        await redis.aclose()


async def _open_writer(redis: Redis, feed: str, venue: str, settings: Settings) -> TickWriter:
    try:
        return await TickWriter.open(
            redis,
            namespace=settings.namespace,
            feed=feed,
            venue=venue,
            bars_only=True,
            shards=settings.shards,
            retention_s=settings.stream_retention_s,
            max_bytes=settings.stream_max_bytes,
            now_ns=time.time_ns,
            on_down=lambda reason: log.warning("waiting for %s", reason),
        )
    except LeaseHeld as held:
        raise HistoryRuns(held) from held
