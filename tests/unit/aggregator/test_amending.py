"""A minute is folded anew with what was said of its trades, or left as it is."""

from collections.abc import Iterable, Sequence

import pytest

from aggregator.amending import Minute, Outcome, windows_about
from aggregator.shard import ShardCore
from aggregator.window import Window
from core.market.amended import Amendment
from core.market.bar import Bar, BarRow
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from tests.property.aggregator.harness import Harness

A = Symbol("X:A")
START_NS = 1_700_000_100_000_000_000 // (15 * MINUTE_NS) * 15 * MINUTE_NS
HOUR_NS = 60 * MINUTE_NS


def tick(ident: int, *, minute: int = 0, price: float = 10.0) -> Tick:
    return Tick(A, ident, price, 1.0, START_NS + minute * MINUTE_NS + ident, seq=ident)


def off(ident: int) -> Cancel:
    return Cancel(A, START_NS + 1, ident, 1.0, 1.0)


def amend(
    core: ShardCore,
    ticks: Sequence[Tick],
    new: Sequence[Amendment],
    *,
    before: Iterable[Amendment] = (),
    rows: Iterable[BarRow] = (),
) -> Outcome:
    minute = Minute(symbol=A, start_ns=START_NS, ticks=ticks, before=before, new=new)
    by_key = {(row.bar.symbol, row.bar.timeframe, row.bar.start_ns): row for row in rows}
    return minute.amend(core, by_key)


def trades(bars: Iterable[Bar]) -> dict[tuple[str, int], tuple[int, float, int]]:
    """Trades, high and rev, by timeframe and minute."""
    found = {}
    for bar in bars:
        minute = (bar.start_ns - START_NS) // MINUTE_NS
        found[bar.timeframe.value, minute] = (bar.trades, bar.high, bar.rev)
    return found


TICKS = [tick(1, price=99.0), tick(2), tick(3)]


@pytest.fixture
def harness() -> Harness:
    """Two minutes, the first of them closed and flushed; the second is open."""
    harness = Harness()
    harness.fold([*TICKS, tick(10, minute=1)])
    harness.close(START_NS + MINUTE_NS)
    harness.flush()
    return harness


def test_an_open_minute_changes_its_running_bars_only() -> None:
    harness = Harness()
    harness.fold(TICKS)
    harness.core.take_running()

    assert amend(harness.core, TICKS, [off(1)]) is Outcome.REVISED

    running = trades(harness.core.take_running())
    assert running == dict.fromkeys((("1Min", 0), ("5Min", 0), ("15Min", 0)), (2, 10.0, 0))
    assert not harness.core.dirty


def test_an_open_minute_without_trades_closes_without_a_bar() -> None:
    harness = Harness()
    harness.fold([tick(1), tick(10, minute=1)])
    assert amend(harness.core, [tick(1)], [off(1)]) is Outcome.REVISED
    (gone, *_) = [bar for bar in harness.core.take_running() if bar.start_ns == START_NS]
    assert (gone.trades, gone.volume, gone.vwap, gone.high, gone.low) == (0, 0.0, 0.0, 10.0, 10.0)

    harness.close(START_NS + HOUR_NS)

    assert trades(harness.flush()) == {
        ("1Min", 1): (1, 10.0, 0), ("5Min", 0): (1, 10.0, 0), ("15Min", 0): (1, 10.0, 0),
    }  # fmt: skip


def test_a_closed_minute_and_its_open_parents_are_revised(harness: Harness) -> None:
    assert amend(harness.core, TICKS, [off(1)]) is Outcome.REVISED
    assert trades(harness.flush()) == {("1Min", 0): (2, 10.0, 1)}

    harness.close(START_NS + HOUR_NS)
    assert trades(harness.flush())["5Min", 0] == (3, 10.0, 0)


def test_closed_parents_are_revised_with_minutes_that_are_stored(harness: Harness) -> None:
    harness.close(START_NS + HOUR_NS)
    harness.flush()
    harness.close(START_NS + 2 * HOUR_NS)
    harness.flush()
    harness.flush()
    assert not harness.core.symbols[A].windows
    keys = windows_about(harness.core, A, START_NS)
    assert len(keys) == 17

    rows = [harness.rows[key] for key in keys if key in harness.rows]
    assert amend(harness.core, TICKS, [off(1)], rows=rows) is Outcome.REVISED

    assert trades(harness.flush()) == {
        ("1Min", 0): (2, 10.0, 1), ("5Min", 0): (3, 10.0, 1), ("15Min", 0): (3, 10.0, 1),
    }  # fmt: skip


