"""/v1/bars: what is asked for, page by page."""

from typing import Any

import pytest

from core.market.bar import BarRow
from core.market.timeframe import Timeframe
from storage.bars import FlushBatch
from tests.integration.gateway_http.rig import DAY, Rig, bar

BTC, ETH = "COINBASE:BTC-USD", "COINBASE:ETH-USD"
TODAY = {"start": "2021-07-03", "end": "2021-07-04"}


async def pages(rig: Rig, **params: str) -> list[dict[str, Any]]:
    """All pages of a query."""
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        status, answer = await rig.get("/v1/bars", **params, **token)
        assert status == 200, answer
        found.append(answer["bars"])
        if answer["next_page_token"] is None:
            return found
        token = {"page_token": answer["next_page_token"]}


def flat(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(name, one["t"]) for page in found for name, bars in page.items() for one in bars]


async def test_bars_have_the_published_shape_under_the_callers_spelling(both: Rig) -> None:
    await both.save(bar(BTC, 0, rev=2), bar(BTC, 1, gap=True), bar(ETH, 0))

    status, answer = await both.get("/v1/bars", symbols="btc/usd,SIM:NONE", **TODAY)

    assert status == 200
    shape = {
        "t": "2021-07-03T00:00:00Z",
        "o": 100.0,
        "h": 101.0,
        "l": 99.0,
        "c": 100.5,
        "v": 2.0,
        "n": 3,
        "vw": 100.0,
        "rev": 2,
        "final": True,
    }
    second = {key: value for key, value in answer["bars"]["btc/usd"][1].items() if key != "gap"}
    assert answer == {
        "bars": {"btc/usd": [shape, second | {"gap": True}]},
        "next_page_token": None,
    }


async def test_start_and_end_are_inclusive_and_default_to_today_and_now(both: Rig) -> None:
    await both.save(*(bar(BTC, minute) for minute in (-1, 0, 5, 719, 720, 721)))

    async def minutes(**params: str) -> list[str]:
        _, answer = await both.get("/v1/bars", symbols="BTC-USD", **params)
        return [one["t"][5:16] for one in answer["bars"].get("BTC-USD", [])]

    assert await minutes() == ["07-03T00:00", "07-03T00:05", "07-03T11:59", "07-03T12:00"]
    assert await minutes(start="2021-07-03T00:05:00Z", end="2021-07-03T13:59:00+02:00") == [
        "07-03T00:05",
        "07-03T11:59",
    ]
    assert await minutes(start="2021-07-03T00:05:00.000000001Z", end="2021-07-03T11:59:00Z") == [
        "07-03T11:59"
    ]
    assert await minutes(start="2021-07-03T00:05:00Z", end="2021-07-03T11:58:59.999999999Z") == [
        "07-03T00:05"
    ]
    assert await minutes(start="0001-01-01", end="9999-12-31") == [
        "07-02T23:59",
        "07-03T00:00",
        "07-03T00:05",
        "07-03T11:59",
        "07-03T12:00",
        "07-03T12:01",
    ]
    assert await minutes(start="2022-01-01") == []


@pytest.mark.parametrize("sort", ["asc", "desc"])
async def test_pages_hold_every_bar_once_by_symbol_then_time(both: Rig, sort: str) -> None:
    await both.save(*(bar(name, minute) for name in (ETH, BTC) for minute in range(7)))

    found = await pages(both, symbols="ETH-USD,BTC-USD", limit="3", sort=sort, **TODAY)

    assert [sum(map(len, page.values())) for page in found] == [3, 3, 3, 3, 2]
    minutes = range(7) if sort == "asc" else range(6, -1, -1)
    assert flat(found) == [
        (name, f"2021-07-03T00:{minute:02}:00Z")
        for name in ("BTC-USD", "ETH-USD")
        for minute in minutes
    ]


async def test_an_exactly_full_last_page_has_no_token(both: Rig) -> None:
    await both.save(*(bar(BTC, minute) for minute in range(4)))

    found = await pages(both, symbols="BTC-USD", limit="2", **TODAY)

    assert [len(page["BTC-USD"]) for page in found] == [2, 2]


async def test_bars_stored_between_pages_neither_repeat_nor_hide_others(both: Rig) -> None:
    await both.save(*(bar(BTC, minute) for minute in range(10, 20)))
    _, first = await both.get("/v1/bars", symbols="BTC-USD", limit="4", **TODAY)

    await both.save(bar(BTC, 2), bar(BTC, 12, rev=1), bar(BTC, 30), bar("BINANCE:AAA-USD", 1))
    token = first["next_page_token"]
    _, rest = await both.get("/v1/bars", symbols="BTC-USD", page_token=token, **TODAY)

    minutes = [int(one["t"][14:16]) for one in rest["bars"]["BTC-USD"]]
    assert minutes == [14, 15, 16, 17, 18, 19, 30]


async def test_a_default_end_stays_where_it_was_on_the_first_page(both: Rig) -> None:
    await both.save(*(bar(BTC, minute) for minute in range(4)), bar(BTC, 730))
    _, first = await both.get("/v1/bars", symbols="BTC-USD", limit="2")

    both.now_ns = DAY + 86_400_000_000_000 + 1  # the next day
    token = first["next_page_token"]
    _, rest = await both.get("/v1/bars", symbols="BTC-USD", limit="2", page_token=token)

    assert [one["t"][11:16] for one in rest["bars"]["BTC-USD"]] == ["00:02", "00:03"]
    assert rest["next_page_token"] is None


async def test_timeframes_are_apart(both: Rig) -> None:
    await both.save(bar(BTC, 0), bar(BTC, 15, timeframe=Timeframe.MIN_15))

    found = await pages(both, symbols="BTC-USD", timeframe="15Min", **TODAY)

    assert flat(found) == [("BTC-USD", "2021-07-03T00:15:00Z")]


async def test_the_largest_page_is_ten_thousand_bars(rig: Rig) -> None:
    await rig.save(*(bar(BTC, minute) for minute in range(10_001)))

    found = await pages(rig, symbols="BTC-USD", limit="10000", start="2021-07-01", end="2022-01-01")

    assert [len(page["BTC-USD"]) for page in found] == [10_000, 1]


async def test_a_thousand_symbols_fit_one_request(rig: Rig) -> None:
    names = [f"BINANCE:{'A' * 10}{n:04}-USDT" for n in range(1_000)]
    await rig.save(*(bar(name, 0) for name in names))

    found = await pages(rig, symbols=",".join(names), **TODAY)

    assert [name for name, _ in flat(found)] == names


async def test_bars_of_a_full_symbol_are_found_before_the_gateway_has_read_the_symbols(
    rig: Rig,
) -> None:
    rows = [BarRow(bar(BTC, minute), (0, 0), (0, 0), (2.0,), (2.0,)) for minute in (1, 2)]
    await rig.store.flush(FlushBatch(rows=rows, checkpoints=[], last_trades=[]))
    rig.market.complete = False

    past, page = await rig.get("/v1/bars", symbols=BTC.lower(), start="2021-07-03")
    now, latest = await rig.get("/v1/bars/latest", symbols=BTC)
    guess, refused = await rig.get("/v1/bars", symbols="BTC-USD", start="2021-07-03")

    assert (past, now, guess) == (200, 200, 503)
    assert [found["t"][14:16] for found in page["bars"][BTC.lower()]] == ["01", "02"]
    assert latest["bars"][BTC]["t"] == "2021-07-03T00:02:00Z"
    assert "name its venue, or try again" in refused["message"]
