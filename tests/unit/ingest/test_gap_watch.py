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
