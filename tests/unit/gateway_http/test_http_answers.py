"""The shapes of the answers."""

import json

import msgspec

from core.market.bar import Bar
from core.market.bar_columns import columns_of
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from gateway.http.answers import (
    bar_answer,
    day_answer,
    encode,
    encode_bars,
    newest,
    newest_rolled,
    symbol_answer,
    trade_answer,
    trades_by_spelling,
)
from gateway.http.days import MAX_DAYS, day_of, day_so_far, symbols_by_day

BTC, ETH = Symbol("COINBASE:BTC-USD"), Symbol("COINBASE:ETH-USD")
DAY = 1_625_270_400_000_000_000


def bar(minute: int = 0, *, final: bool = True, rev: int = 0, price: float = 10.0) -> Bar:
    return Bar(
        BTC,
        Timeframe.MIN_1,
        DAY + minute * MINUTE_NS,
        price,
        price + 1,
        price - 1,
        price,
        2.0,
        3,
        price,
        rev,
        final,
    )


def test_a_bar_has_the_published_names_and_a_gap_only_where_there_is_one() -> None:
    shown = json.loads(encode(bar_answer(bar())))

    assert shown == {
        "t": "2021-07-03T00:00:00Z",
        "o": 10.0,
        "h": 11.0,
        "l": 9.0,
        "c": 10.0,
        "v": 2.0,
        "n": 3,
        "vw": 10.0,
        "rev": 0,
        "final": True,
    }
    assert b'"o":10.0,' in encode(bar_answer(bar()))  # a float, even where it is whole


def test_a_gap_is_shown() -> None:
    with_gap = Bar(BTC, Timeframe.MIN_1, DAY, 1, 1, 1, 1, 1, 1, 1, gap=True)

    assert json.loads(encode(bar_answer(with_gap)))["gap"] is True


def test_a_day_has_no_revision() -> None:
    shown = json.loads(encode(day_answer(bar(5))))

    assert shown["t"] == "2021-07-03T00:00:00Z"
    assert set(shown) == set("tohlcvn") | {"vw"}


def test_a_trade_leaves_out_what_its_venue_does_not_say() -> None:
    bought = Tick(BTC, 7, 1.5, 2.0, DAY + 1, Side.BUY)
    bare = Tick(BTC, NO_ID, 1.5, 2.0, DAY)

    assert json.loads(encode(trade_answer(bought))) == {
        "t": "2021-07-03T00:00:00.000000001Z",
        "p": 1.5,
        "s": 2.0,
        "i": 7,
        "tks": "B",
    }
    assert json.loads(encode(trade_answer(bare))) == {
        "t": "2021-07-03T00:00:00Z",
        "p": 1.5,
        "s": 2.0,
    }


def test_a_symbol_shows_its_venue_and_last_trade() -> None:
    traded = symbol_answer(BTC, Tick(BTC, NO_ID, 1.0, 1.0, DAY))

    assert (traded.venue, traded.ticker) == ("COINBASE", "BTC-USD")
    assert traded.last_trade is not None
    assert symbol_answer(ETH, None).last_trade is None


def test_a_page_groups_bars_under_the_callers_names_and_has_the_shape_of_single_bars() -> None:
    other = msgspec.structs.replace(bar(2000, rev=1), symbol=ETH, gap=True)
    some = [bar(1), bar(0, price=0.1), other]

    page = json.loads(encode_bars(columns_of(some), {BTC: "btc/usd", ETH: "ETH-USD"}, "on"))

    assert page["next_page_token"] == "on"
    assert list(page["bars"]) == ["btc/usd", "ETH-USD"]
    shown = [json.loads(encode(bar_answer(one))) for one in some]
    assert page["bars"] == {"btc/usd": shown[:2], "ETH-USD": shown[2:]}
    assert shown[2]["t"] == "2021-07-04T09:20:00Z"


def test_an_empty_page_has_no_symbols() -> None:
    assert encode_bars(columns_of([]), {}, None) == b'{"bars":{},"next_page_token":null}'


