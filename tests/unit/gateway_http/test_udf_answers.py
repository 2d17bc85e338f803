"""What charts are told: the shapes of UDF."""

from typing import Any

import msgspec
import pytest

from core.market.bar import Bar
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from gateway.http import udf_answers as answers
from gateway.http.days import NewestBars, Standing
from gateway.http.errors import ApiError, BadParameter
from gateway.http.udf_requests import SearchQuery, UnknownSymbol

BTC, ETH = Symbol("COINBASE:BTC-USD"), Symbol("KRAKEN:ETH-USD")
DAY = 1_625_270_400_000_000_000  # 2021-07-03


def bar(minute: int = 0, **fields: Any) -> Bar:
    values: dict[str, Any] = {
        "open": 10.0,
        "high": 12.0,
        "low": 9.0,
        "close": 11.0,
        "volume": 2.0,
        "trades": 3,
        "vwap": 10.5,
    }
    return Bar(BTC, Timeframe.MIN_1, DAY + minute * MINUTE_NS, **(values | fields))


def standing(trade: Tick | None, day: Bar | None = None, before: Bar | None = None) -> Standing:
    return Standing(trade, NewestBars(day=day, previous_day=before))


def as_json(answer: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(answer))


def test_the_configuration_has_what_the_library_insists_on() -> None:
    config = as_json(answers.config_answer([ETH, BTC]))

    assert config["supports_search"] is True
    assert config["supports_group_request"] is False
    assert config["supports_time"] is True
    assert {"1", "5", "15", "60", "240", "1D"} <= set(config["supported_resolutions"])
    assert config["exchanges"] == [
        {"value": "", "name": "All", "desc": ""},
        {"value": "COINBASE", "name": "COINBASE", "desc": "COINBASE"},
        {"value": "KRAKEN", "name": "KRAKEN", "desc": "KRAKEN"},
    ]
    assert config["symbols_types"] == [
        {"name": "All", "value": ""},
        {"name": "Crypto", "value": "crypto"},
        {"name": "Stock", "value": "stock"},
    ]
    assert config["limitedServerResponse"] == {
        "maxResponseLength": 10_000,
        "expectedOrder": "latestFirst",
    }


