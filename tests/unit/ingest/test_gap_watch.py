import random
from collections.abc import Iterable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core.market.notice import Gap, GapState
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from ingest import gap_watch
from ingest.gap_watch import GapWatch, Hole, SymbolRecord
from tests.unit.ingest.ticks import START_NS, tick

S = 10**9
SYMBOL = Symbol("X:A")


def ticks(*ids: int, symbol: str = "X:A") -> list[Tick]:
    """One a second, by id."""
    return [tick(trade_id, trade_id=trade_id, symbol=symbol) for trade_id in ids]


def watching(*ids: int) -> GapWatch:
    watch = GapWatch(settle_ns=S)
    watch.see(ticks(*ids), now_ns=0)
    return watch


def missing(holes: Iterable[Hole]) -> list[tuple[int, int]]:
    return [part for hole in holes for part in hole.missing]


def test_ids_without_a_hole_and_repeated_or_older_ones_are_no_gap() -> None:
    watch = watching(5, 6, 7, 6, 3, NO_ID, 8)
    watch.see([tick(trade_id=NO_ID, symbol="X:NONE")], now_ns=0)

    assert watch.due(now_ns=10 * S) == []
    assert watch.newest(SYMBOL) == 8
    assert watch.newest(Symbol("X:NONE")) is None


def test_a_hole_is_due_once_after_it_was_waited_for() -> None:
    watch = watching(1, 2, 6)

    assert watch.due(now_ns=S - 1) == []
    (hole,) = watch.due(now_ns=S)
    assert watch.due(now_ns=2 * S) == []
    assert (hole.first, hole.last, hole.trades) == (3, 5, 3)
    assert hole.notice(GapState.OPEN) == Gap(
        SYMBOL, GapState.OPEN, START_NS + 2 * S, START_NS + 6 * S, 3, 5
    )


def test_trades_that_were_overtaken_are_no_gap() -> None:
    watch = watching(1, 4, 3, 2)

    assert watch.due(now_ns=10 * S) == []
    watch.see(ticks(5), now_ns=0)
    assert watch.newest(SYMBOL) == 5


def test_what_arrives_of_an_open_gap_is_missing_no_more() -> None:
    watch = watching(1, 10)
    (hole,) = watch.due(now_ns=S)

    watch.see(ticks(5, 2, 9, 5, 1), now_ns=S)
    assert hole.missing == [(3, 4), (6, 8)]
    watch.see(ticks(3, 4, 6, 7, 8), now_ns=S)

    assert hole.missing == []
    watch.close(hole)
    watch.close(hole)
    assert hole.is_closed
    assert watch.changes()[SYMBOL] == SymbolRecord(10, START_NS + 10 * S)


def test_a_new_connection_makes_every_hole_due() -> None:
    watch = watching(1, 3)

    watch.reconnected()

    assert missing(watch.due(now_ns=0)) == [(2, 2)]


def test_a_trade_that_is_named_but_not_delivered_is_missing_with_those_before_it() -> None:
    watch = watching(1, 2)

    watch.announce([*ticks(5), *ticks(2), *ticks(9, symbol="X:NEW")], now_ns=0)
    watch.see(ticks(6), now_ns=0)

    assert missing(watch.due(now_ns=S)) == [(3, 5)]


def test_a_trade_that_was_kept_out_is_not_missing_and_proves_nothing() -> None:
    watch = watching(1)

    watch.excuse([*ticks(3), *ticks(9_000), *ticks(1), *ticks(3, symbol="X:NEW")])
    assert watch.due(now_ns=S) == []
    watch.see(ticks(5), now_ns=0)
    assert missing(watch.due(now_ns=S)) == [(2, 2), (4, 4)]

    watch.excuse(ticks(4))
    watch.see(ticks(6, 7), now_ns=0)
    assert watch.due(now_ns=9 * S) == []
    record = watch.changes()[SYMBOL]
    assert [hole.missing for hole in record.holes] == [((2, 2),)]


def test_a_hole_of_which_all_was_kept_out_is_none() -> None:
    watch = watching(1)

    watch.excuse(ticks(2, 3))
    watch.see(ticks(4), now_ns=0)

    assert watch.due(now_ns=S) == []
    assert watch.newest(SYMBOL) == 4


def test_another_process_goes_on_where_this_one_was() -> None:
    watch = watching(1, 2, 5, 6, 9)
    watch.see(ticks(7), now_ns=0)
    (record,) = watch.changes().values()
    record = msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=SymbolRecord)
    assert watch.changes() == {}
    watch.not_kept([SYMBOL])
    assert watch.changes() == {SYMBOL: record}

    other = GapWatch(settle_ns=S)
    other.resume(SYMBOL, record)
    other.see(ticks(3, 4, 8, 12), now_ns=0)  # what the streams have beyond the record

    assert other.newest(SYMBOL) == 12
    assert other.due(now_ns=0) == []
    assert missing(other.due(now_ns=S)) == [(10, 11)]


