"""IngestService: runs the feeds of one process and reports on them."""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from core.market.tick import Tick
from core.runtime.clocks import steady
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.readiness import Readiness
from core.runtime.retry import full_jitter, wait_out
from ingest.feed import FeedJournal, TickSource
from ingest.flow import FlowLedger
from ingest.gap_keeper import GapKeeper, VenueGates
from ingest.gap_watch import GapWatch
from ingest.limits import IngestLimits
from ingest.metrics import IngestMetrics
from ingest.poll import Poll
from ingest.publisher import Publisher
from ingest.recall import recall
from ingest.replay import Replay
from ingest.session import Session
from ingest.sim import Sim
from ingest.spec import (
    VENUES,
    AlpacaOptions,
    FeedSpec,
    PollOptions,
    ReplayOptions,
    SimOptions,
    VenueOptions,
    name_feeds,
)
from ingest.standby import Standby
from ingest.venues import Alpaca, VenueProtocol, make_venue
from storage.errors import LeaseLost, StreamUnavailable
from storage.gap_memory import GapMemory
from storage.keys import StreamKeys
from storage.lease import RENEW_S, Lease
from storage.quarantine import QuarantineWriter
from storage.redis import Redis, connect
from storage.roles import RoleBoard, RoleReport
from storage.stream_ends import StreamEnds
from storage.tick_writer import TickWriter

log = logging.getLogger(__name__)

REDIS: Final = "redis"  # the dependency's name in readiness
_REPORT_S: Final = 1.0
_LOOK_S: Final = 0.1  # a feed's change of state is on the board so soon
_MS_NS: Final = 1_000_000


@dataclass(slots=True)
class _Feed:
    name: str
    spec: FeedSpec
    source: TickSource
    journal: FeedJournal
    gaps: GapKeeper | None = None


