from aggregator import gaps
from aggregator.gaps import SymbolGaps
from aggregator.shards import ShardState
from core.market.block import BlockMeta, decode_block, encode_block
from core.market.notice import Gap, GapState
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from core.market.timeframe import Timeframe
from tests.property.aggregator.harness import Harness

M = 60 * 10**9
START_NS = 1_700_000_100 * 10**9  # the start of a quarter of an hour
SYMBOL = Symbol("X:A")
OPEN, FILLED, LOST = GapState.OPEN, GapState.FILLED, GapState.LOST


def tick(minute: float, trade_id: int, *, symbol: Symbol = SYMBOL) -> Tick:
    return Tick(symbol, trade_id, 10.0, 1.0, START_NS + round(minute * M), seq=trade_id)


def gap(state: GapState, first: float, last: float, *, first_id: int = 1) -> Gap:
    times = START_NS + round(first * M), START_NS + round(last * M)
    return Gap(SYMBOL, state, *times, first_id, first_id)


def marks(harness: Harness) -> dict[tuple[str, float], tuple[bool, int]]:
    """Of stored bars: mark and revision, by timeframe and minute."""
    return {
        (timeframe.value, (start_ns - START_NS) / M): (bar.gap, bar.rev)
        for (_, timeframe, start_ns), bar in harness.bars().items()
    }


def minutes(harness: Harness) -> dict[float, tuple[bool, int]]:
    return {start: mark for (tf, start), mark in marks(harness).items() if tf == "1Min"}


def traded(*, until: int, step: float = 1.0) -> Harness:
    """A trade in the middle of each minute, all bars of them stored."""
    harness = Harness()
    for n in range(until):
        harness.fold([tick(n * step + 0.5, 100 + n)])
    harness.close(START_NS + round(until * step * M))
    harness.flush()
    return harness


def test_bars_that_an_open_gap_touches_are_marked_when_they_close() -> None:
    harness = Harness()
    harness.fold([tick(0.5, 1), tick(1.5, 2), tick(2.5, 5)])
    harness.heed(gap(OPEN, 1.5, 2.5, first_id=3))
    running = {bar.timeframe: bar.gap for bar in harness.core.take_running()[-2:]}
    assert running == {Timeframe.MIN_5: True, Timeframe.MIN_15: True}

    harness.close(START_NS + 15 * M)
    harness.flush()

    assert marks(harness) == {
        ("1Min", 0): (False, 0), ("1Min", 1): (True, 0), ("1Min", 2): (True, 0),
        ("5Min", 0): (True, 0), ("15Min", 0): (True, 0),
    }  # fmt: skip


def test_bars_that_are_stored_and_forgotten_are_marked_and_revised_by_that() -> None:
    harness = traded(until=30)
    assert len(harness.core.symbols[SYMBOL].windows) < 10

    harness.heed(gap(OPEN, 3.5, 5.2))
    harness.flush()

    marked = {key for key, (mark, _) in marks(harness).items() if mark}
    assert marked == {
        ("1Min", 3), ("1Min", 4), ("1Min", 5), ("5Min", 0), ("5Min", 5), ("15Min", 0),
    }  # fmt: skip
    assert {rev for key, (_, rev) in marks(harness).items() if key in marked} == {1}
    assert {rev for key, (_, rev) in marks(harness).items() if key not in marked} == {0}


def test_a_filled_gap_takes_its_marks_with_it_also_where_no_tick_came() -> None:
    harness = traded(until=30)
    harness.heed(gap(OPEN, 3.5, 5.2))
    harness.flush()
    harness.close(START_NS + 60 * M)
    harness.flush()

    harness.fold([tick(4.1, 1)])
    harness.heed(gap(FILLED, 3.5, 5.2))
    harness.flush()

    assert not any(mark for mark, _ in marks(harness).values())
    found = minutes(harness)
    assert (found[3], found[4], found[5], found[6]) == (
        (False, 2), (False, 2), (False, 2), (False, 0),
    )  # fmt: skip
    harness.heed(gap(FILLED, 3.5, 5.2))  # told twice
    assert harness.flush() == []


def test_a_lost_gap_leaves_its_marks_also_on_bars_that_come_later() -> None:
    harness = traded(until=2)
    harness.heed(gap(OPEN, 1.5, 6.5), gap(LOST, 1.5, 6.5))
    harness.fold([tick(6.5, 9), tick(3.5, 8)])
    harness.close(START_NS + 30 * M)
    harness.flush()

    assert {start for start, (mark, _) in minutes(harness).items() if mark} == {1, 3, 6}


