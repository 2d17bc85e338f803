"""How things stand now: newest bars and trades, snapshots, symbols."""

import asyncio
import time
from typing import Any

from core.market.notice import Cancel
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from gateway.changes import Changes
from gateway.http.caching import Caching
from tests.integration.gateway_http.rig import DAY, Rig, bar, running

BTC, ETH = "COINBASE:BTC-USD", "COINBASE:ETH-USD"


def trade(symbol: str, minute: float, *, price: float = 100.0, trade_id: int = 1) -> Tick:
    event_ns = DAY + int(minute * 60e9)
    return Tick(Symbol(symbol), trade_id, price, 0.5, event_ns, Side.SELL, trade_id)


async def test_the_latest_bar_is_the_running_one_else_the_newest_that_was_closed(both: Rig) -> None:
    await both.save(bar(BTC, 5), bar(BTC, 6), bar(ETH, 3), bar("SIM:QUIET", 2))
    both.market.apply_bar(bar(BTC, 7, final=False))
    both.market.apply_bar(bar(ETH, 1, rev=1))  # a late revision is newer news of an older bar

    status, answer = await both.get(
        "/v1/bars/latest", symbols="BTC-USD,eth-usd,QUIET,SIM:NONE,NOBODY"
    )

    assert status == 200
    assert {name: (b["t"][14:16], b["final"]) for name, b in answer["bars"].items()} == {
        "BTC-USD": ("07", False),
        "eth-usd": ("03", True),
        "QUIET": ("02", True),
    }


async def test_a_bar_that_closed_replaces_its_running_form(rig: Rig) -> None:
    rig.market.apply_bar(bar(BTC, 7, final=False, timeframe=Timeframe.MIN_5))
    rig.market.apply_bar(bar(BTC, 7, timeframe=Timeframe.MIN_5))

    _, answer = await rig.get("/v1/bars/latest", symbols="BTC-USD", timeframe="5Min")

    assert answer["bars"]["BTC-USD"]["final"] is True


async def test_the_latest_bar_of_another_length_has_what_is_stored_and_what_is_running(
    both: Rig,
) -> None:
    fifteen = Timeframe.MIN_15
    await both.save(
        *(bar(name, n, timeframe=fifteen) for name in (BTC, ETH) for n in (0, 45, 60, 75))
    )
    both.market.apply_bar(bar(BTC, 90, timeframe=fifteen))  # committed a moment from now
    both.market.apply_bar(bar(BTC, 105, timeframe=fifteen, final=False))

    _, answer = await both.get("/v1/bars/latest", symbols="BTC-USD,ETH-USD", timeframe="1Hour")
    _, day = await both.get("/v1/bars/latest", symbols="BTC-USD", timeframe="1Day")

    running, closed = answer["bars"]["BTC-USD"], answer["bars"]["ETH-USD"]
    assert (running["t"], running["o"], running["c"], running["n"], running["final"]) == (
        "2021-07-03T01:00:00Z", 160.0, 205.5, 12, False)  # fmt: skip
    assert (closed["t"], closed["c"], closed["n"], closed["final"]) == (
        "2021-07-03T01:00:00Z", 175.5, 6, True)  # fmt: skip
    assert (day["bars"]["BTC-USD"]["t"], day["bars"]["BTC-USD"]["n"]) == (
        "2021-07-03T00:00:00Z", 18)  # fmt: skip
    assert day["bars"]["BTC-USD"]["final"] is False


async def test_the_latest_trade_comes_from_memory(rig: Rig) -> None:
    rig.market.apply_trade(trade(BTC, 1.5, price=7.25, trade_id=42))
    rig.market.add_symbols([Symbol(ETH)])

    status, answer = await rig.get("/v1/trades/latest", symbols="btc/usd,ETH-USD")

    assert status == 200
    assert answer == {
        "trades": {
            "btc/usd": {"t": "2021-07-03T00:01:30Z", "p": 7.25, "s": 0.5, "i": 42, "tks": "S"}
        }
    }


