"""The data feed of TradingView's charts: the library's documented loops, and every endpoint."""

import csv
import gzip
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from tests.integration.gateway_http.charts import Chart
from tests.integration.gateway_http.rig import DAY, NOON, Rig, bar

BTC, ETH = "COINBASE:BTC-USD", "COINBASE:ETH-USD"
SECONDS = 1_000_000_000
DAY_S, NOON_S = DAY // SECONDS, NOON // SECONDS
# Three days of trading with holes of minutes, of hours, and of a whole day.
MINUTES = [
    *range(-2_880, -2_870),
    *range(-2_500, -2_300, 3),
    *range(40),
    *range(55, 60),
    61,
    *range(200, 420, 7),
    *range(700, 719),
]
RESOLUTIONS = ("1", "5", "15", "60", "240", "1D")
OPEN = 719  # the minute that is not over yet


def folded(minutes: Sequence[int], timeframe: Timeframe) -> list[Bar]:
    """Closed bars of a stored length for trading in these *minutes* and in the open one."""
    starts = {minute - minute % timeframe.minutes for minute in minutes}
    starts.discard(OPEN - OPEN % timeframe.minutes)
    return [bar(BTC, start, timeframe=timeframe) for start in sorted(starts)]


@pytest.fixture
async def traded(rig: Rig) -> AsyncIterator[Rig]:
    """A gateway with stored bars of all lengths, and an open window in memory."""
    for timeframe in Timeframe:
        await rig.save(*folded(MINUTES, timeframe))
        running = bar(BTC, OPEN - OPEN % timeframe.minutes, timeframe=timeframe, final=False)
        rig.market.apply_bar(running)
    return rig


def starts(minutes: Sequence[int], resolution: str) -> list[int]:
    """Where the windows start that have a trade in *minutes*, in seconds."""
    length = 1_440 if resolution == "1D" else int(resolution)
    found = set()
    for minute in minutes:
        day, in_day = divmod(minute, 1_440)
        found.add((day * 1_440 + in_day - in_day % length) * 60 + DAY_S)
    return sorted(found)


async def test_a_chart_scrolls_to_the_very_first_bar_over_gaps(traded: Rig) -> None:
    for resolution in RESOLUTIONS:
        chart = Chart(rig=traded, symbol="BTC-USD", resolution=resolution)
        await chart.open()

        await chart.scroll_to_the_beginning(NOON_S, 11)

        assert [row["t"] for row in chart.bars] == starts([*MINUTES, OPEN], resolution)


