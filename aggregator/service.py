"""AggregatorService: reads blocks of ticks, folds them, hands closed bars over. The I/O shell."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeVar

from aggregator.amender import Amender
from aggregator.audience import Audience
from aggregator.flush import DATABASE_AWAY, Flush, FlushWriter, Store
from aggregator.joined import join, runs
from aggregator.keeper import Leases, ShardKeeper
from aggregator.late import judge
from aggregator.metrics import AggregatorMetrics
from aggregator.ownership import OwnedShards
from aggregator.rebuilder import Rebuilder
from aggregator.reporter import Reporter
from aggregator.shards import ShardState
from aggregator.wanted import Wanted
from core.market.block import Block, decode_block
from core.market.errors import BlockError
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.readiness import Readiness
from core.runtime.retry import wait_out
from storage.bar_writer import BarWriter
from storage.errors import StreamUnavailable
from storage.keys import StreamKeys
from storage.lease import is_gone
from storage.quarantine import QuarantineRecord, QuarantineWriter
from storage.redis import Redis, connect
from storage.registry import FeedRegistry
from storage.roles import RoleBoard, RoleReport
from storage.stream_reader import Entry, StreamReader
from storage.tick_log import TickLog

log = logging.getLogger(__name__)
T = TypeVar("T")

_BLOCK_MS: Final = 100  # so that flushes and running bars are not late on a quiet stream
_MOST_BLOCKS: Final = 128  # of a stream in a read, of small ones: those that waited are joined
_FEEDS_S: Final = 1.0  # how soon a new feed is found
_YIELD_S: Final = 0.005  # the longest folding without letting other tasks run
_ROWS_PER_FLUSH: Final = 5_000  # bounds the size of a transaction and of a publication
_TICKS_PER_FLUSH: Final = 500_000  # bounds the memory of what waits for the log: 16 MB a flush


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

    Several on one database share the shards: a task keeps the leases, one folds and owns what is
    held, another writes flushes. State goes into the database with the bars it belongs to, so a
    restart, or another aggregator, reads on from the stream as if nothing had happened.
    """

    name: ClassVar[str] = "aggregator"
    redis_url: str
    store: Store
    leases: Leases
    keys: StreamKeys
    keep_ids_ns: int
    tick_log: TickLog | None = None  # None: what is folded is not kept
    rebuilder: Rebuilder | None = None
    amend_reach_ns: int = 24 * 3_600 * 10**9
    """How old a trade may be that is corrected or cancelled."""
    readiness: Readiness
    metrics: AggregatorMetrics
    now_ns: Clock
    monotonic_ns: MonotonicClock
    report: RoleReport  # who this is; positions and times are filled in
    times: AggregatorTimes = field(default_factory=AggregatorTimes)
    exit_after: frozenset[str] = frozenset()
    """Feeds with an end: once they all ended and their bars are stored, :meth:`run` returns."""

    _stop: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _owned: OwnedShards = field(init=False)
    _keeper: ShardKeeper = field(init=False)
    _amender: Amender = field(init=False)
    _known: dict[str, int] = field(default_factory=dict, init=False)  # shards by feed
    _flushed_ns: int = field(default=0, init=False)
    _checkpoint_ns: int = field(default=0, init=False)
    _running_ns: int = field(default=0, init=False)
    _newcomers: bool = field(default=False, init=False)  # gateways that know no open bars yet

    def __post_init__(self) -> None:
        """Nothing is owned yet."""
        self._keeper = ShardKeeper(
            leases=self.leases,
            shards=self.keys.shards,
            readiness=self.readiness,
            monotonic_ns=self.monotonic_ns,
            is_gone=is_gone,
        )

    @property
    def shards(self) -> list[ShardState]:
        """The shards that are folded here now, by number."""
        owned = self._owned.states if hasattr(self, "_owned") else {}
        return [owned[shard] for shard in sorted(owned)]

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
            self._amender = self._make_amender(QuarantineWriter(redis, self.keys))
            self._owned = OwnedShards(
                keeper=self._keeper,
                keys=self.keys,
                store=self.store,
                publisher=publisher,
                reader=reader,
                keep_ids_ns=self.keep_ids_ns,
                log_ticks=self.tick_log is not None,
                database=self._database,
                redis=self._redis,
                monotonic_ns=self.monotonic_ns,
            )
            try:
                await self._database(lambda: self.store.load_checkpoints([]))
            except DATABASE_AWAY:
                return  # drained before the database came
            await self._work(redis, reader, publisher)

    async def _work(self, redis: Redis, reader: StreamReader, publisher: BarWriter) -> None:
        writer = FlushWriter(
            store=self.store,
            publisher=publisher,
            ownership=self._keeper,
            readiness=self.readiness,
            metrics=self.metrics,
            monotonic_ns=self.monotonic_ns,
            stop=self._stop,
        )
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(writer.run(), name=writer.name)
            group.create_task(self._keeper.run(), name=self._keeper.name)
            beside = [
                group.create_task(self._reporter(redis).run(), name="aggregator-report"),
                group.create_task(self._audience(redis).run(), name="aggregator-audience"),
            ]
            if self.rebuilder is not None:
                rebuilding = self.rebuilder.run(self._owned.states, writer.committed)
                beside.append(group.create_task(rebuilding, name=self.rebuilder.name))
            try:
                await self._fold(reader, redis, publisher, writer)
            except (*DATABASE_AWAY, StreamUnavailable):
                log.info("draining: a dependency is away")
            finally:
                for task in beside:
                    task.cancel()
                await writer.finish()
            await writing
            self._keeper.close()  # what is stored is stored: others may go on

    def _make_amender(self, quarantine: QuarantineWriter) -> Amender:
        return Amender(
            log=self.tick_log,
            store=self.store,
            metrics=self.metrics,
            database=self._database,
            quarantine=lambda records: self._redis(lambda: quarantine.put(records)),
            now_ns=self.now_ns,
            keep_ns=self.keep_ids_ns,
            reach_ns=self.amend_reach_ns,
        )

    def _reporter(self, redis: Redis) -> Reporter:
        return Reporter(
            board=RoleBoard(redis, self.keys, now_ns=self.now_ns),
            report=self.report,
            states=self._owned.states,
            streams=self._owned.streams,
            readiness=self.readiness,
            now_ns=self.now_ns,
            monotonic_ns=self.monotonic_ns,
        )

    def _audience(self, redis: Redis) -> Audience:
        def on_newcomer() -> None:
            self._newcomers = True

        board = RoleBoard(redis, self.keys, now_ns=self.now_ns)
        return Audience(board=board, on_newcomer=on_newcomer)

    # -- folding

    async def _fold(
        self, reader: StreamReader, redis: Redis, publisher: BarWriter, writer: FlushWriter
    ) -> None:
        registry = FeedRegistry(redis, self.keys)
        quarantine = QuarantineWriter(redis, self.keys)
        feeds_ns = -(2**62)
        while not self._stop.is_set():
            await self._owned.settle(writer)
            self.metrics.owned_shards.set(len(self._owned.states))
            if self.monotonic_ns() - feeds_ns >= _FEEDS_S * 1e9:
                await self._follow(registry)
                feeds_ns = self.monotonic_ns()
            for run in runs(await self._read(reader)):
                await self._fold_run(run, quarantine)
                if self._rows_waiting() > _ROWS_PER_FLUSH:
                    await self._flush(writer, everything=False)
                if self._ticks_waiting() > _TICKS_PER_FLUSH:
                    await self._flush(writer, everything=True)
            await self._flush_if_due(writer)
            await self._publish_running(publisher)
            if self.rebuilder is not None:
                with suppress(*DATABASE_AWAY):
                    await self.rebuilder.serve(self._owned.states)
            self._count()
            if self.exit_after and await self._owned.are_over(self.exit_after):
                break
        await self._flush(writer, everything=True)

    async def _follow(self, registry: FeedRegistry) -> None:
        for feed in await self._redis(registry.feeds):
            if self._known.get(feed.feed) == feed.shards:
                continue
            self._known[feed.feed] = feed.shards
            if feed.shards == self.keys.shards:
                self._owned.follow_feed(feed.feed)
                continue
            log.error(
                "feed %s writes %d shards, this aggregator reads %d: %s; "
                "run all roles with the same setting `shards`",
                feed.feed, feed.shards, self.keys.shards,
                "its bars are wrong now" if self._owned.follows(feed.feed) else "it is left out",
            )  # fmt: skip

    async def _read(self, reader: StreamReader) -> list[Entry]:
        if not self._owned.streams:
            with suppress(TimeoutError):
                async with asyncio.timeout(_BLOCK_MS / 1000):
                    await self._keeper.news.wait()
            return []
        return await self._redis(reader.read)

    async def _fold_run(self, run: list[Entry], quarantine: QuarantineWriter) -> None:
        """Fold entries of one stream: at one go, if nothing about them needs a closer look."""
        feed, shard = self._owned.streams[run[0].key]
        payloads = [entry.payload for entry in run]
        joined = join(payloads) if len(run) > 1 else None
        if joined is not None and self._owned.states[shard].is_next(feed, joined.first):
            await self._fold_block(run[-1], joined.block, quarantine, payloads=payloads)
            return
        for entry in run:
            await self._fold_entry(entry, quarantine)

    async def _fold_entry(self, entry: Entry, quarantine: QuarantineWriter) -> None:
        feed, shard = self._owned.streams[entry.key]
        state = self._owned.states[shard]
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
        self,
        entry: Entry,
        block: Block,
        quarantine: QuarantineWriter,
        *,
        payloads: Sequence[bytes] = (),
    ) -> None:
        started_ns = self.monotonic_ns()
        feed, shard = self._owned.streams[entry.key]
        state = self._owned.states[shard]
        state.under_way = feed
        missing = state.fold(feed, entry.entry_id, block, payloads=payloads)
        if missing:
            self.metrics.lost_blocks.inc(missing)
            log.error(
                "stream %s: %d blocks before number %d were gone before they were read",
                entry.key, missing, block.meta.number,
            )  # fmt: skip
        while wanted := state.core.wanted():
            await self._supply(state, wanted)
        if state.core.doubtful:
            await self._look_up(state, feed, quarantine)
        if block.meta.notices or state.core.amending:
            await self._amender.heed(state, feed, block)
        state.core.close_due(feed, block.meta.watermark_ns)
        state.under_way = ""
        self.metrics.ticks.inc(len(block))
        self.metrics.lag_seconds.set((self.now_ns() - block.meta.sealed_ns) / 1e9)
        if self.monotonic_ns() - started_ns > _YIELD_S * 1e9 or len(block) > 100:
            await asyncio.sleep(0)

    async def _supply(self, state: ShardState, wanted: Wanted) -> None:
        """Answer what the core must know of stored bars; waits for the database."""
        newest = {}
        if wanted.symbols:
            symbols = sorted(wanted.symbols)
            newest = await self._database(lambda: self.store.newest_windows(symbols))
        keys = wanted.rows
        rows = await self._database(lambda: self.store.load_rows(keys)) if keys else []
        state.core.supply(wanted, newest, rows)

    async def _look_up(self, state: ShardState, feed: str, quarantine: QuarantineWriter) -> None:
        """Fold the late ticks that the log does not have; set aside what it cannot tell."""
        ticks, state.core.doubtful = state.core.doubtful, []
        self.metrics.looked_up.inc(len(ticks))
        verdict = await self._database(
            lambda: judge(state, ticks, log=self.tick_log, store=self.store)
        )
        state.core.duplicates += verdict.duplicates
        for new in verdict.new_ticks():
            state.fold_verified(feed, new)
        while wanted := state.core.wanted():
            await self._supply(state, wanted)
        if verdict.unverifiable:
            self.metrics.unverifiable.inc(len(verdict.unverifiable))
            now_ns = self.now_ns()
            records = [
                QuarantineRecord(feed, "unverifiable", now_ns, tick)
                for tick in verdict.unverifiable
            ]
            await self._redis(lambda: quarantine.put(records))

    # -- handing over

    def _ticks_waiting(self) -> int:
        folded = [state.folded for state in self._owned.states.values()]
        return sum(some.weight for some in folded if some is not None)

    def _rows_waiting(self) -> int:
        return sum(state.core.dirty for state in self._owned.states.values())

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
        parts = tuple(
            state.take_flush(writer.committed.get(state.shard, 0))
            for state in self.shards
            if state.core.dirty or (everything and state.changed)
        )
        if parts:
            await writer.hand_over(Flush(parts, self.monotonic_ns()))

    async def _publish_running(self, publisher: BarWriter) -> None:
        """Publish open bars that changed, or all; one that is lost is made good a second later."""
        now_ns = self.monotonic_ns()
        if now_ns - self._running_ns < self.times.running_s * 1e9:
            return
        self._running_ns = now_ns
        if self._newcomers:
            self._newcomers = False
            for state in self.shards:
                state.core.touch_open()
        for state in self.shards:
            if not self._keeper.is_sure():
                return
            bars = state.core.take_running()
            try:
                if bars:
                    await publisher.publish_running(state.shard, bars)
            except StreamUnavailable as exc:
                log.debug("running bars not published: %s", exc)
                state.core.touch(bars)
                return

    # -- waiting, counting

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
        for state in self.shards:
            duplicates, late = state.take_counts()
            self.metrics.duplicates.inc(duplicates)
            self.metrics.late.inc(late)