async def test_a_snapshot_has_the_trade_the_minute_the_day_and_the_day_before(both: Rig) -> None:
    await both.save(
        *(bar(BTC, minute) for minute in (0, 1, 2)), *(bar(BTC, minute - 1440) for minute in (3, 4))
    )
    both.market.apply_bar(bar(BTC, 3))  # closed, and committed a moment from now
    both.market.apply_bar(bar(BTC, 4, final=False))
    both.market.apply_trade(trade(BTC, 4.5, price=104.5))

    status, answer = await both.get("/v1/snapshots", symbols="btc/usd,NOBODY")

    assert status == 200
    assert list(answer["snapshots"]) == ["btc/usd"]
    snapshot = answer["snapshots"]["btc/usd"]
    assert set(snapshot) == {
        "latestTrade",
        "latestQuote",
        "minuteBar",
        "dailyBar",
        "prevDailyBar",
    }
    assert snapshot["latestTrade"]["p"] == 104.5
    assert snapshot["latestQuote"] is None
    assert (snapshot["minuteBar"]["t"], snapshot["minuteBar"]["final"]) == (
        "2021-07-03T00:04:00Z",
        False,
    )
    day = snapshot["dailyBar"]
    assert abs(day.pop("vw") - 102.0) < 1e-9
    assert day == {
        "t": "2021-07-03T00:00:00Z",
        "o": 100.0,
        "h": 105.0,
        "l": 99.0,
        "c": 104.5,
        "v": 10.0,
        "n": 15,
    }
    before = snapshot["prevDailyBar"]
    assert (before["t"], before["o"], before["n"]) == ("2021-07-02T00:00:00Z", -1337.0, 6)


async def test_a_snapshot_shows_each_symbols_own_last_day(both: Rig) -> None:
    """A replay of last week beside a live feed: both have a day."""
    await both.save(bar(BTC, 5), bar(ETH, 5 - 7 * 1440))
    both.market.apply_trade(trade(BTC, 5))
    both.market.apply_trade(trade(ETH, 5 - 7 * 1440))

    _, answer = await both.get("/v1/snapshots", symbols="BTC-USD,ETH-USD")

    days = {name: one["dailyBar"]["t"][:10] for name, one in answer["snapshots"].items()}
    assert days == {"BTC-USD": "2021-07-03", "ETH-USD": "2021-06-26"}


async def test_a_symbol_with_a_trade_but_no_bar_has_a_snapshot(rig: Rig) -> None:
    rig.market.apply_trade(trade(BTC, 1))

    _, answer = await rig.get("/v1/snapshots", symbols="BTC-USD")

    snapshot = answer["snapshots"]["BTC-USD"]
    assert snapshot["latestTrade"]["i"] == 1
    assert snapshot["minuteBar"] is snapshot["dailyBar"] is snapshot["prevDailyBar"] is None


async def test_a_day_is_loaded_once_and_kept_up_by_what_closes_or_is_revised(rig: Rig) -> None:
    await rig.save(bar(BTC, 0))
    rig.market.apply_trade(trade(BTC, 0))

    async def closes() -> tuple[float, int]:
        rig.pass_s(1)
        _, answer = await rig.get("/v1/snapshots", symbols="BTC-USD")
        day = answer["snapshots"]["BTC-USD"]["dailyBar"]
        return day["c"], day["n"]

    assert await closes() == (100.5, 3)
    await rig.save(bar(BTC, 1))
    rig.market.apply_bar(bar(BTC, 1))
    assert await closes() == (101.5, 6)
    assert loads(rig) == 1
    revised = bar(BTC, 1, rev=1, trades=5)
    await rig.save(revised)
    rig.market.apply_bar(revised)
    assert await closes() == (101.5, 8)
    assert loads(rig) == 2
    rig.pass_s(700)
    await closes()
    assert loads(rig) == 3


def loads(rig: Rig) -> float | None:
    """How often a request had to wait for days."""
    return rig.registry.get_sample_value(
        "gateway_http_cache_lookups_total", {"cache": "days", "outcome": "load"}
    )


