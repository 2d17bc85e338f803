"""The published market-data API, path by path; its SDKs are tested in tests/sdk."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from tests.fix_servers import Databases
from tests.integration.gateway_http.rig import DAY, NOON, Rig, bar, running
from tests.integration.gateway_http.test_http_trades import log

AAPL, MSFT, OPEN = "ALP:AAPL", "ALP:MSFT", "ALP:OPEN"
BTC, FREE = "COINBASE:BTC-USD", "OLD:IBM"
TODAY = {"start": "2021-07-03", "end": "2021-07-04", "timeframe": "1Min"}
STOCKS, CRYPTO = "/v2/stocks", "/v1beta3/crypto/us"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(embedded_databases: Databases, redis_url: str) -> AsyncIterator[Rig]:
    """Three minutes of some stocks and of a coin, and the last trade of one each."""
    with embedded_databases.lent() as url:
        async with running(database_url=url, redis_url=redis_url, namespace="alpaca") as rig:
            rig.market.declare({"ALP": True, "COINBASE": False})
            for symbol in (AAPL, MSFT, OPEN, BTC, FREE):
                await rig.save(*(bar(symbol, minute, volume=200.0) for minute in (-1, 0, 719)))
            for symbol in (AAPL, BTC):
                rig.market.apply_trade(Tick(Symbol(symbol), 7, 126.55, 100.0, NOON - 1, Side.BUY))
            rig.market.apply_bar(bar(OPEN, 720, final=False))
            await log(
                rig, [logged(symbol, ident) for symbol in (AAPL, MSFT, BTC) for ident in (1, 2)]
            )
            yield rig


def logged(symbol: str, ident: int) -> Tick:
    """A trade so many seconds into the day."""
    event_ns = DAY + ident * 10**9
    return Tick(Symbol(symbol), ident, 126.55, 100.0, event_ns, Side.BUY, ident)


def stock_bar(minute: int) -> dict[str, Any]:
    price, at = 100.0 + minute, {0: "00:00", 719: "11:59"}[minute]
    return {
        "t": f"2021-07-03T{at}:00Z", "o": price, "h": price + 1, "l": price - 1, "c": price + 0.5,
        "v": 200, "n": 3, "vw": price,
    }  # fmt: skip


TRADE = {
    "t": "2021-07-03T11:59:59.999999999Z", "p": 126.55, "s": 100, "i": 7, "x": "E", "c": [],
    "z": "O",
}  # fmt: skip


async def test_bars_come_in_pages_by_symbol_then_time(market: Rig) -> None:
    asked = {"symbols": "MSFT,AAPL", "limit": "3", "feed": "iex", **TODAY}

    status, first = await market.get(f"{STOCKS}/bars", **asked)
    _, second = await market.get(f"{STOCKS}/bars", **asked, page_token=first["next_page_token"])

    assert status == 200
    assert first["bars"] == {"AAPL": [stock_bar(0), stock_bar(719)], "MSFT": [stock_bar(0)]}
    assert second == {"bars": {"MSFT": [stock_bar(719)]}, "next_page_token": None}


async def test_crypto_has_floats_and_the_callers_spelling(market: Rig) -> None:
    _, found = await market.get(f"{CRYPTO}/bars", symbols="BTC/USD", sort="desc", **TODAY)

    assert list(found["bars"]) == ["BTC/USD"]
    assert [one["t"][11:16] for one in found["bars"]["BTC/USD"]] == ["11:59", "00:00"]
    assert list(found["bars"]["BTC/USD"][0]) == ["t", "o", "h", "l", "c", "v", "n", "vw"]


async def test_one_symbol_in_the_path(market: Rig) -> None:
    assert (await market.get(f"{STOCKS}/AAPL/bars", **TODAY))[1] == {
        "bars": [stock_bar(0), stock_bar(719)],
        "symbol": "AAPL",
        "next_page_token": None,
    }
    assert (await market.get(f"{STOCKS}/AAPL/bars/latest"))[1] == {
        "symbol": "AAPL",
        "bar": stock_bar(719),
    }
    assert (await market.get(f"{STOCKS}/AAPL/trades/latest"))[1] == {
        "symbol": "AAPL",
        "trade": TRADE,
    }
    assert (await market.get(f"{STOCKS}/AAPL/snapshot"))[1] == {
        "symbol": "AAPL",
        **(await market.get(f"{STOCKS}/snapshots", symbols="AAPL"))[1]["AAPL"],
    }


async def test_trades_come_in_pages_by_symbol_then_time(market: Rig) -> None:
    asked = {"symbols": "MSFT,AAPL", "limit": "3", "start": "2021-07-03", "feed": "iex"}

    _, first = await market.get(f"{STOCKS}/trades", **asked)
    _, second = await market.get(f"{STOCKS}/trades", **asked, page_token=first["next_page_token"])
    _, one = await market.get(f"{STOCKS}/MSFT/trades", start="2021-07-03", sort="desc")
    _, coin = await market.get(f"{CRYPTO}/trades", symbols="BTC/USD", start="2021-07-03", limit="1")

    def stock(ident: int) -> dict[str, Any]:
        return TRADE | {"t": f"2021-07-03T00:00:0{ident}Z", "i": ident}

    assert first["trades"] == {"AAPL": [stock(1), stock(2)], "MSFT": [stock(1)]}
    assert second == {"trades": {"MSFT": [stock(2)]}, "next_page_token": None}
    assert one == {"trades": [stock(2), stock(1)], "symbol": "MSFT", "next_page_token": None}
    assert list(coin["trades"]["BTC/USD"][0]) == ["t", "p", "s", "i", "tks"]
    assert coin["next_page_token"] is not None


async def test_the_newest_values(market: Rig) -> None:
    names = {"symbols": "AAPL,MSFT,ALP:NONE"}

    bars = await market.get(f"{STOCKS}/bars/latest", **names, feed="iex")
    trades = await market.get(f"{STOCKS}/trades/latest", **names)
    coin = await market.get(f"{CRYPTO}/latest/trades", symbols="BTC-USD")

    assert bars == (200, {"bars": {"AAPL": stock_bar(719), "MSFT": stock_bar(719)}})
    assert trades == (200, {"trades": {"AAPL": TRADE}})
    assert coin[1]["trades"]["BTC-USD"] == {
        "t": TRADE["t"], "p": 126.55, "s": 100.0, "i": 7, "tks": "B"
    }  # fmt: skip


async def test_a_minute_that_is_still_open_is_no_latest_bar(market: Rig) -> None:
    _, found = await market.get(f"{STOCKS}/bars/latest", symbols="OPEN")
    _, snapshots = await market.get(f"{STOCKS}/snapshots", symbols="OPEN")

    assert found["bars"]["OPEN"]["t"] == "2021-07-03T11:59:00Z"
    assert snapshots["OPEN"]["minuteBar"] == stock_bar(719)
    assert snapshots["OPEN"]["dailyBar"]["c"] == 820.5  # the open minute's


async def test_snapshots_of_stocks_have_no_key_above_them_and_those_of_crypto_have(
    market: Rig,
) -> None:
    _, stocks = await market.get(f"{STOCKS}/snapshots", symbols="AAPL,MSFT,ALP:NONE")
    _, crypto = await market.get(f"{CRYPTO}/snapshots", symbols="BTC/USD")

    assert list(stocks) == ["AAPL", "MSFT"]
    assert stocks["AAPL"]["latestTrade"] == TRADE
    assert stocks["AAPL"]["dailyBar"] == {
        "t": "2021-07-03T00:00:00Z",
        "o": 100.0,
        "h": 820.0,
        "l": 99.0,
        "c": 819.5,
        "v": 400,
        "n": 6,
        "vw": 459.5,
    }
    assert stocks["AAPL"]["prevDailyBar"]["t"] == "2021-07-02T00:00:00Z"
    assert "latestTrade" not in stocks["MSFT"]
    assert list(crypto["snapshots"]) == ["BTC/USD"]


async def test_the_day_before_is_the_last_on_which_a_stock_traded(
    embedded_migrated_url: str, redis_url: str
) -> None:
    url = embedded_migrated_url
    async with running(database_url=url, redis_url=redis_url, namespace="days") as rig:
        rig.market.declare({"ALP": True, "COINBASE": False})
        for symbol, days in (("ALP:FRI", 3), ("ALP:OLD", 8), ("COINBASE:FRI-USD", 3)):
            await rig.save(*(bar(symbol, minute) for minute in (60 - days * 1_440, 719)))
            rig.market.add_symbols([Symbol(symbol)])

        _, stocks = await rig.get(f"{STOCKS}/snapshots", symbols="FRI,OLD")
        _, coins = await rig.get(f"{CRYPTO}/snapshots", symbols="FRI/USD")

    found = {**stocks, **coins["snapshots"]}
    assert {name: one["dailyBar"]["t"][:10] for name, one in found.items()} == dict.fromkeys(
        ("FRI", "OLD", "FRI/USD"), "2021-07-03"
    )
    assert stocks["FRI"]["prevDailyBar"]["t"] == "2021-06-30T00:00:00Z"
    assert [name for name, one in found.items() if "prevDailyBar" in one] == ["FRI"]


async def test_a_feed_may_say_that_imported_symbols_are_stocks(
    embedded_migrated_url: str, redis_url: str
) -> None:
    url = embedded_migrated_url
    async with running(database_url=url, redis_url=redis_url, namespace="later") as rig:
        await rig.save(bar("LATE:FRI", 60 - 3 * 1_440), bar("LATE:FRI", 719))
        _, before = await rig.get("/v1/snapshots", symbols="LATE:FRI")

        rig.market.declare({"LATE": True})
        _, after = await rig.get("/v1/snapshots", symbols="LATE:FRI")

    assert before["snapshots"]["LATE:FRI"]["prevDailyBar"] is None
    assert after["snapshots"]["LATE:FRI"]["prevDailyBar"]["t"] == "2021-06-30T00:00:00Z"


async def test_quotes_are_none_in_every_form(market: Rig) -> None:
    one_day = {"start": "2021-07-03", "end": "2021-07-04"}

    async def found(path: str, **params: str) -> Any:
        return (await market.get(path, **params))[1]

    assert await found(f"{STOCKS}/quotes", symbols="AAPL", **one_day) == {
        "quotes": {},
        "next_page_token": None,
    }
    assert await found(f"{STOCKS}/AAPL/quotes", **one_day) == {
        "quotes": [],
        "symbol": "AAPL",
        "next_page_token": None,
    }
    assert await found(f"{STOCKS}/quotes/latest", symbols="AAPL") == {"quotes": {}}
    assert await found(f"{CRYPTO}/latest/orderbooks", symbols="BTC/USD") == {"orderbooks": {}}


@pytest.mark.parametrize("kind", ["quotes", "trades", "bars"])
async def test_one_symbol_without_a_value_is_404_in_words(market: Rig, kind: str) -> None:
    status, error = await market.get(f"{STOCKS}/ALP:NONE/{kind}/latest")

    assert (status, error["code"]) == (404, 404)
    assert error["message"] == f"no {kind[:-1]} of 'ALP:NONE' is known"
    assert (await market.get(f"{STOCKS}/ALP:NONE/snapshot"))[0] == 404


@pytest.mark.parametrize(
    ("params", "hint"),
    [
        ({"symbols": "BTC/USD"}, "COINBASE:BTC-USD is no stock: no feed declares COINBASE"),
        ({"symbols": "A B"}, "parameter symbols: 'A B' is not accepted"),
        ({"symbols": ""}, "parameter symbols is missing"),
        ({"symbols": "AAPL", "timeframe": "1Week"}, "weeks and months are not offered"),
        ({"symbols": "AAPL", "timeframe": "five"}, "parameter timeframe: 'five'"),
        ({"symbols": "AAPL", "limit": "10001"}, "a whole number from 1 to 10000"),
        ({"symbols": "AAPL", "start": "noon"}, "parameter start: 'noon'"),
        ({"symbols": "AAPL", "page_token": "QUFQTHxE"}, "parameter page_token"),
    ],
)
async def test_a_bad_query_is_400_in_words(market: Rig, params: dict[str, str], hint: str) -> None:
    status, error = await market.get(f"{STOCKS}/bars", **{"timeframe": "1Min", **params})

    assert (status, error["code"]) == (400, 400)
    assert hint in error["message"]


async def test_a_stock_of_a_feed_that_is_long_gone_has_its_history(market: Rig) -> None:
    _, found = await market.get(f"{STOCKS}/bars", symbols="IBM", **TODAY)

    assert found["bars"]["IBM"] == [stock_bar(0), stock_bar(719)]


@pytest.mark.parametrize("path", [f"{STOCKS}/bars", f"{CRYPTO}/bars"])
async def test_a_date_at_both_ends_is_that_day_as_the_published_examples_ask(
    market: Rig, path: str
) -> None:
    asked = {"symbols": "AAPL", "timeframe": "1Min", "start": "2021-07-03", "end": "2021-07-03"}

    _, found = await market.get(path, **asked)
    _, day = await market.get(path, **asked | {"timeframe": "1Day", "end": "2021-07-02"})

    assert [one["t"][11:16] for one in found["bars"]["AAPL"]] == ["00:00", "11:59"]
    assert "parameter start" in day["message"]  # it is after the end of the day before


async def test_without_a_range_it_is_today_up_to_now(market: Rig) -> None:
    _, found = await market.get(f"{STOCKS}/bars", symbols="AAPL", timeframe="1T")

    assert found["bars"]["AAPL"] == [stock_bar(0), stock_bar(719)]


@pytest.mark.parametrize("path", ["bars?timeframe=1Min", "trades", "bars/latest", "snapshot"])
async def test_a_path_names_one_stock(market: Rig, path: str) -> None:
    status, answer = await market.get(f"{STOCKS}/AAPL,MSFT/{path}")

    assert status == answer["code"] == 400
    assert "the path names one; ask for several by symbols=" in answer["message"]
