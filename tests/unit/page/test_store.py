"""What the page knows of a symbol's day: from snapshots, and from trades that begin another one."""

from typing import Any

from tests.node import evaluate

_PRELUDE = """
const known = new store.Store();
known.add("X:A");
const at = (day, time = "12:00:00") => Date.parse(`2024-03-${day}T${time}Z`);
const trade = (price, ...when) => known.trade("X:A", price, at(...when));
const bar = (day, c) =>
  ({ t: `2024-03-${day}T00:00:00Z`, o: c - 5, h: c + 10, l: c - 10, c, v: 7 });
const snapshot = (dailyBar, prevDailyBar, latestTrade = null) =>
  known.snapshot("X:A", { dailyBar, prevDailyBar, latestTrade });
const shown = () => {
  const { price, reference, high, low, volume } = known.get("X:A");
  return [price, reference, high, low, volume];
};
"""


def _evaluate(script: str) -> Any:
    return evaluate(_PRELUDE + script, store="store.js")


def test_the_first_trade_of_a_day_is_held_against_the_last_one_before_it() -> None:
    found = _evaluate(
        """
        snapshot(bar(12, 200), bar(11, 100), { p: 201, t: "2024-03-12T23:59:58Z" });
        trade(202, 12, "23:59:59");
        const before = shown();
        snapshot(bar(12, 202), bar(11, 100)); // asked for at midnight: it has not traded yet
        const quiet = shown();
        trade(190, 13, "00:00:00");
        trade(195, 13, "00:00:01");
        const after = shown();
        snapshot(bar(12, 201), bar(11, 100)); // asked for before midnight, and late
        const late = shown();
        snapshot(bar(13, 195), bar(12, 202));
        tell({ before, quiet, after, late, renewed: shown() });
        """
    )

    assert found["before"] == [202, 100, 210, 190, 7]
    assert found["quiet"] == [202, 100, 212, 192, 7]
    assert found["after"] == found["late"] == [195, 202, 195, 190, None]
    assert found["renewed"] == [195, 202, 205, 185, 7]


def test_a_snapshot_of_the_day_before_the_first_trade_seen_gives_what_it_is_held_against() -> None:
    found = _evaluate(
        """
        trade(190, 13, "00:00:00");
        const alone = shown();
        snapshot(bar(12, 202), bar(11, 100));
        tell([alone, shown()]);
        """
    )

    assert found == [[190, 190, None, None, None], [190, 202, None, None, None]]


def test_the_newest_trade_may_be_of_a_later_day_than_the_bars() -> None:
    found = _evaluate(
        """
        snapshot(bar(12, 202), bar(11, 100), { p: 190, t: "2024-03-13T00:00:00Z" });
        tell(shown());
        """
    )

    assert found == [190, 202, 190, 190, None]


def test_a_day_after_a_pause_is_held_against_its_open_as_the_gateway_has_it() -> None:
    found = _evaluate(
        """
        snapshot(bar(12, 202), null);
        const first = shown();
        trade(190, 14, "09:00:00");
        const after = shown();
        snapshot({ ...bar(14, 195), o: 190 }, null);
        tell([first, after, shown()]);
        """
    )

    assert found == [
        [202, 197, 212, 192, 7],
        [190, 190, 190, 190, None],
        [190, 190, 205, 185, 7],
    ]


def test_a_symbol_that_is_not_known_or_has_no_days_changes_nothing() -> None:
    found = _evaluate(
        """
        known.snapshot("X:B", { dailyBar: bar(12, 202), prevDailyBar: null, latestTrade: null });
        snapshot(null, null);
        known.snapshot("X:A", undefined);
        tell([known.get("X:B") === undefined, shown()]);
        """
    )

    assert found == [True, [None, None, None, None, None]]


def test_many_symbols_are_put_in_order_once_and_not_each_time_they_are_asked_for() -> None:
    found = _evaluate(
        """
        for (const number of [10, 9, 1]) known.add(`X:S${number}`);
        const first = known.symbols();
        const isSame = known.symbols() === first;
        known.add("X:S2");
        known.add("X:S9");
        tell({ first, isSame, then: known.symbols() });
        """
    )

    assert found["first"] == ["X:A", "X:S1", "X:S9", "X:S10"]
    assert found["isSame"]
    assert found["then"] == ["X:A", "X:S1", "X:S2", "X:S9", "X:S10"]
