"""What the amender cannot apply it says, and which trade is the last one afterwards."""

import msgspec
import pytest

from aggregator import amender, pending
from core.market.amended import Amendment
from core.market.bar import Bar
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import MINUTE_NS
from storage.rows import Retold
from tests.property.aggregator.harness import KEEP_IDS_NS
from tests.property.aggregator.test_amendments import START_NS, World, rebuilt

A = Symbol("X:A")


def tick(ident: int, minute: int = 0) -> Tick:
    at_ns = START_NS + minute * MINUTE_NS + ident * 10**6
    return Tick(A, ident, 10.0, 1.0, at_ns, Side.BUY, ident)


def off(ident: int) -> Cancel:
    return Cancel(A, START_NS, ident, 10.0, 1.0, Side.SELL)


def to(ident: int, new_id: int) -> Correction:
    return Correction(A, START_NS, ident, 10.0, 1.0, new_id, 20.0, 1.0)


def refused(world: World) -> list[tuple[int, str]]:
    return [(record.tick.trade_id, record.reason) for record in world.refused]


def retold(world: World) -> list[Retold]:
    return list(world.state.take_flush(0).retold)


async def played(*blocks: tuple[list[Tick], list[Amendment]]) -> World:
    world = World()
    for ticks, said in blocks:
        await world.block(ticks, said)
    return world


async def test_without_a_log_nothing_is_applied() -> None:
    world = World()
    world.amender.log = None

    await world.block([tick(1)], [off(1), to(1, 7)])

    assert refused(world) == [(1, "amendment_not_logged"), (1, "amendment_not_logged")]
    assert [record.detail for record in world.refused] == [
        "trade 1 of X:A is cancelled",
        "trade 1 of X:A is corrected to trade 7, price 20, size 1",
    ]
    assert [record.tick.side for record in world.refused] == [Side.SELL, Side.UNKNOWN]


async def test_ticks_that_are_not_those_of_the_bar_change_nothing() -> None:
    world = await played(([tick(1), tick(2)], []))
    minute = world.state.core.symbols[A].minute
    assert minute is not None
    minute.trades = 9

    await world.block([], [off(1)])

    assert refused(world) == [(1, "amendment_not_logged")]
    assert not world.state.core.amending


async def test_what_waited_long_for_its_trade_is_given_up() -> None:
    world = await played(([tick(1)], [off(9)]), ([tick(2)], []))
    assert world.state.core.amending == {A: None}
    assert refused(world) == []

    later = Tick(Symbol("X:B"), 1, 1.0, 1.0, START_NS + KEEP_IDS_NS + 10**9)
    await world.block([later], [])

    assert refused(world) == [(9, "amendment_unknown_trade")]
    assert not world.state.core.amending


async def test_a_corrected_last_trade_is_told_anew() -> None:
    world = await played(([tick(1), tick(2)], [to(2, 7)]))

    now = Tick(A, 7, 20.0, 1.0, tick(2).event_ns, Side.BUY, 2)
    part = world.state.take_flush(0)
    assert list(part.retold) == [Retold(A, 2, now)]
    assert list(part.last_trades) == [now]


async def test_trades_before_the_last_one_change_nothing_about_it() -> None:
    world = await played(([tick(1), tick(2)], [to(1, 7)]))

    part = world.state.take_flush(0)
    assert not part.retold
    assert list(part.last_trades) == [tick(2)]


async def test_the_trade_before_a_cancelled_last_one_is_looked_for_minutes_back() -> None:
    world = await played(([tick(1), tick(2)], []), ([tick(3, minute=90)], [off(2), off(3)]))

    assert retold(world) == [Retold(A, 3, tick(1))]
    assert world.state.core.symbols[A].last == (tick(1).event_ns, 1, 1, 10.0, 1.0, Side.BUY)


async def test_a_symbol_may_have_no_last_trade_any_more() -> None:
    world = await played(([tick(1)], [off(1)]))

    assert retold(world) == [Retold(A, 1, None)]
    assert world.state.core.symbols[A].last is None
    assert world.state.core.take_last_trades() == []


async def test_after_a_restart_the_database_is_told_as_well() -> None:
    world = await played(([tick(1), tick(2)], []))
    world.flush(commit=True)
    await world.restart()
    assert world.state.core.symbols[A].last is None

    await world.block([], [off(2)])

    assert retold(world) == [Retold(A, 2, tick(1))]


