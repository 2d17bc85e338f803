"""Ticks that are folded many at a time give the bars that they give one by one."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from aggregator.segments import Segments, are_worth_while
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from tests.property.aggregator.harness import Harness, oracle, plain
from tests.unit.gateway.listeners import block_of

START_NS = 1_625_280_000 * 10**9  # an edge of all timeframes
END_NS = 2**63 - 1
A, B = Symbol("X:A"), Symbol("X:B")


def tick(symbol: Symbol, trade_id: int, at_s: int, price: float, size: float) -> Tick:
    """One id is one trade; seq tells the order within a second."""
    seq = 0 if trade_id == NO_ID else trade_id
    return Tick(symbol, trade_id, price, size, START_NS + at_s * 10**9, Side.BUY, seq)


@st.composite
def streams(draw: st.DrawFn) -> list[Tick]:
    """Mostly as venues send them, with ids that count up; now and then something odd."""
    found: list[Tick] = []
    next_id = {A: 1, B: 100}
    at_s = 0
    for _ in range(draw(st.integers(1, 60))):
        symbol = draw(st.sampled_from([A, A, A, B]))
        at_s += draw(st.sampled_from([0, 0, 1, 1, 7, 45]))
        kind = draw(st.sampled_from(["next"] * 12 + ["jump", "early", "again", "without"]))
        next_id[symbol] += 5 if kind == "jump" else 1
        event_s = max(0, at_s - draw(st.integers(1, 90))) if kind == "early" else at_s
        price = draw(st.sampled_from([0.1, 100.25, 99.75, 71_856.14]))
        size = draw(st.sampled_from([1.0, 0.1, 3e-8, 1e9, 5.23512]))
        trade_id = NO_ID if kind == "without" else next_id[symbol]
        made = tick(symbol, trade_id, event_s, price, size)
        if kind == "again" and found:
            made = draw(st.sampled_from(found))
        found.append(made)
    return found


@settings(max_examples=300, deadline=None)
@given(streams(), st.integers(1, 60), st.booleans(), st.sampled_from(["", "f", "g"]))
@example([tick(A, NO_ID, n, 1.0, 0.1) for n in range(9)], 60, False, "")
@example([tick(A, n, n % 3, float(n), 0.1) for n in range(1, 9)], 60, False, "")
def test_segments(found: list[Tick], each: int, restarts: bool, other: str) -> None:
    harness = Harness()
    harness.fold([tick(A, 1, 0, 1.0, 1.0)])  # so that its latest window is known
    blocks = [found[at : at + each] for at in range(0, len(found), each)]
    for number, block in enumerate(blocks):
        harness.fold(block, feed=other if other and number % 3 == 2 else "f")
        if restarts and number % 2:
            harness.flush()
            harness.restart()
    for feed in ("f", "g"):
        harness.close(END_NS, feed=feed)
    harness.flush()

    expected = oracle([tick(A, 1, 0, 1.0, 1.0), *found])
    assert {key: plain(bar) for key, bar in harness.bars().items()} == expected


def newest(harness: Harness) -> list[Tick]:
    return sorted(harness.core.take_last_trades(), key=lambda trade: trade.symbol)


@settings(max_examples=100, deadline=None)
@given(streams())
def test_the_newest_trades_are_the_same(found: list[Tick]) -> None:
    together, apart = Harness(), Harness()
    together.fold(found)
    for one in found:
        apart.fold([one])

    assert newest(together) == newest(apart)


def test_few_ticks_a_symbol_and_values_beyond_all_markets_go_one_by_one() -> None:
    usual = [tick(A, n, n, 1e100, 1e100) for n in range(4)]

    assert are_worth_while(block_of(usual))
    assert not are_worth_while(block_of([*usual, tick(B, 1, 1, 1.0, 1.0)]))
    assert not are_worth_while(block_of([*usual, tick(A, 9, 9, 1e200, 1.0)]))


def test_ticks_of_several_minutes_are_cut_where_a_minute_begins_unless_ids_are_out_of_order() -> (
    None
):
    counting = [tick(A, n, 25 * n, 1.0, 1.0) for n in range(1, 8)]
    jumping = [tick(B, 10 * n, 25 * n, 1.0, 1.0) for n in range(1, 8)]

    found = list(Segments(block_of([*counting, *jumping])))

    assert [(s.symbol_index, s.run, s.ticks) for s in found] == [
        (0, (1, 2), 2), (0, (3, 4), 2), (0, (5, 7), 3), (1, None, 7),
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.integers(1, 70))
def test_a_new_minute_of_a_feed_needs_no_other_way(ticks: int, each: int) -> None:
    found = [tick(A, n, 2 * n, float(n), 0.1) for n in range(1, ticks + 1)]
    harness = Harness()
    for at in range(0, ticks, each):
        harness.fold(found[at : at + each], feed="fg"[at // each % 2])
    for feed in "fg":
        harness.close(END_NS, feed=feed)
    harness.flush()

    assert {key: plain(bar) for key, bar in harness.bars().items()} == oracle(found)
