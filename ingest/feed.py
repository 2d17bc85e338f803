"""What a feed is made of: a source, what it may call, and what it says about itself."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from core.market.notice import Notice
from core.market.tick import NO_ID, Tick
from core.runtime.ports import Clock
from ingest.admission import Reason
from ingest.feed_clock import ClockKind
from storage.roles import FeedState, FeedStatus

log = logging.getLogger(__name__)

_MS_NS = 1_000_000
_MAX_INT64: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class WarnLimiter:
    """Lets one warning through per ``every_s`` and counts those held back."""

    def __init__(self, *, every_s: float = 10.0) -> None:
        self._every_ns = int(every_s * 1e9)
        self._next_ns: int | None = None
        self._held = 0

    def allows(self, now_ns: int) -> bool:
        """May a warning go out now? *now_ns* is monotonic."""
        if self._next_ns is not None and now_ns < self._next_ns:
            self._held += 1
            return False
        self._next_ns = now_ns + self._every_ns
        return True

    def more(self) -> str:
        """What the next warning says of those held back since the last; starts counting anew."""
        held, self._held = self._held, 0
        return f" ({held} more since the last such line)" if held else ""


def describe(tick: Tick) -> str:
    """*tick* for people, also one with numbers that no trade can have."""
    trade = "a trade without id" if tick.trade_id == NO_ID else f"trade {tick.trade_id}"
    time = f"{tick.event_ns} ns"
    if abs(tick.event_ns) < _MAX_INT64:  # 1677 to 2262, which a datetime holds
        time = (_EPOCH + timedelta(microseconds=tick.event_ns // 1_000)).isoformat()
    return f"{trade} of {tick.symbol}, price {tick.price:g}, size {tick.size:g}, event time {time}"


@dataclass(slots=True, kw_only=True)
class FeedJournal:
    """What happened on one feed: its state and its counters. Written by the feed's tasks only."""

    feed: str
    venue: str
    now_ns: Clock
    symbols: int = 0
    state: FeedState = "connecting"
    detail: str = ""
    since_ms: int = 0
    changes: int = 0  # grows with each change of state: somebody may want to know at once
    ticks: int = 0
    duplicates: int = 0
    history: int = 0
    notices: int = 0  # put on the stream: corrections, cancels, gaps
    reconnects: int = 0
    parse_errors: int = 0
    blocks: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    newest_event_ns: int = 0
    standing_by: bool = False
    """Another process publishes the feed: its report counts."""
    leases_lost: int = 0
    unpublished: int = 0  # blocks that another writer's lease kept from the streams
    replayed: int = 0
    lost: int = 0
    given_up: int = 0  # bytes of the oldest blocks, because the memory of Redis was full
    gaps_opened: int = 0
    gaps_filled: int = 0
    gaps_lost: int = 0
    gap_trades: int = 0  # missing when their gaps were opened
    filled_trades: int = 0  # taken from the venue's history
    _details: WarnLimiter = field(default_factory=WarnLimiter)

    def __post_init__(self) -> None:
        self.since_ms = self.now_ns() // _MS_NS

    def enter(self, state: FeedState, detail: str = "") -> None:
        """The feed is in *state* now, for the reason *detail*; logged when it is news.

        Reasons that change while the state does not are logged at a limited rate.
        """
        if state == self.state and detail == self.detail:
            return
        if state != self.state:
            self.since_ms = self.now_ns() // _MS_NS
        elif not self._details.allows(self.now_ns()):
            self.detail = detail
            return
        trouble = state == "failed" or (state == "connecting" and detail)
        level = logging.WARNING if trouble else logging.INFO
        log.log(level, "feed %s is %s%s", self.feed, state, f": {detail}" if detail else "")
        self.state, self.detail = state, detail
        self.changes += 1

    def stand_by(self, detail: str) -> None:
        """Another process publishes the feed; this one waits."""
        self.enter("waiting", detail)
        self.standing_by = True

    def take_over(self) -> None:
        """This process publishes the feed from now on."""
        if self.standing_by:
            self.standing_by = False
            log.info("feed %s: taken over", self.feed)
            self.enter("connecting")

    def refuse(self, reason: Reason, count: int = 1) -> None:
        """*count* ticks were quarantined."""
        self.quarantined[reason] = self.quarantined.get(reason, 0) + count

    def status(self) -> FeedStatus:
        """The journal as the status board shows it."""
        return FeedStatus(
            feed=self.feed,
            venue=self.venue,
            state=self.state,
            since_ms=self.since_ms,
            detail=self.detail,
            newest_event_ns=self.newest_event_ns,
            ticks=self.ticks,
            quarantined=dict(self.quarantined),
            duplicates=self.duplicates,
            history=self.history,
            unreadable=self.parse_errors,
            reconnects=self.reconnects,
            symbols=self.symbols,
        )


class TickOutlet(Protocol):
    """Where a source puts its ticks; :class:`ingest.publisher.Publisher` in production."""

    @property
    def position(self) -> int:
        """How far the source is published in every shard: where it goes on after a start."""
        ...

    @property
    def catch_up_until(self) -> int:
        """Up to this position the source puts one tick (or row) at a time."""
        ...

    @property
    def stored(self) -> list[tuple[int, int]]:
        """Position and feed time of the newest block of each shard, from an earlier run."""
        ...

    async def put(self, ticks: Sequence[Tick], position: int = 0) -> None:
        """Judge *ticks*, which arrived now, and take the good ones; the source is at *position*.

        Waits while the bounded hand-over to the writer is full. A source with positions puts at
        most :data:`ingest.blocks.MAX_BATCH` at a time.
        """
        ...

    async def pass_on(self, notices: Sequence[Notice]) -> None:
        """Put what a venue says of its trades behind all ticks that were put before.

        Waits as :meth:`put` does.
        """
        ...

    def quarantine(self, tick: Tick, reason: Reason, detail: str = "") -> None:
        """Keep *tick*, which is none that could be judged, for a person to look at."""
        ...

    def announce(self, ticks: Sequence[Tick]) -> None:
        """The venue named *ticks* as its newest ones; they were not delivered, and are no put."""
        ...

    def reconnected(self) -> None:
        """The next tick is the first of a new connection."""
        ...

    def go_live(self) -> None:
        """The history is over: feed time runs on between ticks from here."""
        ...

    async def lag(self) -> int | None:
        """Ticks that the slowest reader has not consumed (see :mod:`ingest.flow`).

        Of a history the aggregator is the one that matters: nobody follows it trade by trade.
        None while that is not known: no aggregator has reported yet, or Redis is away.
        """
        ...

    async def wanted(self) -> bool:
        """Is a client subscribed, at a gateway that follows this feed?"""
        ...


class TickSource(Protocol):
    """Where a feed's ticks come from."""

    @property
    def clock_kind(self) -> ClockKind: ...

    async def run(self, outlet: TickOutlet, journal: FeedJournal) -> None:
        """Put ticks into *outlet* until the feed ends, which only a replay does.

        Connections are made and lost in here; only a bug or a source that can never work
        (:class:`TickgateError`) leaves.
        """
        ...