async def test_a_day_that_grew_old_is_loaded_anew_before_anyone_waits_for_it(rig: Rig) -> None:
    await rig.save(bar(BTC, 0))
    rig.market.apply_trade(trade(BTC, 0))

    async def trades_of_the_day() -> int:
        rig.pass_s(1.1)
        _, answer = await rig.get("/v1/snapshots", symbols=BTC)
        return int(answer["snapshots"][BTC]["dailyBar"]["n"])

    assert await trades_of_the_day() == 3
    assert await trades_of_the_day() == 3  # asked for again, since it was loaded
    await rig.save(bar(BTC, 1))  # which no stream tells, as where one was trimmed
    while not rig.market.days.due(time.monotonic_ns() + rig.monotonic_offset_ns):
        rig.pass_s(5)
    for _ in range(40):
        if await trades_of_the_day() == 6:
            break
        await asyncio.sleep(0.5)

    assert await trades_of_the_day() == 6
    assert loads(rig) == 1


async def test_days_of_a_symbol_without_a_minute_are_loaded_once(rig: Rig) -> None:
    rig.market.apply_trade(trade(BTC, 5))

    async def day(symbols: str) -> Any:
        rig.pass_s(1.1)
        _, answer = await rig.get("/v1/snapshots", symbols=symbols)
        return answer["snapshots"][BTC]["dailyBar"]

    rig.market.add_symbols([Symbol(ETH)])  # carried, and never traded
    assert await day(f"{BTC},{ETH}") is None
    assert await day(f"{BTC},{ETH}") is None
    assert loads(rig) == 1
    assert await day(f"{BTC},SIM:NOBODY") is None
    assert await day(f"{BTC},SIM:NOBODY") is None
    before = loads(rig)
    assert before == 3  # names that nobody carries have no end: none is kept
    for minute in (5, 6):
        await rig.save(bar(BTC, minute))
        rig.market.apply_bar(bar(BTC, minute))

    assert (await day(BTC))["n"] == 6
    await rig.save(bar(ETH, 5))
    rig.market.apply_bar(bar(ETH, 5))
    _, answer = await rig.get("/v1/snapshots", symbols=f"{BTC},{ETH}")
    assert answer["snapshots"][ETH]["dailyBar"]["n"] == 3
    assert loads(rig) == before


async def test_what_closes_before_the_streams_are_heard_is_part_of_the_day(
    embedded_migrated_url: str, redis_url: str, namespace: str
) -> None:
    urls = {"database_url": embedded_migrated_url, "redis_url": redis_url}
    changes = Changes()
    async with running(**urls, namespace=namespace, caching=Caching(changes=changes)) as rig:

        async def trades_of_the_day() -> int:
            rig.pass_s(1.1)
            _, answer = await rig.get("/v1/snapshots", symbols=BTC)
            return int(answer["snapshots"][BTC]["dailyBar"]["n"])

        await rig.save(bar(BTC, 0))
        assert await trades_of_the_day() == 3
        await rig.save(bar(BTC, 1))  # told before this gateway hears of anything

        heard_ns = time.monotonic_ns() + rig.monotonic_offset_ns + 2_000_000_000
        changes.hear(dict.fromkeys(range(16), heard_ns))
        await rig.save(bar(BTC, 2))
        rig.market.apply_bar(bar(BTC, 2))

        assert await trades_of_the_day() == 9


async def test_symbols_are_listed_with_venue_and_last_trade_and_can_be_searched(rig: Rig) -> None:
    rig.market.apply_trade(trade(BTC, 1))
    rig.market.add_symbols([Symbol("SIM:S001")])

    _, everything = await rig.get("/v1/symbols")
    _, found = await rig.get("/v1/symbols", query="btc/")
    _, nothing = await rig.get("/v1/symbols", query="zzz")

    assert [one["symbol"] for one in everything["symbols"]] == [BTC, "SIM:S001"]
    assert everything["symbols"][1] == {
        "symbol": "SIM:S001",
        "venue": "SIM",
        "ticker": "S001",
        "last_trade": None,
    }
    assert found["symbols"][0]["last_trade"]["t"] == "2021-07-03T00:01:00Z"
    assert nothing == {"symbols": []}


