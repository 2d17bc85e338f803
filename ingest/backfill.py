"""Backfill: the trades of a span from a venue's history, on streams of their own, for the bars.

Their feed time is their own, so none is too old. Whether a trade is in its bar already the
aggregator decides, by the ids it knows and by the log of ticks; so a second time changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from tenacity import AsyncRetrying, retry_if_exception

from core.market.block import BlockMeta, decode_meta
from core.market.errors import TickgateError
from core.market.notice import Gap, GapState, Notice
from core.market.tick import Tick
from core.market.timeframe import Timeframe
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.retry import full_jitter
from ingest.admission import Admission, Reason
from ingest.blocks import MAX_BATCH, Moment, ShardBlocks
from ingest.errors import HistoryError
from ingest.feed_clock import NEVER, ClockKind, FeedClock
from ingest.first_trade import FirstTrade
from ingest.flow import FlowLedger
from ingest.history import Page, Want
from ingest.limits import IngestLimits
from ingest.rest import VenueRest
from ingest.venues.protocol import MAX_ID
from storage.quarantine import QuarantineRecord, QuarantineWriter
from storage.roles import RoleBoard
from storage.tick_writer import TickWriter

T = TypeVar("T")
_LOOK_S: Final = 0.02  # between looks at how far the aggregator is
_NEAR: Final = 100  # ids around a time in which trades may not be in order of time
_FAR_NS: Final = 2**62
_STRETCHES: Final = 1_000
_KEPT: Final = 10_000  # records that the quarantine holds
_SHOWN: Final = 1_000  # refused trades of a run that are put there: others shall find room, too
_REFUSALS: Final = frozenset(reason.value for reason in Reason)


class NobodyFolds(TickgateError):
    """No aggregator takes what is backfilled."""

    def __init__(self, waited_s: float) -> None:
        self.waited_s = waited_s
        super().__init__(waited_s)

    def __str__(self) -> str:
        return (
            f"no aggregator took anything for {self.waited_s:g} s: see that one runs with the same "
            "redis_url, namespace and shards, then run this again"
        )


@dataclass(slots=True)
class Outcome:
    """What became of one symbol's trades."""

    ticker: str
    trades: int = 0  # put on the streams
    refused: int = 0  # with numbers that no trade can have
    missing: int = 0  # ids within the span that the venue's history has not got
    first: Tick | None = None
    last: Tick | None = None
    stretches: list[tuple[int, int]] = field(default_factory=list)
    """Event times between which no id is missing, the first :data:`_STRETCHES` and one."""

    def take(self, ticks: Sequence[Tick]) -> None:
        """The next of the span."""
        for tick in sorted(ticks, key=lambda tick: tick.trade_id):
            before = tick if self.last is None else self.last
            self._stretch(before, tick)
            self.missing += max(0, tick.trade_id - before.trade_id - 1)
            self.first, self.last = self.first or tick, tick
        self.trades += len(ticks)

    def _stretch(self, before: Tick, tick: Tick) -> None:
        """*tick* goes on with the last stretch, or begins one; between two is what is missing."""
        if len(self.stretches) > _STRETCHES:
            return
        if tick.trade_id == before.trade_id + 1:
            self.stretches[-1] = self.stretches[-1][0], tick.event_ns
            return
        from_ns = tick.event_ns
        if self.stretches and from_ns <= before.event_ns:  # then it has no time of its own
            self.stretches[-1] = self.stretches[-1][0], from_ns - 1
            from_ns = before.event_ns + 1
        self.stretches.append((from_ns, tick.event_ns))


