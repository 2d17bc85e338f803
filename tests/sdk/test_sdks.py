"""alpaca-py and alpaca-trade-api, as they are published, against a tickgate as it runs.

Both do the same things; every field that they hand to their users is compared with what the
venues sent, or with the bars that follow from it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from core.market.bar import Bar
from core.market.timeframe import DAY_NS, MINUTE_NS
from tests.conftest import Eventually
from tests.fakes.alpaca import KEY, SECRET
from tests.fix_servers import new_database
from tests.sdk.harness import Sdk, SdkError, js_command, python_command, running
from tests.sdk.market import COINS, PAST, PAST_MINUTES, PAST_NS, STOCKS, Market, opened, rolled
from tests.sdk.shapes import JsShapes, PythonShapes, Shape, micros, millis

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]

AAPL, BTC = STOCKS["AAPL"], COINS["BTC/USD"]
SHAPES: dict[str, Any] = {"python": PythonShapes, "js": JsShapes}
_PROBE_S = 0.2
WAIT_S = 30.0  # generous: the machine may be busy


@pytest.fixture(scope="module")
def database(embedded_postgres: str) -> Iterator[str]:
    with new_database(embedded_postgres) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sdks() -> AsyncIterator[dict[str, Sdk]]:
    """Both SDKs, which take seconds to be loaded: meanwhile the market opens."""
    async with running("python", python_command()) as python, running("js", js_command()) as js:
        yield {"python": python, "js": js}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(sdks: dict[str, Sdk], redis_url: str, database: str) -> AsyncIterator[Market]:
    async with opened(redis_url, database, "sdk") as found:
        where = {"http": found.http, "ws": found.ws, "key": KEY}
        for each in sdks.values():
            await each.ask("client", client="good", secret=SECRET, **where)
            await each.ask("client", client="bad", secret="wrong", **where)
        yield found


@pytest.fixture(params=["python", "js"])
def sdk(request: pytest.FixtureRequest, sdks: dict[str, Sdk]) -> Sdk:
    """One SDK, with a client that has the right key and one that has not."""
    return sdks[request.param]


async def heard(market: Market, sdk: Sdk, stream: str, *names: str) -> None:
    """Wait until *stream* is given trades of *names*: it is subscribed."""
    async with asyncio.timeout(WAIT_S):
        for name in names:
            before = len(sdk.given(stream, "trade"))
            while not any(t["symbol"] == name for t in sdk.given(stream, "trade")[before:]):
                await market.trade(name, step_ns=1_000_000)
                await asyncio.sleep(_PROBE_S)


async def coin_known(market: Market, sdk: Sdk, eventually: Eventually) -> None:
    """Wait until BTC/USD is known not to be a stock: before a venue told of it, it may be one."""
    await market.trade("BTC/USD")
    coins: dict[str, Any] = {"client": "good", "kind": "crypto", "symbols": ["BTC/USD"]}
    await eventually(lambda: sdk.ask("latest_trades", **coins), timeout_s=WAIT_S)


def rounded(shape: Shape) -> Shape:
    """Sums may differ in their last bit."""
    return {
        key: float(f"{value:.12g}") if key in ("volume", "vwap") else value
        for key, value in shape.items()
    }


async def same_trades(
    eventually: Eventually, sdk: Sdk, stream: str, expected: Sequence[Shape]
) -> None:
    """The last trades that *stream* was given are *expected*."""

    def all_there() -> bool:
        assert sdk.given(stream, "trade")[-len(expected) :] == expected
        return True

    await eventually(all_there, timeout_s=WAIT_S)


@pytest.mark.parametrize(("kind", "name"), [("stocks", "AAPL"), ("crypto", "BTC/USD")])
async def test_streams_give_every_trade_and_bar(
    market: Market, sdk: Sdk, eventually: Eventually, kind: str, name: str
) -> None:
    shapes, symbol, stream = SHAPES[sdk.name], (STOCKS | COINS)[name], f"all-{kind}"
    channels = {key: [name] for key in ("trades", "bars", "updatedBars")}
    await sdk.ask("stream", client="good", name=stream, kind=kind, **channels)
    await heard(market, sdk, stream, name)

    made = [await market.trade(name) for _ in range(60)]
    await same_trades(
        eventually, sdk, stream,
        [shapes.trade(name, tick, stocks=kind == "stocks") for tick in made],
    )  # fmt: skip

    first_ns = made[0].event_ns // MINUTE_NS * MINUTE_NS + MINUTE_NS  # the first whole one
    last_ns = made[-1].event_ns - 2 * 10**9 - MINUTE_NS
    complete = {at: bar for at, bar in market.bars(symbol).items() if first_ns <= at <= last_ns}

    def closed() -> bool:
        expected = [rounded(shapes.bar(name, bar)) for bar in complete.values()]
        times = {one["timestamp"] for one in expected}
        found = [rounded(one) for one in sdk.given(stream, "bar") if one["timestamp"] in times]
        assert len(expected) >= 2
        assert found == expected
        return True

    await eventually(closed, timeout_s=WAIT_S)

    late = await market.trade(name, late_ns=90 * 10**9)
    revised = market.bars(symbol)[late.event_ns // MINUTE_NS * MINUTE_NS]

    def updated() -> bool:
        found = [rounded(one) for one in sdk.given(stream, "updated_bar")]
        assert found[-1:] == [rounded(shapes.bar(name, revised))]
        return True

    await eventually(updated, timeout_s=WAIT_S)
    assert sdk.given(stream, "error") == sdk.given(stream, "reconnected") == []  # pongs came
    await sdk.ask("stop", client="good", name=stream)


async def test_corrections_and_cancels_come_with_the_trades_of_stocks(
    market: Market, sdk: Sdk, eventually: Eventually
) -> None:
    shapes = SHAPES[sdk.name]
    await sdk.ask("stream", client="good", name="amended", kind="stocks", trades=["AAPL"])
    await heard(market, sdk, "amended", "AAPL")
    wrong, undone = await market.trade("AAPL"), await market.trade("AAPL")

    corrected = await market.correct("AAPL", wrong)
    cancelled = await market.cancel("AAPL", undone)

    await eventually(lambda: sdk.given("amended", "cancel"), timeout_s=WAIT_S)
    assert sdk.given("amended", "correction") == [shapes.correction("AAPL", corrected)]
    assert sdk.given("amended", "cancel") == [shapes.cancel("AAPL", cancelled)]
    await sdk.ask("stop", client="good", name="amended")


async def test_symbols_come_as_they_were_spelled_and_unsubscribed_ones_no_more(
    market: Market, sdk: Sdk, eventually: Eventually
) -> None:
    spellings = ["BTC/USD", "eth-usd"]
    await sdk.ask("stream", client="good", name="spelled", kind="crypto", trades=spellings)
    await heard(market, sdk, "spelled", "BTC/USD")

    await market.trade("ETH/USD")
    await eventually(lambda: sdk.given("spelled", "trade")[-1]["symbol"] == "eth-usd")
    await sdk.ask("unsubscribe", client="good", name="spelled", trades=["BTC/USD"])
    await sdk.ask("subscribe", client="good", name="spelled", trades=["COIN:ETH-USD"])
    both = {"eth-usd", "COIN:ETH-USD"}

    async def come(after: int) -> bool:
        """Do trades come in both spellings after the first so many?"""
        await market.trade("BTC/USD", step_ns=1_000_000)
        await market.trade("ETH/USD", step_ns=1_000_000)
        return both <= {trade["symbol"] for trade in sdk.given("spelled", "trade")[after:]}

    await eventually(lambda: come(0), timeout_s=WAIT_S)
    before = len(sdk.given("spelled", "trade"))
    await eventually(lambda: come(before), timeout_s=WAIT_S)

    assert {trade["symbol"] for trade in sdk.given("spelled", "trade")[before:]} == both
    await sdk.ask("stop", client="good", name="spelled")


@pytest.mark.parametrize(("kind", "name"), [("stocks", "MSFT"), ("crypto", "ETH/USD")])
async def test_a_star_gives_all_symbols_by_their_published_names(
    market: Market, sdk: Sdk, eventually: Eventually, kind: str, name: str
) -> None:
    stream = f"star-{kind}"
    await sdk.ask("stream", client="good", name=stream, kind=kind, trades=["*"])
    await heard(market, sdk, stream, name)

    made = await market.trade(name)

    shape = SHAPES[sdk.name].trade(name, made, stocks=kind == "stocks")
    await same_trades(eventually, sdk, stream, [shape])
    await sdk.ask("stop", client="good", name=stream)


async def test_a_wrong_symbol_or_key_is_told_in_the_way_of_the_sdk(
    market: Market, sdk: Sdk, eventually: Eventually
) -> None:
    await coin_known(market, sdk, eventually)
    await sdk.ask("stream", client="good", name="wrong", kind="stocks", trades=["BTC/USD"])
    await sdk.ask("stream", client="bad", name="bad key", kind="stocks", trades=["AAPL"])

    def told(*hints: str) -> bool:
        said = sdk.complaints("wrong") + sdk.complaints("bad key")
        return all(any(hint in one for one in said) for hint in hints)

    await eventually(lambda: told("is no stock", "auth failed"), timeout_s=WAIT_S)
    if sdk.name == "python":
        assert told("(410)")
    else:
        found = await sdk.ask("authenticated", client="bad", name="bad key")
        assert found == {"status": "server_rejected", "code": 402}
    for client, stream in (("good", "wrong"), ("bad", "bad key")):
        await sdk.ask("stop", client=client, name=stream)


async def test_streams_go_on_when_the_gateway_was_killed_and_is_there_again(
    market: Market, sdks: dict[str, Sdk], eventually: Eventually
) -> None:
    for sdk in sdks.values():
        channels = {"trades": ["AAPL", "MSFT"]}
        await sdk.ask("stream", client="good", name="cut", kind="stocks", **channels)
        await heard(market, sdk, "cut", "AAPL")

    await market.kill_gateway()
    await market.start_gateway()
    for sdk in sdks.values():
        await heard(market, sdk, "cut", "AAPL", "MSFT")
    made = [await market.trade("MSFT") for _ in range(3)]

    for name, sdk in sdks.items():
        shapes = [SHAPES[name].trade("MSFT", tick, stocks=True) for tick in made]
        await same_trades(eventually, sdk, "cut", shapes)
        await sdk.ask("stop", client="good", name="cut")


async def test_history_comes_whole_over_many_pages(market: Market, sdk: Sdk) -> None:
    span = {"start": micros(PAST_NS), "end": micros(PAST_NS + 3 * DAY_NS)}
    pages = {"limit": 4_000} if sdk.name == "js" else {}  # its limit is that of a page

    found = await sdk.ask("bars", client="good", kind="stocks", symbols=PAST, **span, **pages)

    assert found == {
        name: [SHAPES[sdk.name].bar(name, bar, way="history") for bar in bars]
        for name, bars in market.past.items()
    }


async def test_history_is_rolled_up_and_sorted_as_asked(market: Market, sdk: Sdk) -> None:
    span = {"start": micros(PAST_NS), "end": micros(PAST_NS + DAY_NS)}
    asked = {"kind": "stocks", "symbols": [PAST[0]], "sort": "desc", **span}

    hours = await sdk.ask("bars", client="good", timeframe=[1, "Hour"], **asked)
    days = await sdk.ask("bars", client="good", timeframe=[1, "Day"], **asked)

    parts = market.past[PAST[0]]
    expected = [SHAPES[sdk.name].bar(PAST[0], rolled(parts[at : at + 60]), way="history")
                for at in range(1_440, -1, -60)]  # fmt: skip
    assert list(map(rounded, hours[PAST[0]])) == list(map(rounded, expected))
    assert list(map(rounded, days[PAST[0]])) == [
        rounded(SHAPES[sdk.name].bar(PAST[0], rolled(parts[at : at + 1_440]), way="history"))
        for at in (1_440, 0)
    ]


async def test_the_newest_values_and_snapshots(
    market: Market, sdk: Sdk, eventually: Eventually
) -> None:
    shapes = SHAPES[sdk.name]
    stock, coin = await market.trade("AAPL"), await market.trade("BTC/USD")
    stocks: dict[str, Any] = {"client": "good", "kind": "stocks", "symbols": ["AAPL", PAST[0]]}
    coins: dict[str, Any] = {"client": "good", "kind": "crypto", "symbols": ["BTC/USD"]}

    async def newest() -> bool:
        assert await sdk.ask("latest_trades", **stocks) == {
            "AAPL": shapes.trade("AAPL", stock, stocks=True, way="latest")
        }
        assert await sdk.ask("latest_trades", **coins) == {
            "BTC/USD": shapes.trade("BTC/USD", coin, stocks=False, way="latest")
        }
        return True

    await eventually(newest, timeout_s=WAIT_S)
    bars = await sdk.ask("latest_bars", **stocks)
    snapshots = await sdk.ask("snapshots", **stocks)

    last, days = market.past[PAST[0]][-1], day_bars(market.past[PAST[0]])
    assert bars[PAST[0]] == shapes.bar(PAST[0], last, way="latest")
    assert set(snapshots) == {"AAPL", PAST[0]}
    assert snapshot_of(sdk, snapshots[PAST[0]]) == [
        raw_bar(sdk, PAST[0], bar) for bar in (last, days[-1], days[-2])
    ]
    assert list(await sdk.ask("snapshots", **coins)) == ["BTC/USD"]
    assert await sdk.ask("latest_quotes", client="good", symbols=["AAPL"]) == {}


async def test_errors_of_queries_are_the_sdks_own(
    market: Market, sdk: Sdk, eventually: Eventually
) -> None:
    asked = {"kind": "stocks", "symbols": ["BTC/USD"], "start": micros(PAST_NS)}
    await coin_known(market, sdk, eventually)

    with pytest.raises(SdkError) as refused:
        await sdk.ask("bars", client="good", **asked)
    with pytest.raises(SdkError) as unknown:
        await sdk.ask("bars", client="bad", **asked)

    assert (refused.value.status, refused.value.code) == (400, 400)
    assert "COIN:BTC-USD is no stock" in refused.value.message
    assert (unknown.value.status, unknown.value.code) == (401, 401)


async def test_the_paths_of_one_symbol(market: Market, sdk: Sdk) -> None:
    if sdk.name == "python":
        return  # it has none
    name, first = PAST[1], market.past[PAST[1]][0]
    at = micros(first.start_ns)

    found = await sdk.ask("single", client="good", symbol=name, start=at, end=at)

    assert found["bars"] == [raw_bar(sdk, name, first)]
    assert found["bar"] == raw_bar(sdk, name, market.past[name][-1])
    assert found["snapshot"]["minuteBar"] == found["bar"]


def day_bars(parts: Sequence[Bar]) -> list[Bar]:
    return [rolled(parts[at : at + 1_440]) for at in range(0, PAST_MINUTES, 1_440)]


def raw_bar(sdk: Sdk, name: str, bar: Bar) -> Shape:
    """As snapshots have it: alpaca-py like any bar, the other one as it came."""
    if sdk.name == "python":
        return rounded(PythonShapes.bar(name, bar))
    names = {
        "o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close, "v": bar.volume,
        "n": bar.trades, "vw": bar.vwap, "t": millis(bar.start_ns),
    }  # fmt: skip
    return names | {"vw": float(f"{bar.vwap:.12g}")}


def snapshot_of(sdk: Sdk, snapshot: Shape) -> list[Shape]:
    """Minute, day and the day before."""
    if sdk.name == "python":
        keys = ("minute_bar", "daily_bar", "previous_daily_bar")
        return [rounded(snapshot[key]) for key in keys]
    bars = [snapshot[key] for key in ("minuteBar", "dailyBar", "prevDailyBar")]
    return [bar | {"vw": float(f"{bar['vw']:.12g}")} for bar in bars]
