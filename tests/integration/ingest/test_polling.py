import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from core.market.timeframe import SECOND_NS
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.integration.ingest.rig import Stored, running

PATHS = "items=trades&price=p&size=q&time=T&id=i"


class Exchange:
    """An HTTP endpoint with trades per symbol; ``moods`` makes it fail per symbol."""

    def __init__(self) -> None:
        self.trades: dict[str, list[dict[str, object]]] = {}
        self.moods: dict[str, str] = {}
        self.asked: dict[str, int] = {}
        self.url = ""

    def trade(self, symbol: str, trade_id: int | None = None) -> None:
        item = {"p": "1.5", "q": 2, "T": wall_ns() // 10**6, "s": symbol}
        known = {} if trade_id is None else {"i": trade_id}
        self.trades.setdefault(symbol, []).append(item | known)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        symbol = request.match_info["symbol"]
        self.asked[symbol] = self.asked.get(symbol, 0) + 1
        mood = self.moods.get(symbol, "")
        if mood == "slow":
            await asyncio.sleep(5)
        if mood == "flaky" and self.asked[symbol] % 2:
            return web.Response(status=503)
        if mood == "busy":
            return web.Response(status=429, headers={"Retry-After": "2"})
        if mood == "gone":
            return web.Response(status=404)
        if mood == "garbage":
            return web.Response(body=b"\xff<html>")
        if mood == "huge":
            return web.Response(body=b" " * 5_000_000)
        return web.json_response({"trades": self.trades.get(symbol, [])})


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    found = Exchange()
    app = web.Application()
    app.router.add_get("/trades/{symbol}", found.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        found.url = str(server.make_url("/trades"))
        yield found


async def test_no_symbol_waits_for_a_slow_one(
    exchange: Exchange, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    exchange.moods["SLOW"] = "slow"
    for n in range(3):
        exchange.trade("A", n)
        exchange.trade("B", n)
    spec = f"poll:{exchange.url}/{{symbol}}?symbols=SLOW,A,B&every=0.1&{PATHS}"

    async with running([spec], redis_url, namespace):

        async def others_there() -> bool:
            return len(await stored.ticks()) == 6

        await eventually(others_there, timeout_s=3)
        exchange.trade("A", 3)

        async def new_one_there() -> bool:
            return await stored.ids("POLL:A") == [0, 1, 2, 3]

        await eventually(new_one_there, timeout_s=3)

        async def shown() -> bool:
            return any(
                f.state == "live" and "SLOW: timed out" in f.detail for f in await stored.statuses()
            )

        await eventually(shown)
        assert exchange.asked["A"] > 2 * exchange.asked["SLOW"]


async def test_one_address_may_answer_for_many_symbols(
    exchange: Exchange, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    exchange.trades["all"] = []
    for n, name in enumerate(("x", "y", "x")):
        exchange.trade(name, n)
        exchange.trades["all"] += exchange.trades[name][-1:]
    spec = f"poll:{exchange.url}/all?symbol=s&every=0.1&venue=v&{PATHS}"

    async with running([spec], redis_url, namespace):

        async def all_there() -> bool:
            return (await stored.ids("V:X"), await stored.ids("V:Y")) == ([0, 2], [1])

        await eventually(all_there)


async def test_a_repeated_answer_is_no_new_trade_without_ids_too(
    exchange: Exchange, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    exchange.trade("A")
    spec = f"poll:{exchange.url}/{{symbol}}?symbols=A&every=0.05&items=trades&price=p&time=T"

    async with running([spec], redis_url, namespace):
        await eventually(lambda: exchange.asked.get("A", 0) >= 5)
        exchange.trade("A")
        asked = exchange.asked["A"]
        await eventually(lambda: exchange.asked["A"] >= asked + 3)

        async def two_there() -> bool:
            return len(await stored.ticks()) == 2

        await eventually(two_there)


async def test_a_flaky_endpoint_is_asked_again_within_the_pull(
    exchange: Exchange, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    exchange.moods["A"] = "flaky"
    exchange.trade("A", 1)
    spec = f"poll:{exchange.url}/{{symbol}}?symbols=A&every=60&{PATHS}"

    async with running([spec], redis_url, namespace):

        async def there() -> bool:
            return await stored.ids("POLL:A") == [1]

        await eventually(there)
        assert exchange.asked["A"] == 2


@pytest.mark.parametrize(
    ("mood", "words"),
    [("gone", "status 404"), ("garbage", "poll sent"), ("huge", "more than")],
)
async def test_an_endpoint_that_fails_is_shown_and_used_again_when_it_works(
    mood: str,
    words: str,
    exchange: Exchange,
    redis_url: str,
    namespace: str,
    stored: Stored,
    eventually: Eventually,
) -> None:
    exchange.moods["A"] = mood
    exchange.trade("A", 1)
    spec = f"poll:{exchange.url}/{{symbol}}?symbols=A&every=0.5&{PATHS}"

    async with running([spec], redis_url, namespace):

        async def failed() -> bool:
            return any(f.state == "failed" and words in f.detail for f in await stored.statuses())

        await eventually(failed)
        exchange.moods["A"] = ""

        async def there() -> bool:
            return await stored.ids("POLL:A") == [1]

        await eventually(there)


async def test_the_breaker_spares_an_address_that_keeps_failing(
    exchange: Exchange, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    exchange.moods["A"] = "gone"
    exchange.trade("B", 1)
    spec = f"poll:{exchange.url}/{{symbol}}?symbols=A,B&every=0.05&{PATHS}"

    async with running([spec], redis_url, namespace):
        await eventually(lambda: exchange.asked.get("B", 0) >= 20)

        assert exchange.asked["A"] == 5


async def test_a_server_that_says_for_how_long_it_is_busy_is_left_alone_for_that_time(
    exchange: Exchange, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    exchange.moods["A"] = "busy"
    exchange.trade("A", 1)
    spec = f"poll:{exchange.url}/{{symbol}}?symbols=A,B&every=0.1&{PATHS}"

    async with running([spec], redis_url, namespace):
        await eventually(lambda: exchange.asked.get("A") == 1)
        began_ns = time.monotonic_ns()
        exchange.moods["A"] = ""
        asked = exchange.asked.get("B", 0)
        await asyncio.sleep(1)
        assert exchange.asked.get("B", 0) <= asked + 1  # which was on its way

        async def shown() -> bool:
            return any("not to be asked for 2 s" in f.detail for f in await stored.statuses())

        await eventually(shown)

        async def there() -> bool:
            return await stored.ids("POLL:A") == [1]

        await eventually(there)
        assert time.monotonic_ns() - began_ns > 1.5 * SECOND_NS