def test_the_newest_bar_is_of_the_latest_window_then_closed_then_of_the_highest_revision() -> None:
    assert newest() is None
    assert newest(None, None) is None
    assert newest(bar(1), None, bar(2, final=False)) == bar(2, final=False)
    assert newest(bar(2, final=False), bar(2)) == bar(2)
    assert newest(bar(2, rev=1), bar(2), bar(1)) == bar(2, rev=1)


def test_symbols_are_grouped_by_the_day_of_their_newest_value_the_newest_days_only() -> None:
    times = {Symbol(f"SIM:S{n}"): DAY + n * DAY_NS // 2 + 1 for n in range(8)}

    days = symbols_by_day(times)

    assert list(days) == [DAY + 3 * DAY_NS, DAY + 2 * DAY_NS, DAY + DAY_NS]
    assert len(days) == MAX_DAYS
    assert days[DAY + DAY_NS] == ["SIM:S2", "SIM:S3"]
    assert symbols_by_day({}) == {}


def test_a_day_goes_on_with_the_minutes_that_are_not_stored_yet() -> None:
    stored = bar(0)

    day = day_so_far(
        stored,
        day_ns=DAY,
        newest_stored=bar(3),
        in_memory=[None, bar(3, price=99.0), bar(4, price=1.0), bar(5, final=False, price=20.0)],
    )

    assert day is not None
    assert (day.start_ns, day.open, day.high, day.low, day.close) == (DAY, 10.0, 21.0, 0.0, 20.0)
    assert (day.volume, day.trades) == (6.0, 9)
    assert abs(day.vwap - (10.0 + 20.0 + 1.0) / 3) < 1e-12


def test_a_day_without_stored_minutes_starts_with_the_first_in_memory() -> None:
    assert day_so_far(None, day_ns=DAY, newest_stored=None, in_memory=[None]) is None
    assert day_so_far(None, day_ns=DAY, newest_stored=None, in_memory=[bar(4)]) == bar(4)


def test_minutes_of_other_days_stay_out_of_a_day() -> None:
    tomorrow, yesterday = bar(24 * 60), bar(-1)

    assert day_so_far(bar(0), day_ns=DAY, newest_stored=None, in_memory=[tomorrow]) == bar(0)
    assert day_so_far(None, day_ns=DAY, newest_stored=None, in_memory=[yesterday]) is None
    assert day_of(tomorrow.start_ns) == DAY + DAY_NS


def test_the_newest_rolled_bar_has_the_best_form_of_each_part_of_its_window() -> None:
    hour, over = Resolution(60), DAY + 180 * MINUTE_NS
    parts = [
        bar(45, price=1.0),
        bar(60, price=2.0),
        bar(75, price=9.0, final=False),
        bar(75, price=3.0, rev=1),
        bar(75, price=8.0),
        bar(90, price=4.0, final=False),
        None,
    ]

    made = newest_rolled(parts, hour, over)
    whole = newest_rolled(parts[:5], hour, over)

    assert made is not None
    assert whole is not None
    assert (made.start_ns, made.open, made.close, made.trades) == (
        DAY + 60 * MINUTE_NS, 2.0, 4.0, 9)  # fmt: skip
    assert (made.final, made.rev) == (False, 1)
    assert whole.final
    assert newest_rolled(parts[:5], hour, DAY + 119 * MINUTE_NS) == msgspec.structs.replace(
        whole, final=False
    )
    assert newest_rolled([None], hour, over) is None


def test_trades_go_under_the_callers_names_in_their_order() -> None:
    trades = [Tick(BTC, 2, 1.0, 1.0, DAY), Tick(BTC, 1, 1.0, 1.0, DAY), Tick(ETH, 3, 1.0, 1.0, DAY)]

    grouped = trades_by_spelling(trades, {BTC: "btc/usd", ETH: "ETH-USD"})

    assert [(name, [t.i for t in some]) for name, some in grouped.items()] == [
        ("btc/usd", [2, 1]),
        ("ETH-USD", [3]),
    ]
