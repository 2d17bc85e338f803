"""Flush: hands closed bars and the checkpoint to the database, then publishes the bars."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Protocol

import msgspec

from aggregator.metrics import AggregatorMetrics
from aggregator.shards import ShardFlush
from core.market.bar import Bar, BarRow
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from core.runtime.ports import MonotonicClock
from core.runtime.readiness import Readiness
from core.runtime.retry import wait_out
from storage.bars import Checkpoint, FlushBatch
from storage.errors import DatabaseUnavailable, SchemaError, StaleOwner, StreamUnavailable
from storage.rows import LoggedTicks
from storage.tick_codec import encode_slots

log = logging.getLogger(__name__)

QUEUE_DEPTH: Final = 4
"""Flushes that may wait for the database. When they do, folding waits: the stream is the buffer."""

_CONFIRM_S: Final = 1.0  # a server may lose bars when it fails over, and none may follow for long
DATABASE_AWAY: Final = (DatabaseUnavailable, SchemaError)


class Store(Protocol):
    """What the aggregator needs of the database; `storage.bars.BarStore` is the real one."""

    async def flush(self, batch: FlushBatch) -> None:
        """Store all of *batch* in one transaction, or nothing; StaleOwner names lost shards."""
        ...

    async def load_rows(self, keys: Sequence[tuple[Symbol, Timeframe, int]]) -> list[BarRow]:
        """Those of the windows that are stored."""
        ...

    async def load_checkpoints(self, shards: Sequence[int]) -> list[Checkpoint]:
        """The newest checkpoints of those of *shards* that have one."""
        ...

    async def newest_windows(self, symbols: Sequence[Symbol]) -> dict[Symbol, int]:
        """Where the newest stored 1-minute window of each symbol starts, for those with one."""
        ...


class Publisher(Protocol):
    """Where closed bars are published; `storage.bar_writer.BarWriter` is the real one."""

    async def publish(self, shard: int, *, token: int, flush: int, bars: Sequence[Bar]) -> None:
        """Publish once per (token, flush), however often it is called."""
        ...

    async def confirm(self) -> None:
        """See to it that what was published is still there."""
        ...


class Ownership(Protocol):
    """Who must hear what became of a shard; `aggregator.keeper.ShardKeeper` is the real one."""

    def disown(self, stale: Mapping[int, int]) -> None:
        """The tokens *stale* (by shard) were refused: others own these shards."""
        ...

    def part(self, shard: int, token: int) -> None:
        """The last flush of *shard* is stored and published."""
        ...


@dataclass(frozen=True, slots=True)
class Flush:
    """What one hand-over holds: one transaction, then one publication per shard."""

    parts: tuple[ShardFlush, ...]
    handed_ns: int  # monotonic
    parting: Mapping[int, int] = field(default_factory=dict)  # tokens of shards given up after it

    @property
    def batch(self) -> FlushBatch:
        """All parts as one transaction, without the log of ticks."""
        return FlushBatch(
            rows=[row for part in self.parts for row in part.rows],
            checkpoints=[part.checkpoint for part in self.parts],
            last_trades=[trade for part in self.parts for trade in part.last_trades],
            amendments=[each for part in self.parts for each in part.amendments],
            retold=[each for part in self.parts for each in part.retold],
            covered={shard: ns for part in self.parts for shard, ns in part.covered.items()},
        )

    def encoded(self) -> FlushBatch:
        """The batch with the log of what was folded: 0.3 us a tick, for a thread."""
        log = [
            LoggedTicks(part.checkpoint.shard, part.checkpoint.token, part.checkpoint.flush, slot)
            for part in self.parts
            for slot in encode_slots([folded.kept() for folded in part.folded])
        ]
        return msgspec.structs.replace(self.batch, log=log)

    def without(self, shards: Collection[int]) -> "Flush":
        """The same for the other shards."""
        kept = tuple(part for part in self.parts if part.checkpoint.shard not in shards)
        return replace(self, parts=kept)


@dataclass(kw_only=True)
class FlushWriter:
    """Writes flushes in order, each in one transaction, and publishes after the commit.

    What belongs to shards that others own by now is left out. The queue is bounded by
    :data:`QUEUE_DEPTH`; :meth:`hand_over` waits while it is full.
    """

    name: ClassVar[str] = "flush-writer"
    store: Store
    publisher: Publisher
    ownership: Ownership
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
        while (flush := await self._next()) is not None:
            self.metrics.handover_depth.set(self._queue.qsize())
            try:
                if not given_up:
                    await self._write(flush)
            except (*DATABASE_AWAY, StreamUnavailable) as exc:
                given_up = True  # later flushes build on this one
                log.warning("flush given up while draining, the next start makes it good: %s", exc)

    async def _next(self) -> Flush | None:
        """The next of the queue; while it is empty, what was published is looked after."""
        while True:
            try:
                async with asyncio.timeout(_CONFIRM_S):
                    return await self._queue.get()
            except TimeoutError:
                with suppress(StreamUnavailable):  # looked at again soon
                    await self.publisher.confirm()

    async def _write(self, flush: Flush) -> None:
        for part in await self._store(flush):
            await self._publish(part)
            self.committed[part.checkpoint.shard] = part.checkpoint.flush
        self.metrics.flush_seconds.observe((self.monotonic_ns() - flush.handed_ns) / 1e9)
        for shard, token in flush.parting.items():
            self.ownership.part(shard, token)

    async def _store(self, flush: Flush) -> Sequence[ShardFlush]:
        """Store what may be; returns that."""
        while flush.parts:
            is_logged = any(part.folded for part in flush.parts)
            batch = await asyncio.to_thread(flush.encoded) if is_logged else flush.batch
            try:
                await wait_out(
                    lambda batch=batch: self.store.flush(batch),  # type: ignore[misc]
                    dependency="database",
                    readiness=self.readiness,
                    away=DATABASE_AWAY,
                    stop=self.stop,
                )
            except StaleOwner as exc:
                self._disown(exc)
                flush = flush.without(exc.stale)
            else:
                break
        return flush.parts

    async def _publish(self, part: ShardFlush) -> None:
        checkpoint, bars = part.checkpoint, part.bars
        if not bars:
            return
        try:
            await wait_out(
                lambda: self.publisher.publish(
                    checkpoint.shard, token=checkpoint.token, flush=checkpoint.flush, bars=bars
                ),
                dependency="redis",
                readiness=self.readiness,
                away=StreamUnavailable,
                stop=self.stop,
            )
        except StaleOwner as exc:  # who has published these bars already, from the checkpoint
            self._disown(exc)
            return
        for bar in bars:
            counter = self.metrics.revisions if bar.rev else self.metrics.bars
            counter.labels(bar.timeframe.value).inc()

    def _disown(self, error: StaleOwner) -> None:
        log.warning("%s", error)
        self.metrics.stale_flushes.inc(len(error.stale))
        self.ownership.disown({shard: token for shard, (token, _) in error.stale.items()})