@dataclass(slots=True, kw_only=True)
class BackfillStreams:
    """Writes blocks as a feed does, but at the pace of the aggregator, and nothing between runs.

    At most ``limits.hand_over_ticks`` are on the streams and not folded.
    """

    writer: TickWriter
    board: RoleBoard
    flow: FlowLedger
    quarantine: QuarantineWriter
    feed: str
    shards: int
    limits: IngestLimits
    patience_s: float
    now_ns: Clock
    monotonic_ns: MonotonicClock
    refused: int = field(init=False, default=0)
    _ends: dict[int, BlockMeta] = field(init=False)  # where each stream ends
    _blocks: ShardBlocks = field(init=False)
    _clock: FeedClock = field(init=False)
    _admission: Admission = field(init=False)

    def __post_init__(self) -> None:
        """Go on where the last run ended."""
        self._ends = dict(self.writer.resume)
        self.begin()

    def begin(self) -> None:
        """The next ticks are of another symbol: numbers go on, and time begins anew."""
        resume = {
            shard: msgspec.structs.replace(
                meta, watermark_ns=NEVER, feed_time_ns=NEVER, position=0, end=False
            )
            for shard, meta in self._ends.items()
        }
        self._blocks = ShardBlocks(
            shards=self.shards,
            resume=resume,
            grace_ns=self.limits.grace_ns,
            max_ticks=self.limits.block_ticks,
            epoch=self.writer.epoch,
        )
        self._clock = FeedClock(ClockKind.HISTORY)
        self._admission = Admission(self._clock, self.limits.admission)

    async def put(self, ticks: Sequence[Tick]) -> None:
        """Judge and write *ticks*, in order; waits for the aggregator.

        Raises:
            NobodyFolds: it took nothing for ``patience_s``.
            LeaseLost: another process backfills this feed.
            StreamUnavailable: Redis refuses.
        """
        for at in range(0, len(ticks), MAX_BATCH):
            verdict = self._admission.judge(
                ticks[at : at + MAX_BATCH], monotonic_ns=self.monotonic_ns(), wall_ns=self.now_ns()
            )
            await self._refuse(verdict.refused)
            self._blocks.add(verdict.admitted, position=0, now=self._moment())
        await self._write(idle_ns=_FAR_NS)
        await self._caught_up(self.limits.hand_over_ticks)

    async def end(self, notices: Sequence[Notice]) -> None:
        """All ticks of a symbol were put: tell *notices*, and close those windows that are over.

        A window that is not over stays open: live trades belong into it still.

        Raises:
            LeaseLost, StreamUnavailable: as :meth:`put`.
        """
        newest_ns = self._clock.newest_ns
        if newest_ns == NEVER:
            return
        self._blocks.tell(notices, now=self._moment())
        over_ns = Timeframe.MIN_15.floor_ns(newest_ns) + Timeframe.MIN_15.ns
        closing_ns = min(over_ns + self.limits.grace_ns, self.now_ns())
        self._clock.advance(closing_ns, self.monotonic_ns())
        await self._write(idle_ns=0)

    async def _refuse(self, refused: Sequence[tuple[Tick, Reason]]) -> None:
        """Count them, and put the first of many into the quarantine."""
        room = max(0, _SHOWN - self.refused)
        self.refused += len(refused)
        now_ns = self.now_ns()
        await self.quarantine.put(
            [
                QuarantineRecord(self.feed, reason.value, now_ns, tick)
                for tick, reason in refused[:room]
            ]
        )

    async def folded(self) -> None:
        """Wait until the aggregator has folded all.

        Raises:
            NobodyFolds, StreamUnavailable: as :meth:`put`.
        """
        await self._caught_up(0)

    async def _write(self, *, idle_ns: int) -> None:
        blocks = self._blocks.take(self._moment(), idle_ns=idle_ns)
        if blocks:
            await self.writer.append([(block.shard, block.payload) for block in blocks])
        for block in blocks:
            self._ends[block.shard] = decode_meta(block.payload)
            self.flow.wrote(block.shard, block.number, block.ticks)

    async def _caught_up(self, most: int) -> None:
        """Wait until at most *most* ticks are not folded."""
        before, since_ns = -1, self.monotonic_ns()
        while True:
            reports = await self.board.read(max_age_ms=None)
            behind = self.flow.in_flight(
                [report for report in reports if report.role == "aggregator"], fresh_since_ms=0
            )
            if behind is not None and behind <= most:
                return
            if behind is not None and behind != before:
                before, since_ns = behind, self.monotonic_ns()
            waited_s = (self.monotonic_ns() - since_ns) / 1e9
            if waited_s > self.patience_s:
                raise NobodyFolds(round(waited_s, 1))
            await asyncio.sleep(_LOOK_S)

    def _moment(self) -> Moment:
        monotonic_ns = self.monotonic_ns()
        return Moment(self._clock.now_ns(monotonic_ns), monotonic_ns, self.now_ns())