def test_of_a_gap_that_is_filled_in_part_only_bars_of_what_is_lost_stay_marked() -> None:
    harness = traded(until=16)
    harness.heed(gap(OPEN, 1.5, 9.5))
    harness.flush()

    parts = (
        gap(FILLED, 1.5, 3.5),
        gap(LOST, 3.5, 3.6, first_id=4),
        gap(FILLED, 3.6, 6.9, first_id=5),
        gap(LOST, 6.9, 7.1, first_id=8),
        gap(FILLED, 7.1, 9.5, first_id=9),
    )
    harness.heed(*parts)
    harness.flush()

    marked = {key for key, (mark, _) in marks(harness).items() if mark}
    assert marked == {("1Min", 3), ("1Min", 6), ("1Min", 7), ("5Min", 0), ("5Min", 5), ("15Min", 0)}
    harness.heed(
        gap(OPEN, 1.5, 9.5), *parts
    )  # a process that died before it knew that it had said so
    assert harness.flush() == []


def test_of_a_gap_whose_beginning_is_lost_bars_of_the_rest_lose_their_mark() -> None:
    harness = traded(until=12)
    harness.heed(gap(OPEN, 1.5, 9.5))
    harness.flush()

    harness.heed(gap(LOST, 1.5, 2.5), gap(FILLED, 2.5, 9.5, first_id=7))
    harness.flush()

    assert {start for start, (mark, _) in minutes(harness).items() if mark} == {1, 2}


def test_blocks_lost_from_the_same_moment_on_are_marked_as_far_as_the_longest() -> None:
    harness = traded(until=12)

    harness.heed(gap(LOST, 1.5, 4.5, first_id=NO_ID), gap(LOST, 1.5, 2.5, first_id=NO_ID))
    harness.flush()

    assert {start for start, (mark, _) in minutes(harness).items() if mark} == {1, 2, 3, 4}


def test_of_two_gaps_that_overlap_each_has_to_be_filled() -> None:
    harness = traded(until=10)
    harness.heed(gap(OPEN, 1.5, 3.5), gap(OPEN, 3.5, 5.5, first_id=7))
    harness.flush()

    harness.heed(gap(FILLED, 1.5, 3.5))
    harness.flush()
    assert {start for start, (mark, _) in minutes(harness).items() if mark} == {3, 4, 5}

    harness.heed(gap(FILLED, 3.5, 5.5, first_id=7))
    harness.flush()
    assert not any(mark for mark, _ in marks(harness).values())


def test_a_span_in_which_nothing_is_missing_fills_the_gaps_that_lie_within_it() -> None:
    harness = traded(until=12)
    harness.heed(gap(LOST, 1.5, 2.5), gap(LOST, 4.5, 6.5, first_id=7), gap(LOST, 9.5, 10.5))
    harness.flush()

    harness.heed(gap(FILLED, 1.0, 5.5, first_id=NO_ID))
    harness.flush()

    marked = {start for start, (mark, _) in minutes(harness).items() if mark}
    assert marked == {4, 5, 6, 9, 10}


def test_gaps_at_the_beginning_of_a_long_span_lose_their_marks_too() -> None:
    harness = traded(until=12)
    harness.heed(gap(LOST, 1.5, 4.5), gap(LOST, 3.5, 5.5, first_id=7), gap(LOST, 9.5, 9.6))
    harness.flush()
    month = 30 * 1_440
    harness.fold([tick(month + 0.5, 999)])
    harness.close(START_NS + (month + 60) * M)
    harness.flush()

    harness.heed(gap(FILLED, 1.0, month + 0.5, first_id=NO_ID))
    harness.flush()

    assert not any(mark for mark, _ in marks(harness).values())


def test_a_span_without_a_known_gap_is_looked_at_itself() -> None:
    harness = traded(until=3)
    harness.heed(gap(LOST, 1.5, 1.6))
    harness.flush()
    rows = harness.rows
    harness = Harness()  # a checkpoint was lost
    harness.rows = rows

    harness.heed(gap(FILLED, 0.5, 2.5, first_id=NO_ID))
    harness.flush()

    assert not any(mark for mark, _ in marks(harness).values())


def test_a_gap_that_grew_is_told_once_more() -> None:
    harness = traded(until=10)
    harness.heed(gap(OPEN, 1.5, 2.5))
    harness.heed(gap(OPEN, 1.5, 4.5))
    harness.flush()
    assert {start for start, (mark, _) in minutes(harness).items() if mark} == {1, 2, 3, 4}
    harness.heed(gap(OPEN, 1.5, 4.5))
    assert harness.flush() == []

    harness.heed(gap(FILLED, 1.5, 4.5))
    harness.flush()
    assert not any(mark for mark, _ in marks(harness).values())


def test_a_restart_knows_the_gaps_and_the_marks() -> None:
    harness = Harness()
    harness.fold([tick(0.5, 1), tick(1.5, 3)])
    harness.heed(gap(OPEN, 0.5, 1.5, first_id=2))
    harness.flush()
    harness.restart()

    harness.close(START_NS + 20 * M)
    harness.flush()
    assert minutes(harness) == {0: (True, 0), 1: (True, 0)}

    harness.flush()
    harness.restart()
    harness.fold([tick(1.2, 2)])
    harness.heed(gap(FILLED, 0.5, 1.5, first_id=2))
    harness.flush()
    assert minutes(harness) == {0: (False, 1), 1: (False, 1)}