async def test_countback_is_exact_wherever_the_gaps_are(traded: Rig) -> None:
    for resolution in RESOLUTIONS:
        chart = Chart(rig=traded, symbol=BTC, resolution=resolution)
        await chart.open()
        every = starts([*MINUTES, OPEN], resolution)
        middle = every[len(every) // 2]
        for end_s in (every[-1] + 1, every[-1], middle, every[1], DAY_S - 2 * 86_400):
            for count in (1, 2, 5, 500):
                answer = await chart.history(end_s - 60, end_s, count)
                expected = [start for start in every if start < end_s][-count:]
                assert answer.get("t", []) == expected, (resolution, end_s, count)


async def test_a_range_without_countback_is_half_open_and_says_where_older_bars_are(
    traded: Rig,
) -> None:
    chart = Chart(rig=traded, symbol=BTC, resolution="1")
    await chart.open()

    answer = await chart.history(DAY_S, DAY_S + 120)
    assert answer["t"] == [DAY_S, DAY_S + 60]

    answer = await chart.history(DAY_S + 41 * 60, DAY_S + 50 * 60)
    assert answer == {"s": "no_data", "nextTime": (DAY_S + 39 * 60) * 1_000}  # milliseconds

    answer = await chart.history(DAY_S - 10 * 86_400, DAY_S - 9 * 86_400)
    assert answer == {"s": "no_data"}

    answer = await chart.history(NOON_S, NOON_S + 60)
    assert answer == {"s": "no_data", "nextTime": (DAY_S + OPEN * 60) * 1_000}  # the running bar


async def test_no_data_names_the_start_of_the_window_before(traded: Rig) -> None:
    for resolution in ("5", "60", "1D"):
        chart = Chart(rig=traded, symbol=BTC, resolution=resolution)
        await chart.open()
        far_s = DAY_S + 86_400

        answer = await chart.history(far_s, far_s + 3_600)

        assert answer["nextTime"] == starts([OPEN], resolution)[0] * 1_000


async def test_a_symbol_without_a_bar_stops_paging_at_once(rig: Rig) -> None:
    rig.market.add_symbols([Symbol(ETH)])
    chart = Chart(rig=rig, symbol=ETH, resolution="1")
    await chart.open()
    asked = chart.requests

    await chart.scroll_to_the_beginning(NOON_S, 300)
    await chart.poll(NOON_S)

    assert chart.bars == chart.drawn == []
    assert chart.requests == asked + 2
    assert await chart.history(DAY_S, NOON_S) == {"s": "no_data"}


@pytest.mark.parametrize("resolution", ["1", "60", "1D"])
async def test_polls_replace_the_running_bar_and_finish_the_one_before(
    traded: Rig, resolution: str
) -> None:
    chart = Chart(rig=traded, symbol=BTC, resolution=resolution)
    await chart.open()
    base = Timeframe.MIN_1 if resolution == "1" else Timeframe.MIN_15

    def trade(minute: int, close: float) -> None:
        start = minute - minute % base.minutes
        running = bar(BTC, start, timeframe=base, final=False, close=close, high=9_999.0)
        traded.market.apply_bar(running)

    trade(OPEN, 500.5)
    await chart.poll(NOON_S - 30)
    trade(OPEN, 501.5)
    await chart.poll(NOON_S - 20)
    # The window closes: stored first, then told.
    last = OPEN - OPEN % base.minutes
    closed = bar(BTC, last, timeframe=base, close=502.5, high=9_999.0)
    await traded.save(closed)
    traded.market.apply_bar(closed)
    trade(1_441, 503.5)  # after a gap, on the next day
    await chart.poll(NOON_S + 86_400)

    first, second = starts([OPEN, 1_441], resolution)
    told = [(row["t"], row["c"]) for row in chart.drawn]
    assert told == [(first, 500.5), (first, 501.5), (first, 502.5), (second, 503.5)]


@pytest.mark.parametrize("resolution", ["1", "2"])
async def test_a_new_bar_is_shown_when_the_one_before_has_its_last_form(
    traded: Rig, resolution: str
) -> None:
    chart = Chart(rig=traded, symbol=BTC, resolution=resolution)
    last, after = OPEN, OPEN + 1 if resolution == "1" else 721
    await chart.open()
    traded.market.apply_bar(bar(BTC, last, final=False, close=500.5, high=9_999.0))
    # The next one runs, while the one before waits for stragglers.
    traded.market.apply_bar(bar(BTC, after, final=False, close=502.5, high=9_999.0))
    await chart.poll(NOON_S + 61)
    closed = bar(BTC, last, close=501.5, high=9_999.0)
    await traded.save(closed)
    traded.market.apply_bar(closed)
    await chart.poll(NOON_S + 71)

    first, second = starts([last, after], resolution)
    told = [(row["t"], row["c"]) for row in chart.drawn]
    assert told == [(first, 500.5), (first, 501.5), (second, 502.5)]


async def test_an_open_hour_counts_every_part_once(traded: Rig) -> None:
    chart = Chart(rig=traded, symbol=BTC, resolution="60")
    await chart.open()

    answer = await chart.history(DAY_S + 660 * 60, NOON_S)

    parts = [bar(BTC, minute, timeframe=Timeframe.MIN_15) for minute in (690, 705)]
    assert answer["t"] == [DAY_S + 660 * 60]
    assert answer["o"] == [parts[0].open]
    assert answer["c"] == [parts[1].close]
    assert answer["v"] == [4.0]


async def test_an_answer_is_cut_to_the_latest_bars_at_exactly_the_published_number(
    rig: Rig,
) -> None:
    many = 10_002
    await rig.save(*(bar(BTC, minute - many) for minute in range(many)))
    chart = Chart(rig=rig, symbol=BTC, resolution="1")
    await chart.open()
    limit = (await chart.ask("config"))["limitedServerResponse"]
    assert limit == {"maxResponseLength": 10_000, "expectedOrder": "latestFirst"}

    ranged = await chart.history(0, DAY_S)
    counted = await chart.history(DAY_S - 60, DAY_S, 10_001)

    assert ranged["t"] == counted["t"]
    assert (len(ranged["t"]), ranged["t"][-1]) == (10_000, DAY_S - 60)
    # The library goes on before the first bar with what is left of its count.
    assert (await chart.history(0, ranged["t"][0], 1))["t"] == [ranged["t"][0] - 60]
    assert len((await chart.history(0, ranged["t"][0], 0))["t"]) == 2


async def test_real_bars_of_a_venue_come_back_as_they_are(rig: Rig, market_data: Path) -> None:
    with gzip.open(market_data / "binance_xrpeth_bars_1m.csv.gz", "rt") as lines:
        rows = list(csv.DictReader(lines))
    real = {int(row["open_time_ms"]) // 1_000: row for row in rows}
    await rig.save(*(_bar_of(row) for row in rows))
    chart = Chart(rig=rig, symbol="XRP-ETH", resolution="1")

    info = await chart.open()
    await chart.scroll_to_the_beginning(max(real) + 60, 329)

    assert [row["t"] for row in chart.bars] == sorted(real)
    for row in chart.bars:
        expected = real[int(row["t"])]
        assert [row[name] for name in "ohlcv"] == [
            float(expected[name]) for name in ("open", "high", "low", "close", "volume")
        ]
    assert info["pricescale"] == 10 ** max(
        len(row[name].rstrip("0").partition(".")[2])
        for row in rows[-200:]
        for name in ("open", "high", "low", "close")
    )


def _bar_of(row: dict[str, str]) -> Bar:
    prices = {name: float(row[name]) for name in ("open", "high", "low", "close", "volume")}
    minute = (int(row["open_time_ms"]) * 1_000_000 - DAY) // MINUTE_NS
    return bar("BINANCE:XRP-ETH", minute, vwap=prices["close"], **prices)


async def test_symbols_resolve_by_any_spelling_and_show_how_fine_they_are(traded: Rig) -> None:
    chart = Chart(rig=traded, symbol="btc/usd", resolution="1")

    info = await chart.open()

    assert info["ticker"] == BTC
    assert info["pricescale"] == 10  # its closes are at .5
    assert await chart.ask("symbols", symbol="coinbase:btc-usd", currencyCode="USD") == info
    unknown = await chart.ask("symbols", symbol="SIM:NONE")
    assert (unknown["s"], unknown["errmsg"]) == ("error", "unknown_symbol")


async def test_a_symbol_has_what_clients_read_by_either_kind_of_name(traded: Rig) -> None:
    info = await Chart(rig=traded, symbol=BTC, resolution="1").open()
    table = await Chart(rig=traded, symbol=BTC, resolution="1").ask("symbol_info", group="coinbase")

    kebab = {name: value for name, value in info.items() if "-" in name}
    assert kebab
    for name, value in kebab.items():
        others = {"exchange-traded": "exchange", "exchange-listed": "listed_exchange"}
        others["session-regular"] = "session"
        assert info[others.get(name, name.replace("-", "_"))] == value
        assert table[name] == [value]
    assert info["has_intraday"] is True
    assert (table["symbol"], table["ticker"]) == (["BTC-USD"], [BTC])
    assert table["pricescale"] == [10]


async def test_search_finds_by_part_venue_and_kind(rig: Rig) -> None:
    names = [Symbol(name) for name in (BTC, ETH, "SIM:BTC-USD", "SIM:S001")]
    rig.market.add_symbols(names)
    chart = Chart(rig=rig, symbol=BTC, resolution="1")

    async def found(**params: object) -> list[str]:
        return [one["ticker"] for one in await chart.ask("search", **params)]

    assert await found(query="BTC", limit=30, type="", exchange="") == [BTC, "SIM:BTC-USD"]
    assert await found(query="BTC", exchange="SIM") == ["SIM:BTC-USD"]
    assert await found(query="", limit=2) == [BTC, ETH]
    assert await found(query="BTC", type="stock") == []
    assert await found(query="NOTHING") == []


async def test_the_clock_is_a_bare_number_of_seconds(rig: Rig) -> None:
    async with rig.session.get(rig.base + "/udf/time") as response:
        assert await response.text() == str(NOON_S)


async def test_marks_are_on_bars_with_missing_trades_and_on_revised_ones(rig: Rig) -> None:
    await rig.save(bar(BTC, 0), bar(BTC, 1, rev=2), bar(BTC, 2, gap=True), bar(BTC, 3, gap=True))
    chart = Chart(rig=rig, symbol=BTC, resolution="1")
    span: dict[str, object] = {"symbol": BTC, "from": DAY_S, "to": NOON_S, "resolution": "1"}

    marks = await chart.ask("marks", **span)
    axis = await chart.ask("timescale_marks", **span)

    assert marks["time"] == [DAY_S + 60, DAY_S + 120, DAY_S + 180]
    assert marks["label"] == ["R", "G", "G"]
    assert {len(column) for column in marks.values()} == {3}
    assert [(mark["time"], mark["label"]) for mark in axis] == [(DAY_S + 120, "G")]
    assert (await chart.ask("marks", **(span | {"to": DAY_S})))["id"] == []
    assert await chart.ask("timescale_marks", **(span | {"to": DAY_S})) == []


async def test_quotes_have_the_change_against_the_day_before_under_the_names_asked_for(
    traded: Rig,
) -> None:
    yesterday = bar(BTC, -1, close=90.0)
    await traded.save(yesterday)
    traded.market.add_symbols([Symbol(ETH)])
    traded.market.apply_trade(Tick(Symbol(BTC), 1, 99.0, 0.25, NOON - 1))
    names = ["btc/usd", ETH, "NEW-USD", "a b", BTC]

    answer = await Chart(rig=traded, symbol=BTC, resolution="1").ask(
        "quotes", symbols=",".join(names)
    )

    assert answer["s"] == "ok"
    assert [(quote["n"], quote["s"]) for quote in answer["d"]] == [
        ("btc/usd", "ok"),
        (ETH, "error"),
        ("NEW-USD", "error"),
        ("a b", "error"),
        (BTC, "ok"),
    ]
    values: dict[str, Any] = answer["d"][0]["v"]
    assert (values["lp"], values["prev_close_price"]) == (99.0, 90.0)
    assert (values["ch"], values["chp"]) == (9.0, 10.0)
    assert (values["open_price"], values["low_price"]) == (100.0, 99.0)
    assert values["high_price"] == 100.0 + OPEN + 1
    assert values["volume"] == 2.0 * (len([m for m in MINUTES if m >= 0]) + 1)


async def test_of_an_empty_list_there_are_no_quotes(traded: Rig) -> None:
    # TradingView's client asks so each minute while all of a watch-list is in view
    answer = await Chart(rig=traded, symbol=BTC, resolution="1").ask("quotes", symbols="")

    assert answer == {"s": "ok", "d": []}


async def test_a_stock_changes_against_the_last_day_on_which_it_traded(rig: Rig) -> None:
    rig.market.declare({"ALP": True, "COINBASE": False})
    for symbol in ("ALP:FRI", "COINBASE:FRI-USD"):
        await rig.save(bar(symbol, -3 * 1_440, close=100.0), bar(symbol, 0, close=110.0))

    answer = await Chart(rig=rig, symbol="ALP:FRI", resolution="1").ask(
        "quotes", symbols="FRI,FRI-USD"
    )

    stock, coin = [quote["v"] for quote in answer["d"]]
    assert (stock["prev_close_price"], stock["ch"], stock["chp"]) == (100.0, 10.0, 10.0)
    assert (coin["lp"], "ch" in coin) == (110.0, False)


async def test_a_quote_of_a_symbol_that_last_traded_long_ago_stands_among_newer_ones(
    rig: Rig,
) -> None:
    names = [Symbol(f"COINBASE:Q{day}-USD") for day in range(5)]
    await rig.save(*(bar(name, -1_440 * day) for day, name in enumerate(names)))
    rig.market.add_symbols(names)
    for day, name in enumerate(names):
        rig.market.apply_trade(Tick(name, 1, 10.0 + day, 1.0, DAY - day * DAY_NS))

    answer = await Chart(rig=rig, symbol=names[0], resolution="1").ask(
        "quotes", symbols=",".join(names)
    )

    values = [quote["v"] for quote in answer["d"]]
    assert [of_one["lp"] for of_one in values] == [10.0, 11.0, 12.0, 13.0, 14.0]
    assert ["volume" in of_one for of_one in values] == [True, True, True, False, False]


BAD = [
    ("history", 400, "resolution is missing"),
    ("history?resolution=2W&symbol=BTC-USD", 400, "minutes from 1 to 1440"),
    ("history?resolution=1&symbol=BTC-USD&from=0&to=1625270400000", 400, "not milliseconds"),
    ("history?resolution=1&symbol=A%20B&from=0&to=1", 400, "expected VENUE"),
    ("history?resolution=1&symbol=NEW&from=0&to=1", 404, "unknown_symbol"),
    ("symbols?symbol=NEW", 404, "unknown_symbol"),
    ("symbols", 400, "symbol is missing"),
    ("symbol_info", 400, "group is missing"),
    ("search?limit=0", 400, "from 1 to 1000"),
    ("quotes", 400, "symbols is missing"),
    ("marks?symbol=A", 400, "resolution is missing"),
    ("nowhere", 404, "nothing at"),
]


async def test_every_error_is_json_that_the_library_reads(rig: Rig) -> None:
    for path, status, reason in BAD:
        async with rig.session.get(f"{rig.base}/udf/{path}") as response:
            answer = await response.json()

        assert (response.status, answer["s"], answer["code"]) == (status, "error", status), path
        assert reason in answer["errmsg"]


async def test_no_symbol_is_unknown_before_the_symbols_were_read(rig: Rig) -> None:
    rig.market.complete = False

    for path in (f"symbols?symbol={BTC}", "symbols?symbol=BTC-USD"):
        async with rig.session.get(f"{rig.base}/udf/{path}") as response:
            answer = await response.json()

        assert (response.status, answer["s"]) == (503, "error"), path
        assert "not read yet" in answer["errmsg"]


async def test_another_method_and_a_database_that_is_away_are_told_in_the_same_way(
    rig: Rig,
) -> None:
    async with rig.session.post(rig.base + "/udf/config") as response:
        assert (response.status, (await response.json())["s"]) == (405, "error")
    await rig.database.close()
    asked = f"/udf/history?symbol={BTC}&resolution=1&from=0&to={NOON_S}"
    async with rig.session.get(rig.base + asked) as response:
        assert (response.status, (await response.json())["s"]) == (503, "error")
