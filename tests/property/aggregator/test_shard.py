"""Whatever the order, the repeats, the flushes and the restarts: bars equal the oracle's."""

from hypothesis import given, settings
from hypothesis import strategies as st

from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from core.market.timeframe import MINUTE_NS
from tests.property.aggregator.harness import Harness, oracle, plain

START_NS = 1_625_280_000 * 10**9
END_NS = 2**63 - 1
half_minutes = st.integers(0, 40).map(lambda n: START_NS + n * MINUTE_NS // 2)  # on window edges
sizes = st.sampled_from([1.0, 0.1, 3e-8, 1e9, 2.5])


@st.composite
def ticks(draw: st.DrawFn) -> Tick:
    trade_id = draw(st.one_of(st.integers(1, 30), st.just(NO_ID)))
    event_ns = draw(half_minutes)
    if trade_id != NO_ID:  # one id is one trade
        event_ns, price, size = (
            START_NS + trade_id * MINUTE_NS // 2,
            float(trade_id),
            0.1 * trade_id,
        )
    else:
        price, size = float(draw(st.integers(1, 9))), draw(sizes)
    symbol = Symbol(draw(st.sampled_from(["X:A", "X:B"])))
    seq = 0 if trade_id == NO_ID else trade_id
    return Tick(symbol, trade_id, price, size, event_ns, seq=seq)


step = st.one_of(
    st.lists(ticks(), max_size=8),
    half_minutes.map(lambda ns: ("close", ns)),
    st.just(("flush", 0)),
    st.just(("hand over", 0)),
    half_minutes.map(lambda ns: ("settle", ns + 5 * MINUTE_NS)),
    st.just(("restart", 0)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(step, max_size=25))
def test_bars_equal_the_oracle_whatever_happens_in_between(steps: list) -> None:
    harness, folded, since_flush = Harness(), [], []
    for item in steps:
        match item:
            case ("close", watermark_ns):
                harness.close(watermark_ns)
            case ("hand over", _):
                harness.flush(commit=False)
            case ("flush" | "settle", watermark_ns):
                harness.close(watermark_ns)
                harness.flush()
                folded, since_flush = folded + since_flush, []
            case ("restart", _):
                if harness.state is not None:
                    harness.restart()
                    harness.fold(since_flush)  # read again from the stored position
            case batch:
                harness.fold(batch)
                since_flush += batch

    harness.close(END_NS)
    harness.flush()

    assert {k: plain(b) for k, b in harness.bars().items()} == oracle(folded + since_flush)


@settings(max_examples=200, deadline=None)
@given(st.lists(ticks(), max_size=20), st.lists(half_minutes, max_size=6))
def test_a_bar_is_published_once_and_then_only_when_it_changed(
    batch: list[Tick], watermarks: list[int]
) -> None:
    harness, published = Harness(), {}
    for at, tick in enumerate(batch):
        harness.fold([tick])
        if at < len(watermarks):
            harness.close(watermarks[at])
        for bar in harness.flush():
            key = (bar.symbol, bar.timeframe, bar.start_ns)
            before = published.get(key)
            assert bar.final
            assert bar.rev == (0 if before is None else before.rev + 1)
            assert before is None or plain(bar) != plain(before)
            published[key] = bar


@settings(max_examples=200, deadline=None)
@given(st.lists(ticks(), min_size=1, max_size=20), st.integers(0, 20))
def test_running_bars_are_what_the_ticks_so_far_give(batch: list[Tick], cut: int) -> None:
    harness = Harness()
    harness.fold(batch[:cut])
    first = {(b.symbol, b.timeframe, b.start_ns): b for b in harness.core.take_running()}
    harness.fold(batch[cut:])
    second = {(b.symbol, b.timeframe, b.start_ns): b for b in harness.core.take_running()}

    assert {k: plain(b) for k, b in first.items()} == oracle(batch[:cut])
    assert {k: plain(b) for k, b in (first | second).items()} == oracle(batch)
    assert not any(bar.final for bar in second.values())