@dataclass(slots=True, kw_only=True)
class Backfill:
    """Asks for the trades of some tickers in ``[start_ns, end_ns)`` and puts them on the streams.

    A page that the venue does not give within ``limits.gap_fill_s`` ends it.
    """

    rest: VenueRest
    streams: BackfillStreams
    start_ns: int
    end_ns: int
    limits: IngestLimits
    monotonic_ns: MonotonicClock
    tell: Callable[[Outcome], None]
    """Told after each page."""

    async def run(self, tickers: Sequence[str]) -> list[Outcome]:
        """All of *tickers*, one after the other.

        Raises:
            HistoryError: the venue does not answer.
            NobodyFolds, LeaseLost, StreamUnavailable: as :meth:`BackfillStreams.put`.
        """
        outcomes = []
        for ticker in tickers:
            outcomes.append(outcome := await self._symbol(ticker))
            await self.streams.end(self._whole(outcome))
        await self.streams.folded()
        return outcomes

    async def _symbol(self, ticker: str) -> Outcome:
        outcome = Outcome(ticker)
        self.streams.begin()
        refused = self.streams.refused
        async for ticks in self._pages(ticker):
            inside = [tick for tick in ticks if self.start_ns <= tick.event_ns < self.end_ns]
            outcome.take(inside)
            await self.streams.put(inside)
            outcome.refused = self.streams.refused - refused
            self.tell(outcome)
        return outcome

    async def _pages(self, ticker: str) -> AsyncIterator[list[Tick]]:
        """Pages from the first trade of the span to one beyond its end, without repeats."""
        want, seen = await self._begin(ticker), -1
        while want is not None:
            page = await self._ask(want)
            ticks = [tick for tick in page.ticks if tick.trade_id > seen]
            yield ticks
            seen = max([seen, *(tick.trade_id for tick in ticks)])
            over = ticks and min(tick.event_ns for tick in ticks[-_NEAR:]) >= self.end_ns
            want = None if over else page.rest

    async def _begin(self, ticker: str) -> Want | None:
        """From where on to ask; None: there is nothing."""
        if self.rest.history.is_by_time:
            return Want(ticker, 0, MAX_ID, self.start_ns)
        newest = await self._patiently(
            lambda deadline_s: self.rest.newest(ticker, deadline_s=deadline_s)
        )
        if newest is None:
            return None
        search = FirstTrade(
            newest_id=newest.trade_id, newest_ns=newest.event_ns, start_ns=self.start_ns
        )
        while search.found is None:
            near = Want(ticker, search.probe, search.probe + _NEAR - 1, self.start_ns)
            ticks = (await self._ask(near)).ticks
            search.tell(ticks[0].event_ns if ticks else None)
        if search.found > newest.trade_id:
            return None
        return Want(ticker, max(0, search.found - _NEAR), newest.trade_id, self.start_ns)

    async def _ask(self, want: Want) -> Page:
        return await self._patiently(lambda deadline_s: self.rest.ask(want, deadline_s=deadline_s))

    async def _patiently(self, ask: Callable[[float], Awaitable[T]]) -> T:
        """Ask until there is an answer, with jittered waits, to the deadline of a page."""
        limits = self.limits
        deadline_s = self.monotonic_ns() / 1e9 + limits.gap_fill_s

        async def once() -> T:
            return await ask(deadline_s)

        attempts = AsyncRetrying(
            retry=retry_if_exception(lambda exc: isinstance(exc, HistoryError) and exc.retryable),
            wait=full_jitter(
                first_s=limits.history_retry_first_s, cap_s=limits.history_retry_cap_s
            ),
            stop=lambda _: self.monotonic_ns() / 1e9 >= deadline_s,
            reraise=True,
        )
        answer: T = await attempts(once)
        return answer

    def _whole(self, outcome: Outcome) -> list[Gap]:
        """Where nothing is missing between two trades, gaps are filled."""
        if outcome.first is None or outcome.refused:
            return []
        return [
            Gap(outcome.first.symbol, GapState.FILLED, from_ns, to_ns)
            for from_ns, to_ns in outcome.stretches[:_STRETCHES]
            if from_ns <= to_ns
        ]


async def count_refused(quarantine: QuarantineWriter, feed: str, since_ns: int) -> int:
    """Trades of *feed* that the aggregator set aside since then; of many at least so many.

    Raises:
        StreamUnavailable: Redis is away or refuses.
    """
    records = await quarantine.newest(_KEPT)
    return sum(
        record.feed == feed and record.at_ns >= since_ns and record.reason not in _REFUSALS
        for record in records
    )
