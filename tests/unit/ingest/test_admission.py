import math

import pytest

from core.market.tick import NO_ID, Tick
from ingest.admission import Admission, AdmissionLimits, Reason, Verdict
from ingest.feed_clock import NEVER, ClockKind, FeedClock
from tests.unit.ingest.ticks import START_NS, S, tick

HOUR = 3_600
LIMITS = AdmissionLimits()


class Feed:
    """An admission whose clocks the test turns; times in seconds after the start."""

    def __init__(self, kind: ClockKind = ClockKind.LIVE, limits: AdmissionLimits = LIMITS) -> None:
        self.clock = FeedClock(kind)
        self.admission = Admission(self.clock, limits)

    def judge(self, *ticks: Tick, at_s: float = 0.0, wall_s: float = 0.0) -> Verdict:
        wall_ns = START_NS + round(wall_s * S)
        return self.admission.judge(ticks, monotonic_ns=round(at_s * S), wall_ns=wall_ns)


def reasons(verdict: Verdict) -> list[Reason]:
    return [reason for _, reason in verdict.refused]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (tick(price=math.nan), Reason.NOT_FINITE),
        (tick(size=math.inf), Reason.NOT_FINITE),
        (tick(price=0.0), Reason.PRICE),
        (tick(price=-1.0), Reason.PRICE),
        (tick(size=0.0), Reason.SIZE),
        (tick(size=-0.5), Reason.SIZE),
        (tick(price=1e300, size=1e10), Reason.OUT_OF_RANGE),
        (tick(size=1e101), Reason.OUT_OF_RANGE),
        (tick(price=5e-324), Reason.OUT_OF_RANGE),
        (Tick(tick().symbol, 1, 1.0, 1.0, 631_152_000 * 10**9 - 1), Reason.ANCIENT),
        (Tick(tick().symbol, 1, 1.0, 1.0, 2**63 - 1), Reason.FUTURE),
    ],
)
def test_a_tick_with_impossible_numbers_is_refused_with_its_reason(
    wrong: Tick, reason: Reason
) -> None:
    for kind in ClockKind:
        feed = Feed(kind)

        verdict = feed.judge(wrong, tick(1, trade_id=2), wall_s=1)

        assert reasons(verdict) == [reason]
        assert verdict.admitted == [tick(1, trade_id=2)]


def test_what_an_earlier_run_published_is_a_repeat() -> None:
    feed = Feed()
    feed.admission.know([tick(0, trade_id=7), tick(0, trade_id=NO_ID)])

    verdict = feed.judge(tick(0, trade_id=7), tick(0, trade_id=8), tick(0, trade_id=NO_ID))

    assert verdict.admitted == [tick(0, trade_id=8), tick(0, trade_id=NO_ID)]
    assert verdict.duplicates == 1


def test_a_refused_tick_moves_no_clock_and_spends_no_id() -> None:
    feed = Feed()

    feed.judge(tick(0, trade_id=7, price=-1.0))

    assert feed.clock.newest_ns == NEVER
    assert feed.judge(tick(0, trade_id=7)).admitted


def test_a_first_live_tick_is_checked_against_the_wall_clock() -> None:
    assert reasons(Feed().judge(tick(5.1), wall_s=0)) == [Reason.FUTURE]
    assert Feed().judge(tick(5), wall_s=0).admitted
    assert Feed().judge(tick(0), wall_s=10 * HOUR).admitted  # an old one is not suspicious


def test_later_live_ticks_are_checked_against_feed_time_not_the_wall_clock() -> None:
    feed = Feed()
    feed.judge(tick(0), at_s=0, wall_s=0)

    assert reasons(feed.judge(tick(5.1, trade_id=2), at_s=0, wall_s=100)) == [Reason.FUTURE]
    assert feed.judge(tick(15, trade_id=3), at_s=10, wall_s=-100).admitted


def test_the_first_tick_of_a_new_connection_may_be_far_ahead_of_feed_time() -> None:
    feed = Feed()
    feed.judge(tick(0), at_s=0, wall_s=0)
    feed.clock.reconnected()

    verdict = feed.judge(tick(HOUR, trade_id=2), tick(HOUR + 6, trade_id=3), wall_s=HOUR)

    assert verdict.admitted == [tick(HOUR, trade_id=2)]
    assert reasons(verdict) == [Reason.FUTURE]


def test_a_first_tick_that_is_late_does_not_make_current_ones_future() -> None:
    feed = Feed()

    assert feed.judge(tick(0), at_s=0, wall_s=600).admitted
    assert feed.judge(tick(600, trade_id=2), at_s=1, wall_s=601).admitted
    late = feed.judge(tick(606.1, trade_id=3), at_s=1, wall_s=700)
    assert reasons(late) == [Reason.FUTURE]


def test_a_late_tick_right_after_a_restart_does_not_make_current_ones_future() -> None:
    feed = Feed()
    feed.clock.advance(START_NS, monotonic_ns=0)  # as the last stored block says
    feed.clock.reconnected()

    assert feed.judge(tick(-30), at_s=0, wall_s=600).admitted
    assert feed.judge(tick(600, trade_id=2), at_s=0, wall_s=600).admitted


def test_every_pulled_tick_is_checked_against_the_wall_clock() -> None:
    feed = Feed(ClockKind.PULLED)

    verdict = feed.judge(tick(0), tick(1_000, trade_id=2), tick(1_006, trade_id=3), wall_s=1_000)

    assert verdict.admitted == [tick(0), tick(1_000, trade_id=2)]
    assert reasons(verdict) == [Reason.FUTURE]


def test_a_replay_knows_no_future_and_its_time_does_not_run_between_ticks() -> None:
    feed = Feed(ClockKind.REPLAY)

    feed.judge(tick(0), tick(500_000, trade_id=2))

    assert feed.clock.now_ns(10**15) == START_NS + 500_000 * S


def test_lateness_is_judged_by_feed_time() -> None:
    feed = Feed()
    feed.judge(tick(48 * HOUR), wall_s=48 * HOUR)

    assert feed.judge(tick(47 * HOUR, trade_id=2)).admitted
    assert feed.judge(tick(24.1 * HOUR, trade_id=3)).admitted  # the aggregator looks it up
    assert feed.judge(tick(24.1 * HOUR, trade_id=NO_ID)).admitted
    assert reasons(feed.judge(tick(23.9 * HOUR, trade_id=4))) == [Reason.LATE]
    assert reasons(feed.judge(tick(23.9 * HOUR, trade_id=NO_ID))) == [Reason.LATE]


def test_an_id_counts_once_per_symbol_and_ticks_without_one_always() -> None:
    feed = Feed()

    verdict = feed.judge(
        tick(trade_id=5), tick(trade_id=5), tick(trade_id=5, symbol="X:B"),
        tick(trade_id=NO_ID), tick(trade_id=NO_ID),
    )  # fmt: skip

    assert len(verdict.admitted) == 4
    assert verdict.duplicates == 1


def test_feed_time_runs_on_between_live_events_and_never_before_the_first() -> None:
    clock = FeedClock(ClockKind.LIVE)
    assert clock.now_ns(5) == NEVER

    clock.advance(100, monotonic_ns=10)
    clock.advance(90, monotonic_ns=20)

    assert clock.now_ns(30) == 120
    assert clock.now_ns(5) == 100  # a monotonic time from before the event is no reason to go back