def test_remembered_holes_are_due_at_once() -> None:
    watch = watching(1, 5)
    record = watch.changes()[SYMBOL]

    other = GapWatch(settle_ns=S)
    other.resume(SYMBOL, record)

    (hole,) = other.due(now_ns=0)
    assert hole.notice(GapState.LOST) == Gap(
        SYMBOL, GapState.LOST, START_NS + S, START_NS + 5 * S, 2, 4
    )


def test_a_hole_that_was_told_and_is_filled_before_another_process_begins_is_closed_by_it() -> None:
    watch = watching(1, 4)
    assert len(watch.due(now_ns=S)) == 1
    record = watch.changes()[SYMBOL]

    other = GapWatch(settle_ns=S)
    other.resume(SYMBOL, msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=SymbolRecord))
    other.see(ticks(2, 3), now_ns=0)  # they were published; that they fill the hole was not said

    (hole,) = other.due(now_ns=0)
    assert told(hole) == [("filled", 2, 3, 1, 4)]


def test_a_hole_that_was_told_after_the_last_record_is_closed_by_the_next_process() -> None:
    watch = watching(1)
    record = watch.changes()[SYMBOL]
    watch.see(ticks(4), now_ns=0)
    (hole,) = watch.due(now_ns=S)

    other = GapWatch(settle_ns=S)
    other.resume(SYMBOL, record)
    other.see(ticks(4, 6), now_ns=0)
    other.was_told(hole.notice(GapState.OPEN))
    other.was_told(Gap(Symbol("X:UNKNOWN"), GapState.OPEN, 0, 0, 2, 3))
    other.see(ticks(2, 3, 5), now_ns=0)
    other.reconnected()

    (again,) = other.due(now_ns=0)
    assert told(again) == [("filled", 2, 3, 1, 4)]


def test_past_the_most_holes_the_newest_one_grows_and_is_told_once_more() -> None:
    watch = watching(1, *range(3, 3 + 2 * gap_watch.MAX_HOLES, 2))
    assert len(watch.due(now_ns=S)) == gap_watch.MAX_HOLES
    top = watch.newest(SYMBOL)
    assert top is not None

    watch.see(ticks(top + 3), now_ns=S)

    assert watch.due(now_ns=S) == []
    (hole,) = watch.due(now_ns=2 * S)
    assert hole.missing == [(top - 1, top - 1), (top + 1, top + 2)]
    assert hole.to_ns == START_NS + (top + 3) * S


def test_a_hole_has_a_bounded_number_of_parts() -> None:
    most = gap_watch.MAX_PARTS
    watch = watching(0, 10 * most)
    (hole,) = watch.due(now_ns=S)

    watch.see(ticks(*range(2, 4 * most, 2)), now_ns=S)
    assert len(hole.missing) == most
    assert hole.missing[-1] == (2 * most - 1, 10 * most - 1)

    for at in range(gap_watch.MAX_HOLES - 1):
        watch.see(ticks(10 * most + 2 + 2 * at), now_ns=S)
    newest = watch.due(now_ns=2 * S)[-1]
    for _ in range(most):
        top = watch.newest(SYMBOL) or 0
        watch.see(ticks(top + 2), now_ns=S)
    assert len(newest.missing) == most
    assert newest.missing[-1][1] == (watch.newest(SYMBOL) or 0) - 1

    watch.see(ticks(*range(newest.first, newest.last + 1)), now_ns=S)
    assert newest.missing == []
    watch.see(ticks((watch.newest(SYMBOL) or 0) + 2), now_ns=S)
    assert len(newest.missing) == 1


def test_names_past_the_most_are_not_watched() -> None:
    watch = GapWatch(settle_ns=S)

    watch.see((tick(symbol=f"X:S{n}") for n in range(gap_watch.MAX_SYMBOLS + 1)), now_ns=0)

    assert watch.newest(Symbol(f"X:S{gap_watch.MAX_SYMBOLS - 1}")) == 1
    assert watch.newest(Symbol(f"X:S{gap_watch.MAX_SYMBOLS}")) is None


@given(st.integers(2, 60), st.integers(0, 2**32), st.floats(0, 0.9))
def test_what_is_missing_is_what_did_not_come(count: int, seed: int, share: float) -> None:
    dice = random.Random(seed)
    came = {0, count} | {n for n in range(count) if dice.random() > share}
    order = sorted(came, key=lambda n: (n > 0, n + dice.random() * 5))
    watch = GapWatch(settle_ns=0)
    watch.see(ticks(*order), now_ns=0)

    found = missing(watch.due(now_ns=0))

    lost = {n for first, last in found for n in range(first, last + 1)}
    assert lost == set(range(count)) - came


def told(hole: Hole) -> list[tuple[str, int, int, int, int]]:
    """State, ids, and seconds of event time."""
    return [
        (gap.state.value, gap.first_id, gap.last_id, *(
            (at_ns - START_NS) // S for at_ns in (gap.from_ns, gap.to_ns)
        ))
        for gap in hole.outcome()
    ]  # fmt: skip


