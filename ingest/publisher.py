"""Publisher: one feed's ticks, judged, put into blocks, and on to the streams."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from core.market.notice import Notice
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.runtime.ports import Clock, MonotonicClock
from ingest.admission import Admission, Reason, Verdict
from ingest.blocks import MAX_BATCH, Moment, Sealed, ShardBlocks
from ingest.feed import FeedJournal, WarnLimiter, describe
from ingest.feed_clock import NEVER, ClockKind, FeedClock
from ingest.flow import FlowLedger
from ingest.gap_watch import GapWatch, SymbolRecord
from ingest.limits import IngestLimits
from storage.errors import StreamUnavailable
from storage.gap_memory import GapMemory
from storage.quarantine import QuarantineRecord, QuarantineWriter
from storage.roles import FRESH_MS, RoleBoard, RoleReport
from storage.tick_writer import TickWriter

log = logging.getLogger(__name__)

_MS_NS: Final = 1_000_000
_QUARANTINE_KEPT: Final = 1_000  # records between feed and writer; the oldest go, counted anyway
_REMEMBER_NS: Final = 10**9
_TOO_LATE: Final = (Reason.LATE, Reason.FUTURE)


@dataclass(slots=True, kw_only=True)
class Publisher:
    """Takes a source's ticks on one side, writes blocks on the other; one feed owns it.

    Hand-over: at most ``limits.hand_over_ticks`` wait for the writer, then :meth:`put` waits and
    with it the source (TCP back-pressure to the venue). Nothing is dropped while Redis is away.
    """

    writer: TickWriter
    board: RoleBoard
    quarantine_writer: QuarantineWriter
    flow: FlowLedger
    journal: FeedJournal
    kind: ClockKind
    shards: int
    limits: IngestLimits
    now_ns: Clock
    monotonic_ns: MonotonicClock
    watch: GapWatch | None = None
    """Where the venue numbers its trades; then ``memory`` keeps what it knows."""
    memory: GapMemory | None = None
    _blocks: ShardBlocks = field(init=False)
    _clock: FeedClock = field(init=False)
    _admission: Admission = field(init=False)
    _records: deque[QuarantineRecord] = field(init=False)
    _work: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _room: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _warnings: WarnLimiter = field(init=False, default_factory=WarnLimiter)
    _sending: int = field(init=False, default=0)  # ticks of the append under way
    _closing: bool = field(init=False, default=False)
    _replayed: int = field(init=False)  # by writers before this one
    _lost: int = field(init=False)
    _given_up: int = field(init=False)
    _remembered_ns: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Go on where the newest stored blocks of the writer say."""
        self._blocks = ShardBlocks(
            shards=self.shards,
            resume=self.writer.resume,
            grace_ns=self.limits.grace_ns,
            max_ticks=self.limits.block_ticks,
            epoch=self.writer.epoch,
        )
        self._clock = _resumed_clock(self.kind, self.writer, self.shards, self.monotonic_ns())
        self._admission = Admission(self._clock, self.limits.admission)
        self._records = deque(maxlen=_QUARANTINE_KEPT)
        self._replayed, self._lost = self.journal.replayed, self.journal.lost
        self._given_up = self.journal.given_up

    @property
    def position(self) -> int:
        return self._blocks.position

    @property
    def catch_up_until(self) -> int:
        return self._blocks.catch_up_until

    @property
    def stored(self) -> list[tuple[int, int]]:
        return [(meta.position, meta.feed_time_ns) for meta in self.writer.resume.values()]

    def know(self, ticks: Iterable[Tick]) -> None:
        """Ticks that are on the streams already; before the first :meth:`put`."""
        self._admission.know(ticks)

    @property
    def ended(self) -> bool:
        """Did an earlier run bring this feed to its end?"""
        return self._blocks.ended

    async def put(self, ticks: Sequence[Tick], position: int = 0) -> None:
        if len(ticks) <= MAX_BATCH:
            await self._put_batch(ticks, position)
            return
        for at in range(0, len(ticks), MAX_BATCH):
            await self._put_batch(ticks[at : at + MAX_BATCH], position)

    async def fill(self, ticks: Sequence[Tick]) -> list[Tick]:
        """Take *ticks* of the venue's history, which are missing; returns those that are too late.

        Waits as :meth:`put` does.
        """
        late: list[Tick] = []
        for at in range(0, len(ticks), MAX_BATCH):
            verdict = await self._put_batch(ticks[at : at + MAX_BATCH], 0)
            late += [tick for tick, reason in verdict.refused if reason in _TOO_LATE]
        return late

    def tell(self, notices: Sequence[Notice]) -> None:
        """Put *notices* behind everything that was put before."""
        self._blocks.tell(notices, now=self._now())
        self.journal.notices += len(notices)
        self._work.set()

    async def pass_on(self, notices: Sequence[Notice]) -> None:
        await self._has_room()
        self.tell(notices)

    async def _has_room(self) -> None:
        if self._blocks.waiting >= self.limits.hand_over_ticks:
            self._room.clear()
            await self._room.wait()

    async def _put_batch(self, ticks: Sequence[Tick], position: int) -> Verdict:
        await self._has_room()
        monotonic_ns, wall_ns = self.monotonic_ns(), self.now_ns()
        verdict = self._admission.judge(ticks, monotonic_ns=monotonic_ns, wall_ns=wall_ns)
        if self.watch is not None:
            _show(self.watch, ticks, verdict, monotonic_ns)
        seen_before = 0 < position <= self._blocks.catch_up_until
        now = Moment(self._clock.now_ns(monotonic_ns), monotonic_ns, wall_ns)
        self._blocks.add(verdict.admitted, position=position, now=now)
        journal = self.journal
        journal.ticks += len(verdict.admitted)
        journal.duplicates += verdict.duplicates
        journal.newest_event_ns = max(0, self._clock.newest_ns)
        for tick, reason in verdict.refused:
            if not seen_before:
                self.quarantine(tick, reason)
        self._work.set()
        return verdict

    def announce(self, ticks: Sequence[Tick]) -> None:
        if self.watch is not None:
            self.watch.announce(ticks, now_ns=self.monotonic_ns())

    def quarantine(self, tick: Tick, reason: Reason, detail: str = "") -> None:
        self.journal.refuse(reason)
        self._records.append(
            QuarantineRecord(self.journal.feed, reason, self.now_ns(), tick, detail)
        )
        if self._warnings.allows(self.monotonic_ns()):
            log.warning(
                "feed %s: quarantined (%s): %s%s",
                self.journal.feed,
                reason.replace("_", " "),
                detail or describe(tick),
                self._warnings.more(),
            )

    def reconnected(self) -> None:
        self._clock.reconnected()
        if self.watch is not None:
            self.watch.reconnected()

    def go_live(self) -> None:
        self._clock.go_live()

    async def lag(self) -> int | None:
        reports = await self._reports()
        if reports is None:
            return None
        if self._clock.kind is ClockKind.HISTORY:
            reports = [report for report in reports if report.role == "aggregator"]
        fresh_since_ms = self.now_ns() // _MS_NS - FRESH_MS
        behind = self.flow.in_flight(reports, fresh_since_ms=fresh_since_ms)
        return None if behind is None else behind + self._blocks.waiting + self._sending

    async def wanted(self) -> bool:
        fresh_since_ms = self.now_ns() // _MS_NS - FRESH_MS
        return self.flow.wanted(await self._reports() or (), fresh_since_ms=fresh_since_ms)

    async def run(self) -> None:
        """Write until :meth:`close`; the last blocks are stored when this returns."""
        check_s = self.limits.idle_block_ns / 1e9 / 10
        await self._write()  # a first block on every shard: readers find the streams
        while not self._closing:
            with suppress(TimeoutError):  # then some shards may need an empty block
                async with asyncio.timeout(check_s):
                    await self._work.wait()
            if self._work.is_set() and not self._closing:
                await asyncio.sleep(self.limits.block_ns / 1e9)  # let a block fill
            await self._write()
        await self._write()

    def close(self, *, ended: bool) -> None:
        """Take nothing more; run() returns after the last block. *ended*: the feed has no more."""
        if ended:
            self._blocks.end(self._now())
        self._closing = True
        self._work.set()

    async def _write(self) -> None:
        self._work.clear()
        blocks = self._blocks.take(self._now(), idle_ns=self.limits.idle_block_ns)
        known = self._changes()  # as of these blocks: what comes meanwhile is not stored with them
        self._sending = sum(block.ticks for block in blocks)
        self._room.set()
        if blocks:
            try:
                await self.writer.append([(block.shard, block.payload) for block in blocks])
            finally:
                self.journal.replayed = self._replayed + self.writer.replayed
                self.journal.lost = self._lost + self.writer.lost
                self.journal.given_up = self._given_up + self.writer.given_up
            self._note(blocks)
        self._sending = 0
        if self.memory is not None and self.watch is not None and known:
            await self._remember(self.memory, self.watch, known)
        if self._records:
            await self._write_quarantine()

    def _note(self, blocks: Sequence[Sealed]) -> None:
        self.journal.blocks += len(blocks)
        if self._clock.by_events_alone:  # and so held to its readers' pace
            for block in blocks:
                self.flow.wrote(block.shard, block.number, block.ticks)

    def _changes(self) -> dict[Symbol, SymbolRecord]:
        """What is to be remembered, about once a second, or when the feed ends."""
        now_ns = self.monotonic_ns()
        due = self._closing or now_ns - self._remembered_ns >= _REMEMBER_NS
        if self.watch is None or not due:
            return {}
        self._remembered_ns = now_ns
        return self.watch.changes()

    async def _remember(
        self, memory: GapMemory, watch: GapWatch, known: Mapping[Symbol, SymbolRecord]
    ) -> None:
        try:
            await memory.put({s: msgspec.msgpack.encode(record) for s, record in known.items()})
        except StreamUnavailable as exc:
            watch.not_kept(known)
            log.debug("feed %s: newest trade ids not kept: %s", self.journal.feed, exc)

    async def _write_quarantine(self) -> None:
        records = list(self._records)
        self._records.clear()
        try:
            await self.quarantine_writer.put(records)
        except StreamUnavailable as exc:  # their counters tell; a quarantine may have a hole
            lost = len(records)
            log.warning("feed %s: %d quarantine records lost: %s", self.journal.feed, lost, exc)

    async def _reports(self) -> list[RoleReport] | None:
        try:
            return await self.board.read(max_age_ms=None)
        except StreamUnavailable:
            return None  # the writer says so; who asks shall ask again

    def _now(self) -> Moment:
        monotonic_ns = self.monotonic_ns()
        return Moment(self._clock.now_ns(monotonic_ns), monotonic_ns, self.now_ns())


def _show(watch: GapWatch, ticks: Sequence[Tick], verdict: Verdict, now_ns: int) -> None:
    """Let *watch* see what came."""
    if verdict.refused:
        refused = {id(tick) for tick, _ in verdict.refused}
        watch.excuse(tick for tick, _ in verdict.refused)
        ticks = [tick for tick in ticks if id(tick) not in refused]
    watch.see(ticks, now_ns=now_ns)


def _resumed_clock(
    kind: ClockKind, writer: TickWriter, shards: int, monotonic_ns: int
) -> FeedClock:
    """Feed time where the feed goes on: that of past trading is where it is read on."""
    metas = list(writer.resume.values())
    if kind in (ClockKind.REPLAY, ClockKind.HISTORY):
        # A shard that had more than the others before may have an empty block of a time before.
        first = min(metas, key=lambda meta: (meta.position, -meta.feed_time_ns), default=None)
        newest_ns = first.feed_time_ns if first and len(metas) == shards else NEVER
        return FeedClock(kind, newest_ns=newest_ns, monotonic_ns=monotonic_ns)
    newest_ns = max((meta.feed_time_ns for meta in metas), default=NEVER)
    return FeedClock(kind, newest_ns=newest_ns, monotonic_ns=monotonic_ns)
