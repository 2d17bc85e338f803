"""Flush: hands closed bars and the checkpoint to the database, then publishes the bars."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

import msgspec

from aggregator.folded import Folded
from aggregator.metrics import AggregatorMetrics
from core.market.bar import Bar, BarRow
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from core.runtime.ports import MonotonicClock
from core.runtime.readiness import Readiness
from core.runtime.retry import wait_out
from storage.bars import Checkpoint, FlushBatch
from storage.errors import DatabaseUnavailable, SchemaError, StreamUnavailable
from storage.rows import LoggedTicks
from storage.tick_codec import encode_slots

log = logging.getLogger(__name__)

QUEUE_DEPTH: Final = 4
"""Flushes that may wait for the database. When they do, folding waits: the stream is the buffer."""

DATABASE_AWAY: Final = (DatabaseUnavailable, SchemaError)


class Store(Protocol):
    """What the aggregator needs of the database; `storage.bars.BarStore` is the real one."""

    async def flush(self, batch: FlushBatch) -> None:
        """Store all of *batch* in one transaction, or nothing."""
        ...

    async def load_rows(self, keys: Sequence[tuple[Symbol, Timeframe, int]]) -> list[BarRow]:
        """Those of the windows that are stored."""
        ...

    async def load_checkpoints(self) -> list[Checkpoint]:
        """The newest checkpoint of each shard that has one."""
        ...

    async def latest(self, symbols: Sequence[Symbol], timeframe: Timeframe) -> dict[Symbol, Bar]:
        """The newest stored bar of each symbol that has one."""
        ...


class Publisher(Protocol):
    """Where closed bars are published; `storage.bar_writer.BarWriter` is the real one."""

    async def publish(self, shard: int, *, token: int, flush: int, bars: Sequence[Bar]) -> None:
        """Publish once per (token, flush), however often it is called."""
        ...


@dataclass(frozen=True, slots=True)
class Flush:
    """What one hand-over holds: one transaction, then one publication per shard."""

    batch: FlushBatch
    bars: dict[int, list[Bar]]  # by shard
    handed_ns: int  # monotonic
    folded: Mapping[int, Sequence[Folded]] = field(default_factory=dict)  # by shard, for the log

    def encoded(self) -> FlushBatch:
        """The batch with the log of what was folded: 0.3 us a tick, for a thread."""
        log = [
            LoggedTicks(checkpoint.shard, checkpoint.token, checkpoint.flush, slot)
            for checkpoint in self.batch.checkpoints
            for slot in encode_slots(
                [part.kept() for part in self.folded.get(checkpoint.shard, ())]
            )
        ]
        return msgspec.structs.replace(self.batch, log=log)


@dataclass(kw_only=True)
class FlushWriter:
    """Writes flushes in order, each in one transaction, and publishes after the commit.

    The queue is bounded by :data:`QUEUE_DEPTH`; :meth:`hand_over` waits while it is full.
    """

    name: ClassVar[str] = "flush-writer"
    store: Store
    publisher: Publisher
    readiness: Readiness
    metrics: AggregatorMetrics
    monotonic_ns: MonotonicClock
    stop: asyncio.Event
    committed: dict[int, int] = field(default_factory=dict)  # by shard, number of the flush
    _queue: "asyncio.Queue[Flush | None]" = field(
        default_factory=lambda: asyncio.Queue(QUEUE_DEPTH), init=False
    )

    async def hand_over(self, flush: Flush) -> None:
        """Queue *flush*; waits while the queue is full."""
        await self._queue.put(flush)
        self.metrics.handover_depth.set(self._queue.qsize())

    async def finish(self) -> None:
        """No more flushes: :meth:`run` returns after those that are queued."""
        await self._queue.put(None)

    async def run(self) -> None:
        """Write until :meth:`finish`; a database that is away is waited for.

        While draining an absent dependency ends the writing: what is not committed is read from
        the stream again at the next start.
        """
        given_up = False
        while (flush := await self._queue.get()) is not None:
            self.metrics.handover_depth.set(self._queue.qsize())
            try:
                if not given_up:
                    await self._write(flush)
            except (*DATABASE_AWAY, StreamUnavailable) as exc:
                given_up = True  # later flushes build on this one
                log.warning("flush given up while draining, the next start makes it good: %s", exc)

    async def _write(self, flush: Flush) -> None:
        batch = (
            await asyncio.to_thread(flush.encoded) if any(flush.folded.values()) else flush.batch
        )
        await wait_out(
            lambda: self.store.flush(batch),
            dependency="database",
            readiness=self.readiness,
            away=DATABASE_AWAY,
            stop=self.stop,
        )
        for checkpoint in flush.batch.checkpoints:
            await self._publish(checkpoint, flush.bars[checkpoint.shard])
            self.committed[checkpoint.shard] = checkpoint.flush
        self.metrics.flush_seconds.observe((self.monotonic_ns() - flush.handed_ns) / 1e9)

    async def _publish(self, checkpoint: Checkpoint, bars: list[Bar]) -> None:
        if not bars:
            return
        await wait_out(
            lambda: self.publisher.publish(
                checkpoint.shard, token=checkpoint.token, flush=checkpoint.flush, bars=bars
            ),
            dependency="redis",
            readiness=self.readiness,
            away=StreamUnavailable,
            stop=self.stop,
        )
        for bar in bars:
            counter = self.metrics.revisions if bar.rev else self.metrics.bars
            counter.labels(bar.timeframe.value).inc()