async def test_a_trade_under_the_new_id_is_known_already() -> None:
    world = await played(([tick(1)], [to(1, 7)]), ([tick(7)], []))

    assert world.state.core.duplicates == 1
    assert world.state.core.symbols[A].given_ids == {}
    (running, *_) = world.state.core.take_running()
    assert (running.trades, running.close) == (1, 20.0)


async def test_a_repeat_tells_nothing_of_when_its_trade_was() -> None:
    twice = Tick(A, 1, 10.0, 1.0, tick(1).event_ns + 3 * MINUTE_NS, Side.BUY, 1)

    world = await played(([tick(1), tick(2)], []), ([twice, tick(9), tick(9)], [off(1), off(9)]))

    bars = [row.bar for row in world.state.take_flush(0).rows]
    assert [(bar.trades, bar.start_ns) for bar in bars if bar.timeframe == "1Min"] == [
        (1, START_NS)
    ]
    assert not world.state.core.amending


async def test_the_oldest_of_too_many_that_wait_is_given_up_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending, "MAX_OF_SHARD", 2)
    other = msgspec.structs.replace(off(8), symbol=Symbol("X:B"))
    world = await played(([tick(1)], [off(9)]), ([tick(2)], [other]), ([tick(3)], [off(7)]))

    assert refused(world) == [(9, "amendment_too_many")]
    assert {symbol: len(world.state.core.symbols[symbol].pending) for symbol in (A, "X:B")} == {
        A: 1,
        "X:B": 1,
    }


async def test_what_is_asked_of_a_row_that_cannot_be_read_is_set_aside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = await played(([tick(1), tick(2)], []))
    world.flush(commit=True)
    world.database.broken_from_ns = 0

    await world.block([tick(3)], [off(1), off(77)])
    assert refused(world) == [(1, "amendment_not_logged"), (77, "amendment_not_logged")]
    assert "tick log: it is broken" in caplog.text

    world.database.broken_from_ns = None
    await world.block([], [off(2)])
    assert len(refused(world)) == 2  # the shard goes on
    assert world.state.core.symbols[A].minute is not None
    assert world.state.core.symbols[A].minute.trades == 2


async def test_a_minute_that_cannot_be_read_is_not_amended() -> None:
    world = await played(([tick(1), tick(2)], []))
    world.flush(commit=True)
    world.database.broken_from_ns = START_NS + MINUTE_NS - 1

    await world.block([tick(3)], [off(3)])

    assert refused(world) == [(3, "amendment_not_logged")]


def shown(world: World) -> dict[int, tuple[int, float]]:
    """Of each 1-minute bar that is stored: trades and close, by minute."""
    bars = [row.bar for row in world.database.rows.values()]
    return {
        (bar.start_ns - START_NS) // MINUTE_NS: (bar.trades, bar.close)
        for bar in bars
        if bar.timeframe == "1Min" and bar.trades
    }


def given_ids(world: World) -> set[int]:
    return set(world.state.core.symbols[A].given_ids)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("own_first", [True, False])
async def test_a_corrected_trade_that_came_under_its_new_id_in_another_minute_counts_once(
    own_first: bool, closed: bool, restart: bool
) -> None:
    own: tuple[list[Tick], list[Amendment]] = ([tick(7, minute=3)], [])
    corrected: tuple[list[Tick], list[Amendment]] = ([], [to(1, 7)])
    world = await played(([tick(1), tick(2), tick(3, minute=3)], []))

    for ticks, said in (own, corrected) if own_first else (corrected, own):
        if closed:
            await world.block([tick(40 + len(world.blocks), minute=20)], [])
        if restart:
            world.flush(commit=True)
            await world.restart()
        await world.block(ticks, said)
    if restart:
        world.flush(commit=True)
        await world.restart()
    await world.block([tick(7, minute=3), tick(1)], [to(1, 7)])  # all of it again
    await world.end()

    bars = shown(world)
    assert (bars[0], bars[3]) == ((2, 10.0), (1, 10.0))
    assert {bar.high for bar in highs(world, 0)} == {20.0}
    assert refused(world) == []
    assert given_ids(world) == set()
    assert await rebuilt(world) == 0