def test_all_trades_of_a_minute_may_go_and_one_come_back_late(harness: Harness) -> None:
    gone = [off(1), off(2), off(3)]
    assert amend(harness.core, TICKS, gone) is Outcome.REVISED
    (bar,) = harness.flush()
    assert (bar.trades, bar.rev, bar.open, bar.close, bar.vwap) == (0, 1, 10.0, 10.0, 0.0)
    row = harness.rows[A, Timeframe.MIN_1, START_NS]
    again = Window.from_row(row)
    again.fold(START_NS, 1, 5.0, 1.0)
    assert (again.bar(final=True).high, again.open, again.rev) == (5.0, 5.0, 1)

    harness.fold([tick(4, price=7.0)])

    assert trades(harness.flush()) == {("1Min", 0): (1, 7.0, 2)}


def test_what_makes_no_difference_is_not_published(harness: Harness) -> None:
    same = Correction(A, START_NS + 1, 2, 10.0, 1.0, 2, 10.0, 1.0)

    assert amend(harness.core, TICKS, [same]) is Outcome.SAME
    assert amend(harness.core, TICKS, [off(9)]) is Outcome.SAME
    assert amend(harness.core, TICKS, [off(1), off(2), off(3)]) is Outcome.REVISED
    again = amend(harness.core, TICKS, [off(1)], before=[off(1), off(2), off(3)])
    assert again is Outcome.SAME


@pytest.mark.parametrize("ticks", [TICKS[:2], [*TICKS[:2], tick(3, price=10.5)], []])
def test_nothing_is_changed_when_the_ticks_are_not_those_of_the_bar(
    harness: Harness, ticks: list[Tick]
) -> None:
    assert amend(harness.core, ticks, [off(1)]) is Outcome.INCOMPLETE
    assert not harness.core.dirty


def test_nothing_is_changed_when_there_is_no_bar_or_symbol() -> None:
    core = ShardCore(keep_ids_ns=1)
    assert amend(core, TICKS, [off(1)]) is Outcome.INCOMPLETE
    assert len(windows_about(core, A, START_NS)) == 17

    core.state_of(A)

    assert amend(core, TICKS, [off(1)]) is Outcome.INCOMPLETE


def test_nothing_is_changed_when_a_parent_is_not_what_its_minutes_are(harness: Harness) -> None:
    harness.core.symbols[A].windows[Timeframe.MIN_5, START_NS].trades += 1

    assert amend(harness.core, TICKS, [off(1)]) is Outcome.INCOMPLETE
    del harness.core.symbols[A].windows[Timeframe.MIN_5, START_NS]
    assert amend(harness.core, TICKS, [off(1)]) is Outcome.INCOMPLETE
    assert not harness.core.dirty


def test_a_repeat_of_a_cancelled_trade_is_no_last_trade(harness: Harness) -> None:
    harness.core.take_last_trades()
    newest = tick(10, minute=1)
    harness.core.symbols[A].last = None

    harness.fold([newest, newest])
    harness.fold([newest] * 8)

    assert harness.core.symbols[A].last is None
    assert harness.core.take_last_trades() == []


def test_older_trades_in_a_row_are_no_last_trade() -> None:
    harness = Harness()
    harness.fold([tick(50), *(tick(n) for n in range(20, 24))])
    harness.fold([tick(n) for n in range(30, 38)])

    assert harness.core.take_last_trades() == [tick(50)]


def test_a_minute_that_was_emptied_before_it_closed_needs_no_row() -> None:
    harness = Harness()
    harness.fold([tick(1), tick(10, minute=5)])
    amend(harness.core, [tick(1)], [off(1)])
    for _ in range(3):
        harness.close(START_NS + 2 * HOUR_NS)
        harness.flush()
    assert not harness.core.symbols[A].windows

    again = Cancel(A, START_NS + 2, 1, 1.0, 1.0)
    rows = harness.rows.values()
    assert amend(harness.core, [tick(1)], [again], before=[off(1)], rows=rows) is Outcome.SAME
    lost = amend(harness.core, [tick(1), tick(2)], [again], before=[off(1)], rows=rows)
    assert lost is Outcome.INCOMPLETE


def test_what_empties_a_minute_may_be_said_before_what_fills_it() -> None:
    harness = Harness()
    harness.fold([tick(1), tick(10, minute=5)])
    late_word = Cancel(A, START_NS + 2, 1, 1.0, 1.0)
    amend(harness.core, [tick(1)], [late_word])
    for _ in range(3):
        harness.close(START_NS + 2 * HOUR_NS)
        harness.flush()
    rows = harness.rows.values()

    new = Correction(A, START_NS + 1, 1, 10.0, 1.0, 5, 12.0, 1.0)
    assert amend(harness.core, [tick(1)], [new], before=[late_word], rows=rows) is Outcome.REVISED

    assert trades(harness.flush()) == {
        ("1Min", 0): (1, 12.0, 0), ("5Min", 0): (1, 12.0, 0), ("15Min", 0): (2, 12.0, 1),
    }  # fmt: skip