def test_history_is_columns_in_seconds() -> None:
    assert as_json(answers.history_answer([bar(0), bar(1, close=11.5)])) == {
        "s": "ok",
        "t": [DAY // 10**9, DAY // 10**9 + 60],
        "o": [10.0, 10.0],
        "h": [12.0, 12.0],
        "l": [9.0, 9.0],
        "c": [11.0, 11.5],
        "v": [2.0, 2.0],
    }


def test_no_data_names_the_closest_older_bar_in_milliseconds() -> None:
    assert as_json(answers.no_data_answer()) == {"s": "no_data"}
    assert as_json(answers.no_data_answer(DAY)) == {"s": "no_data", "nextTime": DAY // 10**6}


def test_memory_adds_the_running_bar_and_replaces_what_was_stored_before() -> None:
    stored = [bar(0), bar(1)]
    running = bar(2, final=False)

    merged = answers.with_present(stored, [bar(1, rev=1, close=9.5), running, None])

    assert merged == [bar(0), bar(1, rev=1, close=9.5), running]
    assert answers.with_present([bar(1, rev=2)], [bar(1, rev=1)]) == [bar(1, rev=2)]
    assert answers.with_present([bar(1)], [bar(1, final=False, close=1.0)]) == [bar(1)]


def test_an_open_window_is_made_of_its_parts() -> None:
    parts = [bar(58, high=20.0), bar(60, volume=1.5), bar(61, low=1.0, close=3.0, final=False)]

    first, second = answers.rolled_windows(parts, Resolution(60))

    assert (first.start_ns, first.high, first.final) == (DAY, 20.0, True)
    assert (second.start_ns, second.low, second.close) == (DAY + 60 * MINUTE_NS, 1.0, 3.0)
    assert second.volume == 3.5
    assert not second.final


def test_marks_tell_of_missing_trades_and_of_revisions() -> None:
    bars = [bar(0), bar(1, rev=1), bar(2, rev=3), bar(3, gap=True, rev=1)]

    marks = as_json(answers.marks_answer(bars))

    seconds = DAY // 10**9
    assert marks["time"] == marks["id"] == [seconds + 60, seconds + 120, seconds + 180]
    assert marks["label"] == ["R", "R", "G"]
    assert marks["text"] == [
        "Revised once",
        "Revised 3 times",
        "Trades are known to be missing",
    ]
    assert {len(column) for column in marks.values()} == {3}
    assert set(marks) == {"id", "time", "color", "text", "label", "labelFontColor", "minSize"}
    assert set(map(len, as_json(answers.marks_answer([])).values())) == {0}


def test_a_row_of_bars_with_missing_trades_is_one_mark_on_the_axis() -> None:
    bars = [bar(0), bar(5, gap=True), bar(10, gap=True), bar(15), bar(20, gap=True)]

    marks = as_json(answers.timescale_marks(bars, Resolution(5)))

    assert [mark["time"] for mark in marks] == [DAY // 10**9 + 300, DAY // 10**9 + 1200]
    assert marks[0] == {
        "id": DAY // 10**9 + 300,
        "color": "red",
        "label": "G",
        "time": DAY // 10**9 + 300,
        "tooltip": [
            "Trades are known to be missing",
            "2021-07-03T00:05:00Z to 2021-07-03T00:15:00Z",
        ],
    }


def test_a_symbol_has_all_that_charts_need_under_all_names_they_know() -> None:
    info = answers.symbol_answer(answers.symbol_info(BTC, "crypto", [33_786.51, 33_800.0], [0.125]))

    assert "s" not in info  # it would mean an error
    assert (info["name"], info["ticker"]) == ("BTC-USD", "COINBASE:BTC-USD")
    assert (info["exchange"], info["listed_exchange"]) == ("COINBASE", "COINBASE")
    assert (info["pricescale"], info["minmov"], info["minmovement"]) == (100, 1, 1)
    assert info["volume_precision"] == 3
    assert (info["session"], info["timezone"]) == ("24x7", "Etc/UTC")
    assert info["has_intraday"] is info["has_daily"] is True
    assert info["has_weekly_and_monthly"] is info["has_empty_bars"] is False
    for name, other in {
        "has_intraday": "has-intraday",
        "has_daily": "has-daily",
        "session": "session-regular",
        "supported_resolutions": "supported-resolutions",
        "exchange": "exchange-traded",
    }.items():
        assert info[name] == info[other]


def test_a_table_of_symbols_has_a_column_a_field() -> None:
    infos = [
        answers.symbol_info(BTC, "crypto", [1.5], []),
        answers.symbol_info(ETH, "stock", [2.0], []),
    ]

    table = answers.symbol_table(infos)

    assert table["symbol"] == ["BTC-USD", "ETH-USD"]
    assert table["ticker"] == [BTC, ETH]
    assert table["exchange-listed"] == table["exchange-traded"] == ["COINBASE", "KRAKEN"]
    assert table["pricescale"] == [10, 1]
    assert table["type"] == ["crypto", "stock"]
    assert table["session-regular"] == ["24x7", "24x7"]
    assert {len(column) for column in table.values()} == {2}
    assert answers.symbol_table([])["symbol"] == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 2),
        ([100.0], 0),
        ([1200.0, 1e22], 0),
        ([0.1, 0.25], 2),
        ([1e-7], 7),
        ([0.00000801], 8),
        ([1.5e-30], 12),
    ],
)
def test_the_finest_price_decides_the_scale(values: list[float], expected: int) -> None:
    assert answers.decimals(values, default=2, most=12) == expected