def highs(world: World, minute: int) -> list[Bar]:
    start_ns = START_NS + minute * MINUTE_NS
    return [row.bar for (_, _, at_ns), row in world.database.rows.items() if at_ns == start_ns]


async def test_a_trade_under_a_given_id_counts_once_also_when_memory_has_forgotten_it() -> None:
    world = await played(([tick(1), tick(2)], [to(1, 7)]))
    for hour in range(1, 6):
        await world.block([tick(10 + hour, minute=60 * hour)], [])
    known = world.state.core.symbols[A].ids
    assert not known.knows(2)
    assert given_ids(world) == {7}

    await world.block([tick(7, minute=301)], [])
    await world.end()

    bars = shown(world)
    assert bars[0] == (2, 10.0)
    assert 301 not in bars
    assert refused(world) == []
    assert await rebuilt(world) == 0


async def test_a_trade_that_memory_has_forgotten_is_found_when_another_is_corrected_to_it() -> None:
    world = await played(([tick(1), tick(2)], []), ([tick(7, minute=10)], []))
    for hour in range(1, 6):
        await world.block([tick(10 + hour, minute=60 * hour)], [])
    assert not world.state.core.symbols[A].ids.knows(7)

    await world.block([], [to(1, 7)])
    await world.end()

    bars = shown(world)
    assert bars[0] == (2, 10.0)
    assert 10 not in bars
    assert given_ids(world) == set()
    assert await rebuilt(world) == 0


async def test_a_correction_to_a_trade_that_is_in_a_bar_and_in_no_log_is_set_aside() -> None:
    world = await played(([tick(7, minute=3)], []))
    for _ in range(2):  # after the second what the first has stored leaves memory
        world.flush(commit=True)
    world.database.log.clear()

    await world.block([tick(1)], [to(1, 7)])
    await world.end()

    assert refused(world) == [(1, "amendment_not_logged")]
    assert shown(world) == {0: (1, 10.0), 3: (1, 10.0)}


@pytest.mark.parametrize("case", ["broken", "not kept", "incomplete"])
async def test_a_trade_of_its_own_that_cannot_be_told_from_a_corrected_one_is_set_aside(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = await played(([tick(1), tick(2)], [to(1, 7)]))
    world.flush(commit=True)
    if case == "broken":
        world.database.broken_from_ns = 0
    elif case == "not kept":
        world.amender.log = None
    else:
        minute = world.state.core.symbols[A].minute
        assert minute is not None
        minute.trades = 9

    await world.block([tick(7, minute=3), tick(8, minute=3)], [])

    assert refused(world) == [(7, "amendment_own_trade")]
    assert "trades [7] of X:A count beside" in caplog.text
    assert given_ids(world) == set()


async def test_given_ids_are_watched_in_bounds_and_it_is_said_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(amender, "MAX_GIVEN", 2)
    world = await played(([tick(1), tick(2), tick(3)], [to(1, 7), to(2, 8), to(3, 9)]))

    assert given_ids(world) == {8, 9}
    assert "1 of the ids that corrections gave are watched no longer" in caplog.text

    later = Tick(Symbol("X:B"), 1, 1.0, 1.0, START_NS + 25 * KEEP_IDS_NS)
    await world.block([later], [])

    assert given_ids(world) == set()
    assert not world.state.core.amending


async def test_a_last_trade_that_another_was_corrected_to_is_the_last_no_more() -> None:
    world = await played(([tick(1), tick(2), tick(7, minute=3)], [to(1, 7)]))

    assert retold(world) == [Retold(A, 7, tick(2))]
    assert world.state.core.symbols[A].last == (tick(2).event_ns, 2, 2, 10.0, 1.0, Side.BUY)


async def test_what_is_said_later_of_such_a_trade_is_applied_where_it_was() -> None:
    world = await played(([tick(1), tick(2), tick(7, minute=3)], [to(1, 7)]))
    later = msgspec.structs.replace(to(7, 11), event_ns=START_NS + 1, new_price=30.0)

    await world.block([tick(11, minute=6)], [later])
    await world.end()

    assert shown(world) == {0: (2, 10.0)}
    assert {bar.high for bar in highs(world, 0)} == {30.0}
    assert await rebuilt(world) == 0
