import math
import re

import pytest

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from tickgate.files import given
from tickgate.files.given import BarReader, Names, TickReader

NOW_NS = 1_700_000_000 * 10**9
START_NS = NOW_NS // MINUTE_NS * MINUTE_NS - 90 * MINUTE_NS
ROW = {
    "symbol": "V:A", "timeframe": None, "time": None, "start_ns": str(START_NS), "open": "1",
    "high": "2", "low": "0.5", "close": "1.5", "volume": "1e3", "trades": "4", "vwap": "1.25",
}  # fmt: skip
TRADE = {
    "symbol": "a", "trade_id": "7", "event_ns": str(START_NS), "side": "Buy", "price": "0.1",
    "size": "2",
}  # fmt: skip


def bars() -> BarReader:
    return BarReader(Names(""), until_ns=NOW_NS - 60 * MINUTE_NS)


def ticks() -> TickReader:
    return TickReader(Names("V"), until_ns=NOW_NS)


def test_a_row_of_text_or_of_numbers_is_a_bar() -> None:
    bar = Bar(Symbol("V:A"), Timeframe.MIN_1, START_NS, 1.0, 2.0, 0.5, 1.5, 1000.0, 4, 1.25)

    assert bars().read(ROW) == bar
    typed = {"open": 1, "high": 2.0, "trades": 4, "time": START_NS, "timeframe": "1Min"}
    assert bars().read(ROW | typed) == bar
    assert bars().read(ROW | {"start_ns": None, "time": "2023-11-14T20:43:00Z"}) == bar
    assert bars().read(ROW | {"start_ns": None, "start": "2023-11-14 20:43:00+00:00"}) == bar
    assert bars().read(ROW | {"start": "what a vendor calls so"}) == bar
    assert BarReader(Names("v"), until_ns=NOW_NS).read(ROW | {"symbol": "a"}) == bar


@pytest.mark.parametrize("trades", [4.0, "4.000", "4.", "04.00"])
def test_a_count_that_a_tool_made_a_float_is_a_count(trades: object) -> None:
    assert bars().read(ROW | {"trades": trades}).trades == 4


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"": "14 fields, expected 11"}, "14 fields, expected 11"),
        ({"symbol": "A"}, "symbol 'A' names no venue: say which by --venue"),
        ({"symbol": None}, "symbol '' names no venue"),
        ({"symbol": "V:?"}, "symbol 'V:?': expected VENUE:BASE-QUOTE"),
        ({"timeframe": "5Min"}, "timeframe '5Min': expected 1Min, as longer bars are made from"),
        ({"start_ns": None}, "neither time nor start_ns nor start: expected one"),
        ({"start_ns": "1e9"}, "start_ns '1e9': expected a whole number, of 64 bits"),
        ({"start_ns": "9" * 19 + "9"}, "expected a whole number, of 64 bits"),
        ({"start_ns": "9999999999999999999"}, "expected a whole number, of 64 bits"),
        ({"time": "noon"}, "time 'noon': expected one such as 2024-03-12T10:37:00Z: not an RFC"),
        ({"time": True}, "time True: expected one such as"),
        ({"time": "2023-11-14T20:44:00Z"}, "are not the same moment"),
        ({"start_ns": str(START_NS + 1)}, "expected the start of a minute"),
        ({"start_ns": "0"}, "1970-01-01T00:00:00Z: expected a time from 1990 on"),
        ({"start_ns": START_NS // 10**6}, "from 1990 on (a number is of nanoseconds since 1970)"),
        (
            {"start_ns": str(START_NS + 30 * MINUTE_NS)},
            "expected windows that end by 2023-11",
        ),
        ({"open": "x"}, "open 'x': expected a number above 0"),
        ({"open": None}, "open is empty: expected a number above 0"),
        ({"open": True}, "open True: expected a number above 0"),
        ({"open": 10**400}, "expected a number above 0"),
        ({"volume": "0"}, "volume '0': expected a number above 0"),
        ({"volume": "nan"}, "volume 'nan': expected a number above 0"),
        ({"volume": "inf"}, "volume 'inf': expected a number above 0"),
        ({"volume": "1e300"}, "volume 1e+300: with these prices it is beyond what can be summed"),
        ({"trades": "0"}, "trades '0': expected a whole number, 1 to 1000000000000000"),
        ({"trades": 2**63 - 1}, "expected a whole number, 1 to 1000000000000000"),
        ({"trades": 0.0}, "trades 0: expected a whole number, 1 to 1000000000000000"),
        ({"trades": 1.5}, "trades 1.5: expected a whole number, 1 to 1000000000000000"),
        ({"trades": "1.5"}, "trades '1.5': expected a whole number, 1 to 1000000000000000"),
        ({"trades": math.inf}, "trades inf: expected a whole number, 1 to 1000000000000000"),
        ({"trades": "1.0e3"}, "trades '1.0e3': expected a whole number, 1 to 1000000000000000"),
        ({"trades": True}, "trades True: expected a whole number, 1 to 1000000000000000"),
        ({"close": "2.5"}, "expected open and close from low to high"),
        ({"low": "1.1"}, "expected open and close from low to high"),
        ({"vwap": "3"}, "vwap 3.0: expected from low 0.5 to high 2.0"),
    ],
)
def test_a_row_that_is_no_bar_says_what_is_wrong_and_what_is_accepted(
    values: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        bars().read(ROW | values)


def test_windows_of_a_symbol_come_once_and_in_order() -> None:
    reader = bars()
    reader.read(ROW)
    reader.read(ROW | {"symbol": "V:B"})
    with pytest.raises(ValueError, match="comes after 2023-11-14T20:43:00Z: expected each window"):
        reader.read(ROW)


def test_symbols_of_one_file_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "_MAX_SYMBOLS", 1)
    names = Names("V")
    assert [names.read("a"), names.read("a")] == ["V:A", "V:A"]
    with pytest.raises(ValueError, match="more than 1 symbols in one file"):
        names.read("b")


