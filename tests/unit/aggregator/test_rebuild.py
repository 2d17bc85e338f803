"""Rebuilding what is in memory, edge by edge; what is stored is tested with the property."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from aggregator.rebuilder import Rebuilder
from aggregator.window import Window
from core.market.notice import Gap, GapState
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from storage.rebuilds import RebuildReport, RebuildRequest
from tests.property.aggregator.deployment import Deployment, done
from tests.property.aggregator.harness import oracle, plain

START_NS = 1_625_279_400 * 10**9
A = Symbol("X:A")
QUARTER = (START_NS + MINUTE_NS, START_NS + 2 * MINUTE_NS)  # is taken as all of it


def tick(number: int, at_s: float) -> Tick:
    return Tick(A, number, float(number), 1.0, START_NS + int(at_s * 10**9))


LATER = tick(9, 361)
TICKS = [tick(1, 1), tick(2, 30), tick(3, 61), tick(4, 130), tick(5, 190)]


def deployment() -> Deployment:
    """Three minutes are closed, and not flushed; one is open, and its parents."""
    made = Deployment()
    made.hand_over()
    made.store()  # the log begins
    made.publish(TICKS)
    made.fold()
    return made


def windows(made: Deployment) -> Mapping[tuple[Timeframe, int], Window]:
    return made.state.core.symbols[A].windows


def bars_at_the_end(made: Deployment) -> Mapping[object, object]:
    made.fold()
    made.close()
    made.hand_over()
    made.store()
    return {key: plain(bar) for key, bar in made.stored.bars().items()}


def marked(made: Deployment) -> list[int]:
    """Seconds from START_NS of the minutes with a gap."""
    return sorted(
        (bar.start_ns - START_NS) // 10**9
        for bar in made.stored.bars().values()
        if bar.gap and bar.timeframe is Timeframe.MIN_1
    )


def test_what_is_in_memory_is_made_good_with_its_open_parents() -> None:
    made = deployment()
    for timeframe in Timeframe:
        windows(made)[timeframe, START_NS].high = 99.0

    found = made.rebuild(A, *QUARTER)

    assert [(bar.timeframe, bar.start_ns) for bar in found.report.changed] == [
        (Timeframe.MIN_1, START_NS)
    ]
    (changed,) = found.report.changed
    assert changed.before is not None
    assert (changed.before.high, changed.after.high) == (99.0, 2.0)
    assert (found.report.same, found.report.open) == (2, 1)
    made.publish([tick(6, 200), tick(7, 2)])
    assert bars_at_the_end(made) == oracle([*TICKS, tick(6, 200), tick(7, 2)])


def test_the_newest_minute_may_be_the_one_that_is_made_good() -> None:
    made = deployment()
    made.close()
    windows(made)[Timeframe.MIN_1, START_NS + 3 * MINUTE_NS].low = 0.5

    found = made.rebuild(A, *QUARTER)
    made.publish([tick(8, 191)])

    assert len(found.report.changed) == 1
    assert bars_at_the_end(made) == oracle([*TICKS, tick(8, 191)])


def test_the_mark_of_a_gap_stays_and_comes_back() -> None:
    made = deployment()
    for at_s in (10, 70):
        times = (START_NS + at_s * 10**9, START_NS + (at_s + 5) * 10**9)
        made.state.core.heed(Gap(A, GapState.LOST, *times, at_s, at_s + 1))
    made.supply()
    windows(made)[Timeframe.MIN_1, START_NS].high = 99.0
    made.rebuild(A, *QUARTER)
    bars_at_the_end(made)
    assert marked(made) == [0, 60]
    del made.stored.rows[A, Timeframe.MIN_1, START_NS + MINUTE_NS]
    made.kill()

    made.rebuild(A, *QUARTER)
    bars_at_the_end(made)

    assert marked(made) == [0, 60]


def test_a_bar_that_the_log_has_no_tick_of_stays() -> None:
    made = deployment()
    bars_at_the_end(made)
    made.stored.log.clear()
    before = made.stored.bars()
    made.kill()

    report = made.rebuild(A, *QUARTER).report

    assert (report.without_ticks, report.changed) == (4, ())
    assert made.stored.bars() == before


def dropped(*minutes: int) -> Deployment:
    """All bars are stored; 1-minute bars went by age."""
    made = deployment()
    made.publish([LATER])
    bars_at_the_end(made)
    for minute in minutes:
        del made.stored.rows[A, Timeframe.MIN_1, START_NS + minute * MINUTE_NS]
    made.kill()
    return made


def spoil(made: Deployment, timeframe: Timeframe, minute: int, *, trades: int = 0) -> None:
    """Another price in a stored bar, and some *trades* more."""
    key = (A, timeframe, START_NS + minute * MINUTE_NS)
    row = made.stored.rows[key]
    made.stored.rows[key] = replace(
        row, bar=replace(row.bar, high=99.0, trades=row.bar.trades + trades)
    )


def changed(report: RebuildReport) -> list[tuple[str, int]]:
    """Timeframes and minutes."""
    return [(bar.timeframe.value, (bar.start_ns - START_NS) // MINUTE_NS) for bar in report.changed]


def test_bars_whose_minutes_went_by_age_stay_where_the_log_has_no_ticks_of_them() -> None:
    made = dropped(0, 1, 2, 3, 6)
    made.stored.log.clear()
    before = made.stored.bars()

    report = made.rebuild(A, *QUARTER).report
    bars_at_the_end(made)

    assert (report.without_minutes, report.uncovered, report.changed) == (3, 0, ())
    assert made.stored.bars() == before


def test_a_minute_is_made_good_and_a_bar_that_has_others_without_ticks_stays() -> None:
    made = dropped(0, 1, 2, 3)
    before = made.stored.bars()
    made.stored.log = {
        key: slot for key, slot in made.stored.log.items() if slot.from_ns == LATER.event_ns
    }
    spoil(made, Timeframe.MIN_1, 6)

    report = made.rebuild(A, *QUARTER).report
    made.hand_over()
    made.store()

    assert (report.without_minutes, changed(report)) == (2, [("1Min", 6)])
    key = (A, Timeframe.MIN_1, START_NS + 6 * MINUTE_NS)
    assert made.stored.bars() == before | {key: replace(before[key], rev=1)}


def test_minutes_that_went_by_age_are_made_again_where_the_log_has_their_ticks() -> None:
    made = dropped(0, 2)
    spoil(made, Timeframe.MIN_15, 0)

    report = made.rebuild(A, *QUARTER).report

    assert (report.without_minutes, report.same) == (0, 3)
    assert changed(report) == [("1Min", 0), ("1Min", 2), ("15Min", 0)]
    assert bars_at_the_end(made) == oracle([*TICKS, LATER])


def test_a_bar_with_too_many_trades_is_made_good_though_some_of_its_minutes_had_none() -> None:
    made = dropped()
    for timeframe, minute in ((Timeframe.MIN_5, 0), (Timeframe.MIN_5, 5), (Timeframe.MIN_15, 0)):
        spoil(made, timeframe, minute, trades=3)

    report = made.rebuild(A, *QUARTER).report

    assert (report.without_minutes, report.same) == (0, 5)
    assert changed(report) == [("5Min", 0), ("5Min", 5), ("15Min", 0)]
    assert bars_at_the_end(made) == oracle([*TICKS, LATER])


def test_a_minute_that_is_made_again_does_not_stand_for_those_that_are_not() -> None:
    made = dropped(0, 1, 2, 3, 6)
    made.stored.log = {
        key: slot for key, slot in made.stored.log.items() if slot.from_ns != LATER.event_ns
    }

    report = made.rebuild(A, *QUARTER).report

    assert changed(report) == [("1Min", minute) for minute in range(4)]
    assert report.without_minutes == 2  # the second 5 minutes, and all 15


def test_bars_from_before_the_log_are_counted_and_left() -> None:
    made = deployment()
    bars_at_the_end(made)
    made.stored.covered = START_NS + 1
    made.kill()

    assert made.rebuild(A, *QUARTER).report.uncovered == 4
    made.stored.covered = None
    assert made.rebuild(A, *QUARTER).report == RebuildReport(uncovered=4)


class Asked:
    """Requests from a list, and their answers."""

    def __init__(self, *requests: RebuildRequest) -> None:
        self.requests, self.answers = list(requests), dict[int, RebuildReport]()

    async def next(
        self, shards: Sequence[int], *, without: Sequence[int] = ()
    ) -> RebuildRequest | None:
        return next((each for each in self.requests if each.number not in without), None)

    async def answer(self, number: int, report: RebuildReport) -> None:
        self.answers[number] = report
        self.requests = [each for each in self.requests if each.number != number]


def test_an_answer_waits_for_the_flush_and_a_lost_shard_gives_none() -> None:
    made = deployment()
    windows(made)[Timeframe.MIN_1, START_NS].high = 99.0
    asked = Asked(*[RebuildRequest(n, 0, A, *QUARTER, False) for n in (1, 2)])
    rebuilder = Rebuilder(requests=asked, log=made.stored, store=made.stored)

    done(rebuilder.serve({0: made.state}))  # nothing was asked yet
    done(rebuilder.look({0: made.state}, {}))
    done(rebuilder.serve({0: made.state}))
    done(rebuilder.look({0: made.state}, {0: 1}))
    assert asked.answers == {}
    done(rebuilder.serve({}))  # the second comes when the shard is lost
    made.hand_over()
    made.store()
    done(rebuilder.look({0: made.state}, {0: 2}))
    assert [len(report.changed) for report in asked.answers.values()] == [1]

    done(rebuilder.serve({0: made.state}))
    done(rebuilder.look({}, {}))

    assert list(asked.answers) == [1]
    assert [each.number for each in asked.requests] == [2]  # its new owner finds it
