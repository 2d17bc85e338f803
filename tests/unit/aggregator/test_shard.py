"""Edges of the shard core that a reader should see spelled out."""

from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from tests.property.aggregator.harness import Harness

START_NS = (1_625_278_500 + 300) * 10**9  # on a 5-minute edge, not on a 15-minute one
SYMBOL = Symbol("X:A")


def tick(at_s: float, price: float = 1.0, *, trade_id: int = NO_ID, size: float = 1.0) -> Tick:
    seq = 0 if trade_id == NO_ID else trade_id
    return Tick(SYMBOL, trade_id, price, size, START_NS + int(at_s * 1e9), seq=seq)


def closed(harness: Harness) -> list[tuple[str, int, float, int, int]]:
    """timeframe, start in seconds, close, trades, revision of what a flush takes."""
    return [
        (b.timeframe.value, (b.start_ns - START_NS) // 10**9, b.close, b.trades, b.rev)
        for b in harness.flush()
    ]


def test_a_window_closes_when_the_watermark_reaches_its_end_not_before() -> None:
    harness = Harness()
    harness.fold([tick(0)])

    harness.close(START_NS + MINUTE_NS - 1)
    assert closed(harness) == []
    harness.close(START_NS + MINUTE_NS)
    assert closed(harness) == [("1Min", 0, 1.0, 1, 0)]


def test_a_tick_on_the_edge_belongs_to_the_later_window() -> None:
    harness = Harness()
    harness.fold([tick(59.999999999), tick(60)])
    harness.close(START_NS + 2 * MINUTE_NS)

    assert closed(harness) == [("1Min", 0, 1.0, 1, 0), ("1Min", 60, 1.0, 1, 0)]


def test_a_late_tick_revises_the_minute_and_its_closed_parents_also_after_they_left_memory() -> (
    None
):
    harness = Harness()
    harness.fold([tick(0, 5.0)])
    harness.close(START_NS + 60 * MINUTE_NS)
    harness.flush()
    assert not harness.core.symbols[SYMBOL].windows  # all evicted, the newest one too

    harness.fold([tick(1, 7.0)])
    harness.close(START_NS + 60 * MINUTE_NS)

    assert closed(harness) == [
        ("1Min", 0, 7.0, 2, 1),
        ("5Min", 0, 7.0, 2, 1),
        ("15Min", -300, 7.0, 2, 1),
    ]


def test_a_window_whose_flush_is_not_committed_stays_in_memory() -> None:
    harness = Harness()
    harness.fold([tick(0, 5.0)])
    harness.close(START_NS + 60 * MINUTE_NS)
    harness.flush(commit=False)

    harness.fold([tick(1, 7.0)])

    assert closed(harness)[0] == ("1Min", 0, 7.0, 2, 1)


def test_several_late_ticks_before_a_flush_are_one_revision() -> None:
    harness = Harness()
    harness.fold([tick(0)])
    harness.close(START_NS + MINUTE_NS)
    harness.flush()

    harness.fold([tick(1), tick(2), tick(3)])

    assert closed(harness) == [("1Min", 0, 1.0, 4, 1)]
    assert harness.core.late == 3


def test_a_late_tick_in_a_closed_minute_shows_in_the_running_parents() -> None:
    harness = Harness()
    harness.fold([tick(0)])
    harness.close(START_NS + MINUTE_NS)
    harness.core.take_running()

    harness.fold([tick(1, 9.0)])

    running = {bar.timeframe: bar.high for bar in harness.core.take_running()}
    assert running == {Timeframe.MIN_5: 9.0, Timeframe.MIN_15: 9.0}


def test_the_first_feed_whose_watermark_passes_closes_a_window_that_two_feeds_share() -> None:
    harness = Harness()
    harness.fold([tick(0, trade_id=1)], feed="slow")
    harness.fold([tick(0, trade_id=1), tick(1, trade_id=2)], feed="quick")
    harness.fold([tick(2, trade_id=3)], feed="slow")

    harness.close(START_NS + MINUTE_NS, feed="quick")

    assert closed(harness) == [("1Min", 0, 1.0, 3, 0)]
    assert harness.core.duplicates == 1

    harness.close(START_NS + MINUTE_NS, feed="slow")
    assert closed(harness) == []


def test_the_newest_trade_is_by_event_time_not_by_arrival() -> None:
    harness = Harness()
    harness.fold([tick(5, 5.0), tick(4, 4.0)])
    harness.fold([tick(3, 3.0)])

    assert [last.price for last in harness.core.take_last_trades()] == [5.0]
    assert harness.core.take_last_trades() == []


def test_a_tick_older_than_what_the_bounded_ids_still_know_is_set_aside() -> None:
    harness = Harness()
    harness.fold([tick(0, trade_id=1)])
    ids = harness.core.symbols[SYMBOL].ids
    ids.floor_ns = START_NS + 10**9

    harness.fold([tick(0.5, trade_id=2), tick(0.5)])

    assert [t.trade_id for t in harness.core.doubtful] == [2]
    harness.close(2**62)
    assert closed(harness)[0] == ("1Min", 0, 1.0, 2, 0)


def test_a_closed_parent_of_an_open_minute_outlives_a_restart() -> None:
    harness = Harness()
    harness.fold([tick(0)])
    harness.close(START_NS + 16 * MINUTE_NS)
    harness.fold([tick(70, 2.0)], feed="slow")  # a minute that only this feed's time closes
    harness.flush()
    harness.restart()

    harness.close(START_NS + 16 * MINUTE_NS, feed="slow")

    assert closed(harness) == [
        ("1Min", 60, 2.0, 1, 0),
        ("5Min", 0, 2.0, 2, 1),
        ("15Min", -300, 2.0, 2, 1),
    ]


def test_an_empty_block_changes_nothing() -> None:
    harness = Harness()
    harness.fold([])
    harness.close(2**62)

    assert closed(harness) == []
    assert harness.core.dirty == 0


def test_a_late_tick_finds_its_evicted_minute_while_the_parent_is_still_open() -> None:
    harness = Harness()
    harness.fold([tick(0, 5.0)])
    harness.close(START_NS + 4 * MINUTE_NS)
    harness.flush()

    harness.fold([tick(1, 7.0)])

    assert closed(harness) == [("1Min", 0, 7.0, 2, 1)]


def test_a_late_new_minute_finds_its_evicted_parents() -> None:
    harness = Harness()
    harness.fold([tick(0, 5.0)])
    harness.close(START_NS + 60 * MINUTE_NS)
    harness.flush()

    harness.fold([tick(60, 7.0)])
    harness.close(START_NS + 60 * MINUTE_NS)

    assert closed(harness) == [
        ("1Min", 60, 7.0, 1, 0),
        ("5Min", 0, 7.0, 2, 1),
        ("15Min", -300, 7.0, 2, 1),
    ]


def test_a_busy_minute_is_summed_exactly_in_parts() -> None:
    harness = Harness()
    harness.fold([tick(n / 20, 3.0, size=0.1) for n in range(600)])
    harness.fold([tick(n / 20, 3.0, size=0.1) for n in range(600)])
    harness.close(START_NS + MINUTE_NS)

    (bar,) = harness.flush()

    assert (bar.trades, bar.volume, bar.vwap) == (1200, 120.0, 3.0)