def hole_of(first: int, last: int) -> tuple[GapWatch, Hole]:
    watch = watching(first - 1, last + 1)
    (hole,) = watch.due(now_ns=S)
    return watch, hole


def test_a_hole_that_is_as_it_was_is_lost_as_a_whole_and_one_without_missing_trades_is_filled() -> (
    None
):
    watch, hole = hole_of(2, 9)
    assert told(hole) == [("lost", 2, 9, 1, 10)]
    assert hole.outcome() == [hole.notice(GapState.LOST)]

    watch.see(ticks(*range(2, 10)), now_ns=S)
    assert told(hole) == [("filled", 2, 9, 1, 10)]
    assert hole.outcome() == [hole.notice(GapState.FILLED)]


def test_what_came_of_a_hole_is_filled_and_the_rest_is_lost_between_the_trades_around_it() -> None:
    watch, hole = hole_of(2, 19)

    watch.see(ticks(2, 3, 5, 6, 12, 11), now_ns=S)

    assert told(hole) == [
        ("filled", 2, 3, 1, 3), ("lost", 4, 4, 3, 5), ("filled", 5, 6, 5, 6),
        ("lost", 7, 10, 6, 11), ("filled", 11, 12, 11, 12), ("lost", 13, 19, 12, 20),
    ]  # fmt: skip


def test_a_trade_whose_time_is_in_doubt_narrows_nothing() -> None:
    watch, hole = hole_of(2, 9)

    watch.excuse(ticks(4))
    watch.see([tick(70, trade_id=7)], now_ns=S)

    assert told(hole) == [
        ("lost", 2, 3, 1, 10), ("filled", 4, 4, 1, 10), ("lost", 5, 6, 1, 10),
        ("filled", 7, 7, 1, 10), ("lost", 8, 9, 1, 10),
    ]  # fmt: skip


def test_trades_that_came_too_late_are_lost() -> None:
    watch, hole = hole_of(2, 9)

    for late in ticks(2, 3, 6):
        hole.refuse(late)
    watch.excuse(ticks(2, 3, 6))
    watch.see(ticks(4, 5, 7, 8), now_ns=S)

    assert told(hole) == [
        ("lost", 2, 3, 1, 3), ("filled", 4, 5, 3, 6), ("lost", 6, 6, 6, 6),
        ("filled", 7, 8, 6, 8), ("lost", 9, 9, 8, 10),
    ]  # fmt: skip


def test_a_hole_is_told_from_its_own_beginning_on_though_a_lost_trade_was_earlier() -> None:
    watch, hole = hole_of(2, 4)

    watch.see(ticks(2, 4), now_ns=S)
    watch.excuse(ticks(3))
    hole.refuse(tick(-5, trade_id=3))

    assert told(hole) == [("filled", 2, 2, 1, 1), ("lost", 3, 3, -5, -5), ("filled", 4, 4, -5, 5)]


def test_another_process_tells_the_same() -> None:
    watch, hole = hole_of(2, 9)
    hole.refuse(*ticks(3))
    watch.excuse(ticks(3))
    watch.see(ticks(5, 6), now_ns=S)
    (record,) = watch.changes().values()

    other = GapWatch(settle_ns=S)
    other.resume(SYMBOL, msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=SymbolRecord))
    (again,) = other.due(now_ns=0)

    assert told(again) == told(hole)
    assert again.outcome() == hole.outcome()


def test_a_record_of_a_program_that_did_not_keep_times_is_told_with_the_times_around_all() -> None:
    old = gap_watch.HoleRecord(2, 9, START_NS + S, START_NS + 10 * S, ((2, 3), (8, 9)))
    watch = GapWatch(settle_ns=S)
    watch.resume(SYMBOL, SymbolRecord(10, START_NS + 10 * S, (old,)))

    (hole,) = watch.due(now_ns=0)

    assert told(hole) == [("lost", 2, 3, 1, 10), ("filled", 4, 7, 1, 10), ("lost", 8, 9, 1, 10)]


def test_of_very_many_lost_stretches_the_last_are_told_in_one() -> None:
    watch, hole = hole_of(2, 1_001)

    watch.see(ticks(*range(3, 1_001, 2)), now_ns=S)

    lost = [part for part in told(hole) if part[0] == "lost"]
    assert len(lost) == gap_watch.MAX_TOLD
    assert lost[-2:] == [("lost", 126, 126, 125, 127), ("lost", 128, 1_001, 127, 1_002)]


def test_what_came_too_late_is_noted_in_bounds() -> None:
    _, hole = hole_of(2, 5_000)

    for late in ticks(*range(4, 4_004, 2), 2):
        hole.refuse(late)

    assert len(hole.too_late) == gap_watch.MAX_PARTS
    assert hole.too_late[-1][0] == (2, 4_002)