def test_a_gap_of_a_symbol_that_was_never_seen_marks_what_is_stored() -> None:
    harness = traded(until=3)
    rows = harness.rows
    harness = Harness()
    harness.rows = rows

    harness.heed(gap(OPEN, 1.5, 1.6))
    harness.flush()

    assert {start for start, (mark, _) in minutes(harness).items() if mark} == {1}
    empty = Harness()
    empty.heed(gap(OPEN, 1.5, 1.6))
    assert empty.flush() == []


def test_gaps_are_bounded_and_marks_of_forgotten_ones_stay() -> None:
    some = SymbolGaps()
    for n in range(gaps.MAX_GAPS + 1):
        some.heed(gap(LOST, n, n + 0.1, first_id=n))

    assert len(some.gaps) == gaps.MAX_GAPS
    assert some.mark(START_NS, START_NS + M, marked=True)
    assert not some.mark(START_NS, START_NS + 1, marked=False)
    assert some.heed(gap(FILLED, 0, 0.1, first_id=0)) == []


def test_a_gap_of_months_touches_the_newest_week_only() -> None:
    span = (SYMBOL, START_NS - 100 * 1_440 * M, START_NS)

    found = list(gaps.windows_of(span, newest_ns=START_NS - M))

    assert len(found) == (gaps.MAX_MINUTES + 1) + (gaps.MAX_MINUTES // 5 + 1) + 673
    assert max(start for _, start in found) == START_NS - M


def state_after(*numbers: int, grace_ns: int = 0) -> ShardState:
    """Blocks of a feed with these numbers, a minute apart, a trade of two symbols in each."""
    state = ShardState.fresh(0, token=1, keep_ids_ns=3_600 * 10**9)
    other = Symbol("Y:A")
    state.fold("other", "0-1", block(1, [tick(0.1, 1, symbol=other)]))
    supply(state)
    for number in numbers:
        ticks = [tick(number, number), tick(number, number, symbol=Symbol("X:B"))]
        some = ticks if number % 2 else ticks[:1]
        state.fold("f", f"{number}-1", block(number, some, grace_ns=grace_ns))
        supply(state)
    return state


def block(number: int, ticks: list[Tick], *, grace_ns: int = 0):
    now_ns = START_NS + number * M
    meta = BlockMeta(
        number=number, watermark_ns=now_ns - grace_ns, feed_time_ns=now_ns, sealed_ns=0
    )
    return decode_block(encode_block(meta, ticks))


def supply(state: ShardState) -> None:
    while wanted := state.core.wanted():
        state.core.supply(wanted, {}, [])


def test_blocks_that_were_gone_mark_the_bars_of_their_time_for_the_venue_of_the_feed() -> None:
    state = state_after(1, 2, 5, 6)

    state.core.close_due("f", START_NS + 30 * M)
    state.core.close_due("other", START_NS + 30 * M)
    marked = {
        (row.bar.symbol, (row.bar.start_ns - START_NS) / M)
        for row in state.core.take_rows(1)
        if row.bar.gap and row.bar.timeframe is Timeframe.MIN_1
    }

    assert marked == {("X:A", 2), ("X:A", 5), ("X:B", 5)}


def test_blocks_that_were_gone_may_have_had_trades_that_were_late_in_time() -> None:
    for grace_ns, minutes in ((0, {2, 5}), (2 * 10**9, {1, 2, 5}), (20 * M, {1, 2, 5})):
        state = state_after(0, 1, 2, 5, 6, grace_ns=grace_ns)
        state.core.close_due("f", START_NS + 30 * M)
        marked = {
            (row.bar.start_ns - START_NS) / M
            for row in state.core.take_rows(1)
            if row.bar.gap and row.bar.timeframe is Timeframe.MIN_1 and row.bar.symbol == "X:A"
        }

        assert marked == minutes


def test_blocks_that_were_gone_before_any_tick_mark_nothing() -> None:
    state = ShardState.fresh(0, token=1, keep_ids_ns=3_600 * 10**9)
    never = BlockMeta(number=1, watermark_ns=0, feed_time_ns=-(2**63), sealed_ns=0)
    state.fold("f", "1-1", decode_block(encode_block(never, [])))
    later = BlockMeta(number=5, watermark_ns=0, feed_time_ns=-(2**63), sealed_ns=0)
    assert state.fold("f", "2-1", decode_block(encode_block(later, []))) == 3
    assert state.core.wanted() is None

    assert state.fold("f", "3-1", block(9, [tick(9, 1)])) == 3
    supply(state)

    state.core.close_due("f", START_NS + 30 * M)
    assert all(row.bar.gap for row in state.core.take_rows(1))