def test_a_row_of_text_or_of_numbers_is_a_tick() -> None:
    tick = Tick(Symbol("V:A"), 7, 0.1, 2.0, START_NS, Side.BUY, seq=7)

    assert ticks().read(TRADE) == tick
    assert ticks().read(TRADE | {"trade_id": 7, "event_ns": START_NS, "price": 0.1}) == tick
    assert ticks().read(TRADE | {"seq": 9, "side": None}).seq == 9


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"": "2 fields, expected 6"}, "2 fields, expected 6"),
        ({"trade_id": None}, "there is no trade_id"),
        ({"trade_id": "a"}, "trade_id 'a': expected a whole number, of 64 bits"),
        ({"side": "up"}, "side 'up': expected buy, sell or nothing"),
        ({"price": "-1"}, "price '-1': expected a number above 0"),
        ({"event_ns": "1"}, "event_ns 1: expected nanoseconds since 1970, from 1990 to now"),
        ({"event_ns": NOW_NS + 1}, "expected nanoseconds since 1970, from 1990 to now"),
    ],
)
def test_a_row_that_is_no_tick_says_what_is_wrong_and_what_is_accepted(
    values: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        ticks().read(TRADE | values)


@pytest.mark.parametrize(
    ("tick", "said"),
    [
        (Tick(Symbol("V:A"), NO_ID, 1.0, 1.0, START_NS), "there is no trade_id"),
        (Tick(Symbol("V:A"), 1, float("nan"), 1.0, START_NS), "price nan: expected a number abo"),
        (Tick(Symbol("V:A"), 1, 1e300, 1.0, START_NS), "above 0, from 1e-100 to 1e+100"),
        (Tick(Symbol("V:A"), 1, 1.0, 0.0, START_NS), "size 0.0: expected a number above 0"),
    ],
)
def test_ticks_of_a_replay_file_are_judged_alike(tick: Tick, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        ticks().judge(tick)


def test_ticks_of_a_file_may_be_of_several_venues() -> None:
    reader = ticks()

    found = [reader.read(TRADE).symbol, reader.read(TRADE | {"symbol": "W:A"}).symbol]

    assert found[1] == "W:A"
    assert found[0] != found[1]