@dataclass(kw_only=True, slots=True)
class IngestService:
    """The feeds of one process: each a source and a publisher in tasks of their own.

    While Redis is away feeds wait, and ``readiness`` says so. A replay file that cannot be read
    ends run() with :class:`ingest.errors.ReplayFileError` before any feed starts.
    """

    name: ClassVar[str] = "ingest"
    specs: Sequence[FeedSpec]
    redis_url: str
    namespace: str
    shards: int
    retention_s: float
    stream_max_bytes: int
    limits: IngestLimits
    now_ns: Clock
    monotonic_ns: MonotonicClock
    readiness: Readiness
    metrics: IngestMetrics
    ops_url: str = ""
    version: str = ""
    exit_at_end: bool = False
    ring_bytes: int = 32 << 20
    ring_s: float = 30.0
    owner: str = ""
    """Names this process in leases; by default host and process id."""
    _stop: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _feeds: list[_Feed] = field(init=False, default_factory=list)

    def begin_drain(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Run until drained; with ``exit_at_end``, return too once every feed has ended."""
        redis = connect(self.redis_url)
        started_ms = self.now_ns() // _MS_NS
        try:
            await self._prepare()
            async with asyncio.TaskGroup() as group:
                report = group.create_task(self._report(redis, started_ms), name="ingest report")
                running = [
                    group.create_task(self._run_feed(feed, redis), name=f"feed {feed.name}")
                    for feed in self._feeds
                ]
                await _all_done(running)
                if not self.exit_at_end:
                    await self._stop.wait()
                report.cancel()
            with suppress(StreamUnavailable):
                await self._board(redis).withdraw("ingest", _process_name())
        finally:
            for feed in self._feeds:
                if isinstance(feed.source, Replay):
                    feed.source.close()
            await redis.aclose()

    async def _prepare(self) -> None:
        gates = VenueGates(limits=self.limits)
        self.metrics.watch_gates(gates)
        for spec, name in zip(self.specs, name_feeds(self.specs), strict=True):
            source = self._source(spec)
            if isinstance(source, Replay):
                name = f"{name}-{await source.prepare()}"
            journal = FeedJournal(feed=name, venue=spec.venue, now_ns=self.now_ns)
            if isinstance(spec.options, VenueOptions | PollOptions):
                journal.symbols = len(spec.options.symbols)
            self.metrics.watch(journal)
            gaps = None
            if isinstance(spec.options, VenueOptions) and spec.feed in VENUES:
                gaps = GapKeeper(
                    spec,
                    spec.options,
                    gates=gates,
                    now_ns=self.now_ns,
                    monotonic_ns=self.monotonic_ns,
                )
            self._feeds.append(_Feed(name, spec, source, journal, gaps))

    def _source(self, spec: FeedSpec) -> TickSource:
        clock, limits = self.monotonic_ns, self.limits
        match spec.options:
            case ReplayOptions() as options:
                return Replay(options, limits=limits, monotonic_ns=clock)
            case SimOptions() as options:
                return Sim(
                    options,
                    limits=limits,
                    now_ns=self.now_ns,
                    monotonic_ns=clock,
                    stocks=spec.stocks,
                )
            case PollOptions() as options:
                return Poll(options, limits=limits, now_ns=self.now_ns, monotonic_ns=clock)
            case VenueOptions() as options:
                venue = _venue(spec.feed, options)
                return Session(
                    venue=venue,
                    url=options.url or venue.url,
                    silence_s=options.silence_s or limits.silence_s,
                    limits=limits,
                    monotonic_ns=clock,
                )

    async def _run_feed(self, feed: _Feed, redis: Redis) -> None:
        """From the lease to the last block; anew, as standby, whenever the lease is lost."""
        while (writer := await self._open_writer(feed, redis)) is not None:
            try:
                await self._publish(feed, redis, writer)
            except* LeaseLost as lost:
                feed.journal.leases_lost += 1
                feed.journal.unpublished += writer.waiting
                log.warning("%s; %d blocks are not published", lost.exceptions[0], writer.waiting)
            else:
                if not (self._stop.is_set() or self.exit_at_end):
                    await self._guard_end(feed, writer)
                with suppress(StreamUnavailable):
                    await writer.release()
                break
            feed.source = await self._renewed(feed)

    async def _guard_end(self, feed: _Feed, writer: TickWriter) -> None:
        """Store again what a failover loses behind a feed's end, for as long as that is kept."""
        journal, until_ns = feed.journal, self.monotonic_ns() + int(self.ring_s * 1e9)
        replayed, lost = journal.replayed - writer.replayed, journal.lost - writer.lost
        confirmed = False
        while not self._stop.is_set() and not (confirmed and self.monotonic_ns() >= until_ns):
            await self._pause(RENEW_S)
            try:
                await writer.confirm()
            except StreamUnavailable as exc:
                confirmed = False
                self._redis_down(str(exc))
            except LeaseLost:
                return
            else:
                confirmed = True
                self._redis_up()
            journal.replayed, journal.lost = replayed + writer.replayed, lost + writer.lost

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _renewed(self, feed: _Feed) -> TickSource:
        """The feed's source, as at the start."""
        if isinstance(feed.source, Replay):
            feed.source.close()
        source = self._source(feed.spec)
        if isinstance(source, Replay):
            await source.prepare()
        return source

    async def _publish(self, feed: _Feed, redis: Redis, writer: TickWriter) -> None:
        try:
            watch = await self._watch(feed, redis)
            publisher = self._publisher(feed, redis, writer, watch)
            if publisher.ended:
                feed.journal.enter("ended", "in an earlier run")
                return
            publisher.know(await self._recall(feed, redis))
        except StreamUnavailable:
            return  # drained before Redis was back
        async with asyncio.TaskGroup() as group:
            helpers = []
            if feed.gaps is not None and watch is not None:
                work = feed.gaps.run(watch, publisher, feed.journal)
                helpers.append(group.create_task(work, name=f"gaps {feed.name}"))
            group.create_task(publisher.run(), name=f"publisher {feed.name}")
            source = group.create_task(
                feed.source.run(publisher, feed.journal), name=f"source {feed.name}"
            )
            stop = group.create_task(self._stop.wait(), name=f"stop {feed.name}")
            await asyncio.wait({source, stop}, return_when=asyncio.FIRST_COMPLETED)
            ended = source.done()
            source.cancel()
            for task in (stop, *helpers):
                task.cancel()
            await asyncio.wait({source, *helpers})
            publisher.close(ended=ended and not source.cancelled() and not source.exception())
        if ended and feed.journal.state != "failed":
            feed.journal.enter("ended")

    async def _watch(self, feed: _Feed, redis: Redis) -> GapWatch | None:
        """Of a feed whose venue numbers its trades, with what is known of them."""
        gaps = feed.gaps
        if gaps is None:
            return None
        return await wait_out(
            lambda: gaps.watch(redis, self._keys(), feed.name),
            dependency=REDIS,
            readiness=self.readiness,
            away=StreamUnavailable,
            stop=self._stop,
        )

    async def _recall(self, feed: _Feed, redis: Redis) -> list[Tick]:
        """What of the feed went out lately, by this process or another."""
        return await wait_out(
            lambda: recall(StreamEnds(redis), self._keys(), feed.name),
            dependency=REDIS,
            readiness=self.readiness,
            away=StreamUnavailable,
            stop=self._stop,
        )

    def _publisher(
        self, feed: _Feed, redis: Redis, writer: TickWriter, watch: GapWatch | None
    ) -> Publisher:
        keys = self._keys()
        return Publisher(
            writer=writer,
            board=self._board(redis),
            quarantine_writer=QuarantineWriter(redis, keys),
            flow=FlowLedger([keys.ticks(feed.name, shard) for shard in range(self.shards)]),
            journal=feed.journal,
            kind=feed.source.clock_kind,
            shards=self.shards,
            limits=self.limits,
            now_ns=self.now_ns,
            monotonic_ns=self.monotonic_ns,
            watch=watch,
            memory=None if watch is None else GapMemory(redis, keys, feed.name),
        )

    async def _open_writer(self, feed: _Feed, redis: Redis) -> TickWriter | None:
        """The feed's writer, once Redis is there and the lease is ours; None when a drain began."""
        lease = Lease(redis, key=self._keys().lease(feed.name), feed=feed.name, owner=self.owner)
        standby = Standby(
            lease=lease, journal=feed.journal, monotonic_ns=self.monotonic_ns, stop=self._stop
        )

        def report(state: RetryCallState) -> None:
            self._redis_down(str(state.outcome.exception() if state.outcome else ""))

        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((StreamUnavailable, LeaseLost)),
            wait=full_jitter(first_s=0.1, cap_s=2.0),
            stop=lambda _: self._stop.is_set(),
            sleep=self._pause,
            before_sleep=report,
            retry_error_callback=lambda _: None,
        ):
            with attempt:
                if not await standby.wait():
                    return None
                writer = await TickWriter.open(
                    redis,
                    lease=lease,
                    ring_bytes=self.ring_bytes,
                    ring_s=self.ring_s,
                    namespace=self.namespace,
                    feed=feed.name,
                    venue=feed.journal.venue,
                    stocks=feed.spec.stocks,
                    shards=self.shards,
                    retention_s=self.retention_s,
                    max_bytes=self.stream_max_bytes,
                    now_ns=steady(self.now_ns, self.monotonic_ns),
                    wall_ns=self.now_ns,
                    on_down=self._redis_down,
                    on_up=self._redis_up,
                )
                self._redis_up()
                return writer
        return None

    def _redis_down(self, reason: str) -> None:
        if self.readiness.down(REDIS, reason):
            log.warning("waiting for %s; the feeds wait, too", reason)

    def _redis_up(self) -> None:
        if self.readiness.up(REDIS):
            log.info("Redis is there")

    async def _report(self, redis: Redis, started_ms: int) -> None:
        """Put up a report each second, and soon after a feed changed its state."""
        board, changes, due_ns, failed = self._board(redis), -1, 0, False
        while True:
            seen = sum(feed.journal.changes for feed in self._feeds)
            if seen != changes or self.monotonic_ns() >= due_ns:
                changes, due_ns = seen, self.monotonic_ns() + int(_REPORT_S * 1e9)
                try:
                    await board.publish(self._role_report(started_ms))
                except StreamUnavailable as exc:
                    failed = True
                    self._redis_down(str(exc))
                else:
                    if failed:  # a writer that is refused says so itself, and again
                        failed = False
                        self._redis_up()
            await asyncio.sleep(_LOOK_S)

    def _role_report(self, started_ms: int) -> RoleReport:
        states = self.readiness.states()
        return RoleReport(
            role="ingest",
            name=_process_name(),
            pid=os.getpid(),
            reported_ms=self.now_ns() // _MS_NS,
            started_ms=started_ms,
            ops_url=self.ops_url,
            version=self.version,
            feeds=[f.journal.status() for f in self._feeds if not f.journal.standing_by],
            waiting={name: state.reason for name, state in states.items() if not state.ok},
        )

    def _keys(self) -> StreamKeys:
        return StreamKeys(self.namespace, self.shards)

    def _board(self, redis: Redis) -> RoleBoard:
        return RoleBoard(redis, self._keys(), now_ns=self.now_ns)


def _venue(feed: str, options: VenueOptions) -> VenueProtocol:
    if not isinstance(options, AlpacaOptions):
        return make_venue(feed, options.symbols)
    return Alpaca(
        options.symbols,
        venue=options.venue,
        key=options.key,
        secret=options.secret,
        msgpack=options.encoding == "msgpack",
        per_exchange=options.ids == "exchange",
    )


async def _all_done(tasks: Sequence["asyncio.Task[None]"]) -> None:
    if tasks:
        await asyncio.wait(tasks)


def _process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
