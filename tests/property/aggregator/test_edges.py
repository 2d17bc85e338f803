"""Edges that were found by hand, each once: a restart, repeats, cancels."""

import pytest

from aggregator.imported import is_imported
from aggregator.window import Window
from core.market.notice import Cancel
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from tests.property.aggregator.harness import Harness
from tests.property.aggregator.test_amendments import START_NS, SYMBOLS, World

SYMBOL = SYMBOLS[0]
S_NS = 10**9


def trade(number: int, at_ns: int, price: float = 100.0, size: float = 2.0) -> Tick:
    return Tick(SYMBOL, number, price, size, at_ns, seq=number)


@pytest.mark.parametrize("restart", [False, True])
def test_a_minute_that_closes_after_a_restart_is_still_one_of_ticks(restart: bool) -> None:
    folding = Harness()
    folding.fold([trade(1, 0)])
    folding.flush()
    for first in (10, 20):  # segments, whose sums have as many parts as the other symbol's need
        others = [Tick(SYMBOLS[1], n, 100.1, 0.1, n, seq=n) for n in range(first, first + 5)]
        folding.fold([*(trade(n, n) for n in range(first, first + 5)), *others])
    folding.flush()
    if restart:
        folding.restart()
    folding.close(2 * MINUTE_NS)
    folding.flush()

    minutes = [row for key, row in folding.rows.items() if key[1] is Timeframe.MIN_1]
    assert len(minutes) == 2
    assert not any(is_imported(Window.from_row(row)) for row in minutes)


def test_the_last_trade_is_the_newest_by_time_not_the_one_that_came_last() -> None:
    folding = Harness()
    folding.fold([trade(1, 0), Tick(SYMBOLS[1], 1, 1.0, 1.0, 0)])
    for first, at_ns in ((10, 1_000), (20, 500)):
        numbers = range(first, first + 5)
        others = [Tick(SYMBOLS[1], n, 100.1, 0.1, at_ns + n, seq=n) for n in numbers]
        folding.fold([*(trade(n, at_ns + n) for n in numbers), *others])

    assert {last.trade_id for last in folding.core.take_last_trades()} == {14}


def test_repeats_that_another_feed_tells_in_the_next_minute_open_no_window() -> None:
    folding = Harness()
    edge_ns = 1_000 * 15 * MINUTE_NS
    folding.fold([trade(n, edge_ns - S_NS + n) for n in range(1, 5)])
    folding.fold([trade(n, edge_ns) for n in range(1, 5)], feed="g")
    for minutes in range(1, 100):
        for feed in ("f", "g"):
            folding.close(edge_ns + minutes * 60 * MINUTE_NS, feed=feed)
        folding.flush()

    assert folding.core.symbols[SYMBOL].windows == {}
    assert folding.core.duplicates == 4


async def test_running_bars_without_a_trade_left_show_the_last_price() -> None:
    world = World()
    await world.block([trade(1, START_NS + S_NS)], [])
    world.state.core.take_running()
    await world.block([], [Cancel(SYMBOL, START_NS + 2 * S_NS, 1, 100.0, 2.0)])

    bars = world.state.core.take_running()

    assert {bar.timeframe for bar in bars} == set(Timeframe)
    assert {(bar.open, bar.high, bar.low, bar.close, bar.trades) for bar in bars} == {
        (100.0, 100.0, 100.0, 100.0, 0)
    }


def test_running_bars_that_nobody_got_are_taken_once_more() -> None:
    folding = Harness()
    folding.fold([trade(1, 10**18)])
    bars = folding.core.take_running()
    assert folding.core.take_running() == []

    folding.core.touch(bars)

    assert sorted(folding.core.take_running(), key=str) == sorted(bars, key=str)
    folding.close(10**18 + 60 * MINUTE_NS)
    folding.core.touch(bars)
    assert folding.core.take_running() == []
    Harness().core.touch(bars)  # its shard has moved


async def test_all_open_bars_can_be_taken_once_more_and_those_that_hold_trades_alone() -> None:
    world = World()
    await world.block([trade(1, START_NS + S_NS)], [])
    before = world.state.core.take_running()

    world.state.core.touch_open()
    assert world.state.core.take_running() == before

    await world.block([], [Cancel(SYMBOL, START_NS + 2 * S_NS, 1, 100.0, 2.0)])
    world.state.core.take_running()
    world.state.core.touch_open()
    assert world.state.core.take_running() == []
    folding = Harness()
    folding.fold([trade(1, 10**18)])
    folding.close(10**18 + 60 * MINUTE_NS)
    folding.core.touch_open()
    assert folding.core.take_running() == []


@pytest.mark.parametrize("late", [False, True])
async def test_a_last_trade_that_is_cancelled_after_a_restart_is_told_anew(late: bool) -> None:
    world = World()
    await world.block([trade(7, START_NS + S_NS), trade(9, START_NS + 3 * S_NS)], [])
    world.flush(commit=True)
    await world.restart()
    if late:
        await world.block([trade(8, START_NS + 2 * S_NS)], [])
    await world.block([], [Cancel(SYMBOL, START_NS + 4 * S_NS, 9, 100.0, 2.0)])

    part = world.state.take_flush(world.committed)

    assert [(each.trade_id, each.now and each.now.trade_id) for each in part.retold] == [
        (9, 8 if late else 7)
    ]