async def test_no_symbols_are_no_queries(rig: Rig) -> None:
    await rig.database.close()

    for path in ("/v1/bars", "/v1/bars/latest", "/v1/trades/latest", "/v1/snapshots"):
        status, answer = await rig.get(path, symbols="NOBODY")

        assert status == 200
        assert not any(answer.values())


async def test_a_minute_that_is_over_and_waits_for_stragglers_is_missing_nowhere(both: Rig) -> None:
    await both.save(bar(BTC, 0), bar(BTC, 1))
    for minute in (2, 3):  # the one before goes on being open for the grace
        both.market.apply_bar(bar(BTC, minute, final=False))
    both.market.apply_trade(trade(BTC, 3.0))

    _, latest = await both.get("/v1/bars/latest", symbols="BTC-USD", timeframe="7Min")
    _, snapshots = await both.get("/v1/snapshots", symbols="BTC-USD")

    assert (latest["bars"]["BTC-USD"]["n"], latest["bars"]["BTC-USD"]["c"]) == (12, 103.5)
    assert snapshots["snapshots"]["BTC-USD"]["dailyBar"]["n"] == 12
    assert snapshots["snapshots"]["BTC-USD"]["minuteBar"]["t"] == "2021-07-03T00:03:00Z"


async def test_just_after_midnight_the_day_before_has_its_last_minute(rig: Rig) -> None:
    await rig.save(bar(BTC, -3), bar(BTC, -2), bar(ETH, -1_441))
    for minute in (-1, 0):
        for symbol in (BTC, ETH):
            rig.market.apply_bar(bar(symbol, minute, final=False))

    async def days(symbol: str) -> tuple[Any, Any]:
        rig.pass_s(1.1)
        _, answer = await rig.get("/v1/snapshots", symbols=symbol)
        return answer["snapshots"][symbol]["dailyBar"], answer["snapshots"][symbol]["prevDailyBar"]

    for symbol, count, first in ((BTC, 9, 97.0), (ETH, 3, 99.0)):
        day, before = await days(symbol)
        assert (day["t"], day["n"]) == ("2021-07-03T00:00:00Z", 3)
        assert (before["t"], before["n"], before["o"]) == ("2021-07-02T00:00:00Z", count, first)
        assert before["c"] == 99.5

    shown = await days(BTC)
    await rig.save(bar(BTC, -1))
    rig.market.apply_bar(bar(BTC, -1))
    assert await days(BTC) == shown


async def test_a_day_that_is_not_looked_at_is_not_its_last_minute_alone(rig: Rig) -> None:
    names = [f"COINBASE:D{day}-USD" for day in range(4)]
    for day, name in enumerate(names):
        await rig.save(bar(name, -day * 1_440))
        rig.market.apply_bar(bar(name, 1 - day * 1_440, final=False))

    _, answer = await rig.get("/v1/snapshots", symbols=",".join(names))

    days = [answer["snapshots"][name]["dailyBar"] for name in names]
    assert [day and day["n"] for day in days] == [6, 6, 6, None]


async def test_a_cancel_of_the_only_trade_of_a_day_shows_the_day_before_it(rig: Rig) -> None:
    symbol = Symbol(BTC)
    await rig.save(bar(BTC, -1_439))
    rig.market.apply_trade(trade(BTC, 1.0, trade_id=7))
    _, answer = await rig.get("/v1/snapshots", symbols=BTC)
    assert answer["snapshots"][BTC]["dailyBar"] is None

    rig.market.apply_notices([Cancel(symbol, DAY, 7, 100.0, 0.5)])
    rig.pass_s(1.1)
    _, answer = await rig.get("/v1/snapshots", symbols=BTC)

    assert answer["snapshots"][BTC]["dailyBar"]["t"] == "2021-07-02T00:00:00Z"