def test_a_search_puts_the_very_name_first_then_what_begins_with_it() -> None:
    kinds: dict[Symbol, answers.Kind] = {BTC: "crypto"}
    for name in ("ABTC", "BTC-EUR", "BTC", "XBTC"):
        kinds[Symbol(f"SIM:{name}")] = "stock"

    def found(text: str = "", exchange: str = "", kind: str = "", limit: int = 30) -> list[str]:
        query = SearchQuery(text, exchange, kind, limit)
        return [one.ticker for one in answers.found_symbols(kinds, query)]

    assert found("BTC") == ["SIM:BTC", BTC, "SIM:BTC-EUR", "SIM:ABTC", "SIM:XBTC"]
    assert found("COINBASE:BTC/USD") == [BTC]
    assert found("BTC", limit=2) == ["SIM:BTC", BTC]
    assert found(exchange="COINBASE", kind="crypto") == [BTC]
    assert BTC not in found(kind="stock")
    assert found(kind="bond") == []
    assert as_json(answers.found_symbols({BTC: "crypto"}, SearchQuery("BTC", "", "", 1))) == [
        {
            "symbol": "BTC-USD",
            "full_name": "COINBASE:BTC-USD",
            "description": "BTC/USD on Coinbase",
            "exchange": "COINBASE",
            "ticker": "COINBASE:BTC-USD",
            "type": "crypto",
        }
    ]


def test_a_quote_has_the_change_against_the_day_before() -> None:
    day = bar(volume=7.0)
    before = msgspec.structs.replace(bar(close=10.7), start_ns=DAY - DAY_NS)
    trade = Tick(BTC, 1, 11.0, 1.0, DAY)

    assert as_json(answers.quote("btc/usd", BTC, standing(trade, day, before))) == {
        "s": "ok",
        "n": "btc/usd",
        "v": {
            "short_name": "BTC-USD",
            "exchange": "COINBASE",
            "description": "BTC/USD on Coinbase",
            "lp": 11.0,
            "open_price": 10.0,
            "high_price": 12.0,
            "low_price": 9.0,
            "volume": 7.0,
            "prev_close_price": 10.7,
            "ch": 0.3,
            "chp": 0.3 / 10.7 * 100,
        },
    }


def test_a_quote_without_a_day_before_has_no_change() -> None:
    values = as_json(answers.quote("A", BTC, standing(None, bar(close=9.5))))["v"]

    assert values["lp"] == 9.5
    assert not {"ch", "chp", "prev_close_price"} & set(values)


def test_a_quote_whose_day_is_not_known_has_the_last_price_alone() -> None:
    trade = Tick(BTC, 1, 11.0, 1.0, DAY)
    words = {"short_name": "BTC-USD", "exchange": "COINBASE", "description": "BTC/USD on Coinbase"}

    of_trade = as_json(answers.quote("A", BTC, standing(trade)))
    of_bar = as_json(answers.quote("A", BTC, Standing(None, NewestBars(minute=bar(close=9.5)))))

    assert of_trade == {"s": "ok", "n": "A", "v": {**words, "lp": 11.0}}
    assert of_bar == {"s": "ok", "n": "A", "v": {**words, "lp": 9.5}}


@pytest.mark.parametrize("how", [None, Standing(None, NewestBars())])
def test_what_was_never_traded_has_no_quote(how: Standing | None) -> None:
    quoted = as_json(answers.quote("A", BTC, how))

    assert (quoted["s"], quoted["n"], quoted["v"]) == ("error", "A", {})
    assert "no trade" in quoted["errmsg"]


@pytest.mark.parametrize(
    ("error", "errmsg"),
    [
        (
            BadParameter("to", "x", "give seconds"),
            "parameter to: 'x' is not accepted; give seconds",
        ),
        (UnknownSymbol("X"), "unknown_symbol"),
    ],
)
def test_an_error_reads_like_everywhere_else_and_as_the_library_wants_it(
    error: ApiError, errmsg: str
) -> None:
    assert msgspec.json.decode(answers.error_body(error.body())) == {
        "s": "error",
        "errmsg": errmsg,
        "code": error.status,
        "message": error.message,
    }
