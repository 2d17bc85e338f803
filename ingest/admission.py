"""Admission: which ticks may enter a bar, judged by feed time. Pure."""

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.market.symbol import Symbol
from core.market.tick import LATEST_NS, LEAST_AMOUNT, MOST_AMOUNT, NO_ID, Tick
from core.market.trade_ids import TradeIds
from ingest.feed_clock import ClockKind, FeedClock

EARLIEST_NS: Final = 631_152_000 * 10**9  # 1990-01-01: nothing traded electronically before

MAX_INT64: Final = 2**63 - 1


class Reason(enum.StrEnum):
    """Why a tick was kept out; the value is the metric's label."""

    NOT_FINITE = "not_finite"
    PRICE = "price_not_positive"
    SIZE = "size_not_positive"
    OUT_OF_RANGE = "out_of_range"
    ANCIENT = "before_1990"
    FUTURE = "future"
    LATE = "late"
    ILL_FORMED = "ill_formed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """All in nanoseconds of feed time."""

    max_future_ns: int = 5 * 10**9
    max_lateness_ns: int = 24 * 3_600 * 10**9
    dedup_horizon_ns: int = 3_600 * 10**9


@dataclass(slots=True)
class Verdict:
    """What became of a batch: ``admitted`` in order, the others with their reason."""

    admitted: list[Tick]
    refused: list[tuple[Tick, Reason]] = field(default_factory=list)
    duplicates: int = 0


class Admission:
    """Judges the ticks of one feed. Owned by the feed's task.

    Known ids: one :class:`TradeIds` per symbol, each bounded; the number of symbols is bounded
    by what the feed subscribes to (a replay: by its file).
    """

    def __init__(self, clock: FeedClock, limits: AdmissionLimits) -> None:
        self._clock, self._limits = clock, limits
        # How far before and behind feed time an event surely passes, once the clock is anchored.
        self._behind_ns = limits.max_lateness_ns
        self._ahead_ns = {
            ClockKind.LIVE: limits.max_future_ns,
            ClockKind.PULLED: 0,
            ClockKind.HISTORY: 0,
            ClockKind.REPLAY: MAX_INT64,
        }[clock.kind]
        self._ids: dict[Symbol, TradeIds] = {}

    def judge(self, ticks: Sequence[Tick], *, monotonic_ns: int, wall_ns: int) -> Verdict:
        """Judge a batch that arrived together, in order, and move the feed clock.

        Args:
            ticks: as parsed; any price, size, time and id.
            monotonic_ns: when they arrived.
            wall_ns: the wall clock then, looked at for a first tick only (and for polled ones).
        """
        verdict = Verdict([])
        admit, clock = verdict.admitted.append, self._clock
        ahead_ns, behind_ns = 0 if clock.unanchored else self._ahead_ns, self._behind_ns
        feed_ns = clock.now_ns(monotonic_ns)
        for tick in ticks:
            event_ns, price, size = tick.event_ns, tick.price, tick.size
            # Nearly every tick is a plain one; any other is looked at in full.
            plain = -ahead_ns <= feed_ns - event_ns <= behind_ns and event_ns >= EARLIEST_NS
            if not (
                plain
                and LEAST_AMOUNT <= price <= MOST_AMOUNT
                and LEAST_AMOUNT <= size <= MOST_AMOUNT
            ):
                reason = self._refusal(tick, feed_ns, wall_ns)
                if reason is not None:
                    verdict.refused.append((tick, reason))
                    continue
            if event_ns > clock.newest_ns or clock.unanchored:
                if clock.unanchored:
                    clock.unanchored = self._tells_no_time(event_ns, feed_ns, wall_ns)
                clock.advance(event_ns, monotonic_ns)
                feed_ns = clock.now_ns(monotonic_ns)
            if tick.trade_id == NO_ID:
                admit(tick)
            else:
                self._judge_id(tick, verdict)
        return verdict

    def know(self, ticks: Iterable[Tick]) -> None:
        """Ticks that were published by another process, or an earlier run."""
        for tick in ticks:
            if tick.trade_id != NO_ID:
                self._known(tick.symbol).add(tick.trade_id)

    def _known(self, symbol: Symbol) -> TradeIds:
        ids = self._ids.get(symbol)
        if ids is None:
            keep_ns = self._limits.dedup_horizon_ns + self._limits.max_future_ns
            ids = self._ids[symbol] = TradeIds(keep_ns)
        return ids

    def _judge_id(self, tick: Tick, verdict: Verdict) -> None:
        ids = self._known(tick.symbol)
        ids.advance(self._clock.newest_ns)
        # An id that was forgotten here, being old, is looked up by the aggregator.
        if ids.add(tick.trade_id):
            verdict.admitted.append(tick)
        else:
            verdict.duplicates += 1

    def _tells_no_time(self, event_ns: int, feed_ns: int, wall_ns: int) -> bool:
        """Is the first tick of a connection a late one, as far as anybody can tell?

        Then the next one is looked at as a first tick, too: by the time of a late one all that is
        current would be in the future.
        """
        most_ns = self._limits.max_future_ns
        if self._clock.kind is not ClockKind.LIVE or wall_ns - event_ns <= most_ns:
            return False
        return not feed_ns <= event_ns <= feed_ns + most_ns

    def _refusal(self, tick: Tick, feed_ns: int, wall_ns: int) -> Reason | None:
        """The reason to keep *tick* out, its id apart, or None."""
        event_ns = tick.event_ns
        fault = _value_fault(tick)
        if fault is not None:
            return fault
        if event_ns <= feed_ns:  # not ahead, hence older than the plain ones
            return Reason.LATE
        return self._earliness(event_ns, feed_ns, wall_ns)

    def _earliness(self, event_ns: int, feed_ns: int, wall_ns: int) -> Reason | None:
        clock = self._clock
        if clock.kind is ClockKind.REPLAY:
            return None
        by_wall = clock.kind is not ClockKind.LIVE or clock.unanchored
        known_ns = wall_ns if by_wall else feed_ns
        return Reason.FUTURE if event_ns - known_ns > self._limits.max_future_ns else None


def _value_fault(tick: Tick) -> Reason | None:
    if not (math.isfinite(tick.price) and math.isfinite(tick.size)):
        return Reason.NOT_FINITE
    if tick.price <= 0:
        return Reason.PRICE
    if tick.size <= 0:
        return Reason.SIZE
    if not (LEAST_AMOUNT <= tick.price <= MOST_AMOUNT and LEAST_AMOUNT <= tick.size <= MOST_AMOUNT):
        return Reason.OUT_OF_RANGE
    if tick.event_ns >= LATEST_NS:
        return Reason.FUTURE
    return Reason.ANCIENT if tick.event_ns < EARLIEST_NS else None
