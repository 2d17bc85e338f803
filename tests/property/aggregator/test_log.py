"""The log of ticks has exactly what the bars have, whatever is late, repeated or killed when."""

from collections import Counter

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from tests.property.aggregator.deployment import Deployment
from tests.property.aggregator.harness import oracle, plain

HOUR_NS = 60 * MINUTE_NS
START_NS = 1_625_280_000 * 10**9
A, B = Symbol("X:A"), Symbol("X:B")


@st.composite
def ticks(draw: st.DrawFn) -> Tick:
    """Over half a day, so that ids are forgotten; one id is one trade. Equal times are many."""
    number = draw(st.integers(1, 60))
    event_ns = START_NS + number // 5 * HOUR_NS + number % 5 // 2 * MINUTE_NS
    symbol = draw(st.sampled_from([A, B]))
    if draw(st.integers(0, 9)):
        return Tick(symbol, number, float(number), 0.1 * number, event_ns)
    return Tick(symbol, NO_ID, draw(st.sampled_from([0.5, 1.5])), 1.0, event_ns)


step = st.one_of(
    st.lists(ticks(), min_size=1, max_size=8),
    st.lists(ticks(), min_size=9, max_size=16),  # enough of a symbol to be folded in bulk
    st.sampled_from(["fold", "fold", "hand over", "hand over", "store", "store", "kill"]),
)


def run(steps: list) -> tuple[Deployment, list[Tick]]:
    """A deployment after *steps*, all stored; and every tick that was published."""
    deployment, published = Deployment(), list[Tick]()
    for item in steps:
        match item:
            case "fold":
                deployment.fold()
            case "hand over":
                deployment.hand_over()
            case "store":
                deployment.store()
            case "kill":
                deployment.kill()
            case some:
                published += some
                deployment.publish(some)
    deployment.fold()
    deployment.close()
    settle(deployment)
    return deployment, published


def settle(deployment: Deployment) -> None:
    deployment.hand_over()
    for _ in range(100):
        deployment.store()


def once(published: list[Tick]) -> Counter[Tick]:
    """Each trade with an id once."""
    found = Counter(published)
    return Counter({tick: 1 if tick.trade_id != NO_ID else found[tick] for tick in found})


@settings(max_examples=150, deadline=None)
@given(st.lists(step, max_size=30))
def test_the_log_and_the_bars_have_every_trade_once(steps: list) -> None:
    deployment, published = run(steps)

    logged = deployment.stored.logged()
    bars = {key: plain(bar) for key, bar in deployment.stored.bars().items()}
    assert Counter(logged) == once(published)
    assert bars == oracle(logged)  # in the order of the log, which decides among equal times
    assert deployment.unverifiable == []


@settings(max_examples=25, deadline=None)
@given(st.lists(step, max_size=20), st.data())
def test_a_rebuild_makes_good_what_was_spoilt_and_nothing_else(
    steps: list, data: st.DataObject
) -> None:
    deployment, _ = run(steps)
    stored, before = deployment.stored, dict(deployment.stored.rows)
    keys = sorted(key for key in before if key[0] == A)
    spoilt = data.draw(st.sets(st.sampled_from(keys)) if keys else st.just(set()))
    for key in spoilt:
        row = stored.rows.pop(key)
        if data.draw(st.booleans()):
            bar = msgspec.structs.replace(row.bar, high=1e6)
            stored.rows[key] = msgspec.structs.replace(row, bar=bar)
    deployment.kill()  # nothing of it is in memory any more

    found = deployment.rebuild(A, START_NS, START_NS + 15 * HOUR_NS)
    settle(deployment)

    assert {(A, bar.timeframe, bar.start_ns) for bar in found.report.changed} == spoilt
    assert {key: plain(row.bar) for key, row in stored.rows.items()} == {
        key: plain(row.bar) for key, row in before.items()
    }
    again = deployment.rebuild(A, START_NS, START_NS + 15 * HOUR_NS)
    assert again.report.changed == ()
    minutes = [key for key in keys if key[1] is Timeframe.MIN_1]
    assert again.report.same == len(minutes)


def test_hours_late_ones_are_looked_up() -> None:
    """The property above would be empty otherwise."""
    trades = [Tick(A, n, float(n), 1.0, START_NS + n * 2 * HOUR_NS) for n in range(1, 6)]
    steps: list = [item for tick in trades for item in ([tick], "fold", "hand over", "store")]
    late = Tick(A, 99, 9.0, 1.0, trades[0].event_ns + 1)

    deployment, _ = run([*steps, [trades[0], late], "fold"])

    assert deployment.looked_up == 2
    assert Counter(deployment.stored.logged()) == Counter([*trades, late])
