"""AggregatorService: reads blocks of ticks, folds them, hands closed bars over. The I/O shell."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeVar

import msgspec

from aggregator.flush import DATABASE_AWAY, Flush, FlushWriter, Store
from aggregator.joined import join, runs
from aggregator.metrics import AggregatorMetrics
from aggregator.shard import Wanted
from aggregator.shards import ShardState, all_ended
from core.market.bar import decode_bars
from core.market.block import Block, decode_block
from core.market.errors import BlockError
from core.market.timeframe import Timeframe
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.readiness import Readiness
from core.runtime.retry import wait_out
from storage.bar_writer import BarWriter
from storage.bars import FlushBatch
from storage.errors import StreamUnavailable
from storage.keys import StreamKeys
from storage.quarantine import QuarantineRecord, QuarantineWriter
from storage.redis import Redis, connect
from storage.registry import FeedRegistry
from storage.roles import RoleBoard, RoleReport
from storage.stream_reader import Entry, StreamReader

log = logging.getLogger(__name__)
T = TypeVar("T")

_BLOCK_MS: Final = 100  # so that flushes and running bars are not late on a quiet stream
_MOST_BLOCKS: Final = 128  # of a stream in a read, of small ones: those that waited are joined
_FEEDS_S: Final = 1.0  # how soon a new feed is found
_YIELD_S: Final = 0.005  # the longest folding without letting other tasks run
_REPORT_S: Final = 1.0
_MOVED_REPORT_S: Final = 0.05  # a replay at full speed waits for these reports
_ROWS_PER_FLUSH: Final = 5_000  # bounds the size of a transaction and of a publication


@dataclass(frozen=True, kw_only=True)
class AggregatorTimes:
    """How often the aggregator does what it does, in seconds.

    ``flush_s``: closed bars wait at most so long, ``checkpoint_s``: and positions without bars;
    ``running_s``: running bars are published at most once in so long.
    """

    flush_s: float = 0.2
    checkpoint_s: float = 5.0
    running_s: float = 1.0


@dataclass(kw_only=True)
class AggregatorService:
    """Folds the tick streams of all feeds into bars, exactly once in effect.

    One task folds and owns all shards; another writes flushes. State goes into the database with
    the bars it belongs to, so a restart reads on from the stream as if nothing had happened.
    """

    name: ClassVar[str] = "aggregator"
    redis_url: str
    store: Store
    keys: StreamKeys
    keep_ids_ns: int
    readiness: Readiness
    metrics: AggregatorMetrics
    now_ns: Clock
    monotonic_ns: MonotonicClock
    report: RoleReport  # who this is; positions and times are filled in
    times: AggregatorTimes = field(default_factory=AggregatorTimes)
    exit_after: frozenset[str] = frozenset()
    """Feeds with an end: once they all ended and their bars are stored, :meth:`run` returns."""

    _stop: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _shards: list[ShardState] = field(default_factory=list, init=False)
    _streams: dict[str, tuple[str, int]] = field(default_factory=dict, init=False)  # feed, shard
    _known: set[str] = field(default_factory=set, init=False)
    _flushed_ns: int = field(default=0, init=False)
    _checkpoint_ns: int = field(default=0, init=False)
    _running_ns: int = field(default=0, init=False)
    _counted: dict[str, int] = field(default_factory=dict, init=False)

    def begin_drain(self) -> None:
        """Read no more; run() returns once what was folded is stored."""
        self._stop.set()

    async def run(self) -> None:
        """Fold until drained, or until all of ``exit_after`` ended."""
        async with AsyncExitStack() as stack:
            redis = connect(self.redis_url)
            stack.push_async_callback(redis.aclose)
            reader = StreamReader(self.redis_url, block_ms=_BLOCK_MS, most=_MOST_BLOCKS)
            stack.push_async_callback(reader.close)
            publisher = BarWriter(redis, self.keys)
            try:
                await self._load(publisher)
            except (*DATABASE_AWAY, StreamUnavailable):
                return  # drained before the dependencies came
            await self._work(redis, reader, publisher)

    async def _work(self, redis: Redis, reader: StreamReader, publisher: BarWriter) -> None:
        writer = FlushWriter(
            store=self.store,
            publisher=publisher,
            readiness=self.readiness,
            metrics=self.metrics,
            monotonic_ns=self.monotonic_ns,
            stop=self._stop,
        )
        board = RoleBoard(redis, self.keys, now_ns=self.now_ns)
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run(), name=writer.name)
            reporting = group.create_task(self._report(board), name="aggregator-report")
            try:
                await self._fold(reader, redis, publisher, writer)
            except (*DATABASE_AWAY, StreamUnavailable):
                log.info("draining: a dependency is away")
            finally:
                reporting.cancel()
                await writer.finish()

    # -- start

    async def _load(self, publisher: BarWriter) -> None:
        """Restore every shard, and publish what the last run stored but perhaps did not publish."""
        found = await self._database(self.store.load_checkpoints)
        checkpoints = {checkpoint.shard: checkpoint for checkpoint in found}
        for shard in range(self.keys.shards):
            checkpoint = checkpoints.get(shard)
            if checkpoint is None:
                newest = await self._redis(functools.partial(publisher.last_id, shard))
                state = ShardState.fresh(shard, token=newest[0] + 1, keep_ids_ns=self.keep_ids_ns)
            else:
                state = ShardState.restored(checkpoint, keep_ids_ns=self.keep_ids_ns)
                if checkpoint.outbox:
                    await self._publish_again(publisher, state, checkpoint.outbox)
            self._shards.append(state)
        if checkpoints:
            log.info("%d shards go on from their checkpoints", len(checkpoints))

    async def _publish_again(self, publisher: BarWriter, state: ShardState, outbox: bytes) -> None:
        bars = decode_bars(outbox)
        await self._redis(
            lambda: publisher.publish(state.shard, token=state.token, flush=state.flush, bars=bars)
        )

    # -- folding

    async def _fold(
        self, reader: StreamReader, redis: Redis, publisher: BarWriter, writer: FlushWriter
    ) -> None:
        registry = FeedRegistry(redis, self.keys)
        quarantine = QuarantineWriter(redis, self.keys)
        feeds_ns = -(2**62)
        while not self._stop.is_set():
            if self.monotonic_ns() - feeds_ns >= _FEEDS_S * 1e9:
                await self._follow(reader, registry)
                feeds_ns = self.monotonic_ns()
            for run in runs(await self._read(reader)):
                await self._fold_run(run, quarantine)
                if self._rows_waiting() > _ROWS_PER_FLUSH:
                    await self._flush(writer, everything=False)
            await self._flush_if_due(writer)
            await self._publish_running(publisher)
            self._count()
            if self.exit_after and all_ended(self._shards, self.exit_after):
                break
        await self._flush(writer, everything=True)

    async def _follow(self, reader: StreamReader, registry: FeedRegistry) -> None:
        for feed in await self._redis(registry.feeds):
            if feed.feed in self._known:
                continue
            self._known.add(feed.feed)
            if feed.shards != self.keys.shards:
                log.error(
                    "feed %s writes %d shards, this aggregator reads %d: it is left out; "
                    "run all roles with the same setting `shards`",
                    feed.feed, feed.shards, self.keys.shards,
                )  # fmt: skip
                continue
            for state in self._shards:
                key = self.keys.ticks(feed.feed, state.shard)
                self._streams[key] = (feed.feed, state.shard)
                position = state.positions.get(feed.feed)
                reader.follow(key, position.entry_id if position else "0-0")

    async def _read(self, reader: StreamReader) -> list[Entry]:
        if not self._streams:
            await asyncio.sleep(_BLOCK_MS / 1000)
            return []
        return await self._redis(reader.read)

    async def _fold_run(self, run: list[Entry], quarantine: QuarantineWriter) -> None:
        """Fold entries of one stream: at one go, if nothing about them needs a closer look."""
        feed, shard = self._streams[run[0].key]
        joined = join([entry.payload for entry in run]) if len(run) > 1 else None
        if joined is not None and self._shards[shard].is_next(feed, joined.first):
            await self._fold_block(run[-1], joined.block, quarantine, joined=len(run))
            return
        for entry in run:
            await self._fold_entry(entry, quarantine)

    async def _fold_entry(self, entry: Entry, quarantine: QuarantineWriter) -> None:
        feed, shard = self._streams[entry.key]
        state = self._shards[shard]
        try:
            block = decode_block(entry.payload)
        except BlockError as exc:
            log.error("stream %s, entry %s: %s", entry.key, entry.entry_id, exc)
            self.metrics.bad_blocks.inc()
            state.skip(feed, entry.entry_id)
            return
        if state.is_repeat(feed, block.meta):
            self.metrics.repeated_blocks.inc()
            state.skip(feed, entry.entry_id)
            return
        await self._fold_block(entry, block, quarantine)

    async def _fold_block(
        self, entry: Entry, block: Block, quarantine: QuarantineWriter, *, joined: int = 1
    ) -> None:
        started_ns = self.monotonic_ns()
        feed, shard = self._streams[entry.key]
        state = self._shards[shard]
        missing = state.fold(feed, entry.entry_id, block, joined=joined)
        if missing:
            self.metrics.lost_blocks.inc(missing)
            log.error(
                "stream %s: %d blocks before number %d were gone before they were read",
                entry.key, missing, block.meta.number,
            )  # fmt: skip
        while wanted := state.core.wanted():
            await self._supply(state, wanted)
        state.core.close_due(feed, block.meta.watermark_ns)
        self.metrics.ticks.inc(len(block))
        self.metrics.lag_seconds.set((self.now_ns() - block.meta.sealed_ns) / 1e9)
        await self._set_aside(state, feed, quarantine)
        if self.monotonic_ns() - started_ns > _YIELD_S * 1e9 or len(block) > 100:
            await asyncio.sleep(0)

    async def _supply(self, state: ShardState, wanted: Wanted) -> None:
        """Answer what the core must know of stored bars; waits for the database."""
        newest = {}
        if wanted.symbols:
            symbols = sorted(wanted.symbols)
            bars = await self._database(lambda: self.store.latest(symbols, Timeframe.MIN_1))
            newest = {symbol: bar.start_ns for symbol, bar in bars.items()}
        rows = await self._database(lambda: self.store.load_rows(sorted(wanted.windows)))
        state.core.supply(wanted, newest, rows)

    async def _set_aside(self, state: ShardState, feed: str, quarantine: QuarantineWriter) -> None:
        ticks, state.core.unverifiable = state.core.unverifiable, []
        if ticks:
            self.metrics.unverifiable.inc(len(ticks))
            now_ns = self.now_ns()
            records = [QuarantineRecord(feed, "unverifiable", now_ns, tick) for tick in ticks]
            await self._redis(lambda: quarantine.put(records))

    # -- handing over

    def _rows_waiting(self) -> int:
        return sum(state.core.dirty for state in self._shards)

    async def _flush_if_due(self, writer: FlushWriter) -> None:
        now_ns = self.monotonic_ns()
        if now_ns - self._checkpoint_ns >= self.times.checkpoint_s * 1e9:
            await self._flush(writer, everything=True)
        elif self._rows_waiting() and now_ns - self._flushed_ns >= self.times.flush_s * 1e9:
            await self._flush(writer, everything=False)

    async def _flush(self, writer: FlushWriter, *, everything: bool) -> None:
        """Hand over the shards with closed bars; *everything*: and those that only moved on."""
        self._flushed_ns = self.monotonic_ns()
        if everything:
            self._checkpoint_ns = self._flushed_ns
        rows, checkpoints, bars, last_trades = [], [], {}, []
        for state in self._shards:
            if not state.core.dirty and not (everything and state.changed):
                continue
            taken, bars[state.shard], checkpoint = state.take_flush()
            rows += taken
            checkpoints.append(checkpoint)
            last_trades += state.core.take_last_trades()
            state.core.evict(writer.committed.get(state.shard, 0))
        if checkpoints:
            batch = FlushBatch(rows=rows, checkpoints=checkpoints, last_trades=last_trades)
            await writer.hand_over(Flush(batch, bars, self.monotonic_ns()))

    async def _publish_running(self, publisher: BarWriter) -> None:
        """Publish open bars; one that is lost is made good a second later."""
        now_ns = self.monotonic_ns()
        if now_ns - self._running_ns < self.times.running_s * 1e9:
            return
        self._running_ns = now_ns
        for state in self._shards:
            bars = state.core.take_running()
            try:
                if bars:
                    await publisher.publish_running(state.shard, bars)
            except StreamUnavailable as exc:
                log.debug("running bars not published: %s", exc)
                return

    # -- telling

    async def _report(self, board: RoleBoard) -> None:
        """Tell the other roles how far this one is, at once when it moved, else each second."""
        told: dict[str, int] = {}
        told_ns = 0
        while True:
            await asyncio.sleep(_MOVED_REPORT_S)
            consumed = {
                key: self._shards[shard].positions[feed].number
                for key, (feed, shard) in self._streams.items()
                if feed in self._shards[shard].positions
            }
            if consumed == told and self.monotonic_ns() - told_ns < _REPORT_S * 1e9:
                continue
            waiting = {
                name: state.reason
                for name, state in self.readiness.states().items()
                if not state.ok
            }
            report = msgspec.structs.replace(
                self.report,
                reported_ms=self.now_ns() // 10**6,
                consumed=consumed,
                waiting=waiting,
            )
            try:
                await board.publish(report)
            except StreamUnavailable as exc:
                log.debug("report not published: %s", exc)
            told, told_ns = consumed, self.monotonic_ns()

    async def _redis(self, call: Callable[[], Awaitable[T]]) -> T:
        return await wait_out(
            call,
            dependency="redis",
            readiness=self.readiness,
            away=StreamUnavailable,
            stop=self._stop,
        )

    async def _database(self, call: Callable[[], Awaitable[T]]) -> T:
        return await wait_out(
            call,
            dependency="database",
            readiness=self.readiness,
            away=DATABASE_AWAY,
            stop=self._stop,
        )

    def _count(self) -> None:
        """Copy the plain counters of the cores into the metrics."""
        totals = {
            "duplicates": sum(state.core.duplicates for state in self._shards),
            "late": sum(state.core.late for state in self._shards),
        }
        self.metrics.duplicates.inc(totals["duplicates"] - self._counted.get("duplicates", 0))
        self.metrics.late.inc(totals["late"] - self._counted.get("late", 0))
        self._counted = totals
