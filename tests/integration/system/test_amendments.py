"""A venue corrects and cancels trades: bars, subscribers and caches follow, once, across a kill."""

import signal
from collections.abc import Sequence

import aiohttp
import pytest

from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fakes.alpaca import KEY, SECRET, FakeAlpaca, cancel, correction, fake_alpaca, trade
from tests.integration.system.dev import get
from tests.integration.system.market import Bars, facts, history, right_bars
from tests.integration.system.roles import Deployment, alive
from tests.integration.system.subscriber import Subscriber, subscribed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_NAME = "AAPL"
_SYMBOL = Symbol("ALPACA:AAPL")
_STEP_NS = 4 * 10**9  # less than the 5 s that a trade may be ahead of feed time
_QUARTER_NS = 15 * MINUTE_NS
_TRADES = 100


def make_trades(start_ns: int) -> list[Tick]:
    """One trade in the first minute, then fifteen in each of the others."""
    first = Tick(_SYMBOL, 1, 50.0, 7.0, start_ns + 57 * 10**9, seq=1)
    begin_ns = start_ns + MINUTE_NS - 2 * _STEP_NS
    return [first] + [
        Tick(_SYMBOL, n, 100 + n % 7 / 8, 1.0 + n % 3, begin_ns + n * _STEP_NS, seq=n)
        for n in range(2, _TRADES)
    ]


async def play(venue: FakeAlpaca, trades: Sequence[Tick]) -> None:
    """One frame each, so that feed time goes on from trade to trade."""
    for t in trades:
        message = trade(_NAME, t.trade_id, price=t.price, size=t.size, at_ns=t.event_ns)
        await venue.push(message)


def closed(trades: Sequence[Tick], newest_ns: int) -> Bars:
    return {
        (symbol, timeframe, start): right
        for (symbol, timeframe, start), right in right_bars(trades).items()
        if start + Timeframe(timeframe).ns <= newest_ns - 2 * 10**9
    }


async def history_is(address: str, bars: Bars) -> bool:
    found = await history(address, [_SYMBOL])
    assert {key: facts(bar) for key, bar in found.items()} == bars
    return True


def said(client: Subscriber) -> list[tuple[str, int]]:
    found = [message for message in client.messages if message["T"] in ("c", "x")]
    return [(message["T"], message.get("i", message.get("oi"))) for message in found]


async def last_trade(address: str) -> int | None:
    found = (await get(f"{address}/v1/trades/latest", symbols=_SYMBOL))["trades"]
    return found[_SYMBOL]["i"] if found else None


async def test_corrections_and_cancels_reach_bars_subscribers_and_caches_once(
    redis_url: str, embedded_migrated_url: str, namespace: str, eventually: Eventually
) -> None:
    system = Deployment(
        redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace
    )
    start_ns = (wall_ns() - 20 * MINUTE_NS) // _QUARTER_NS * _QUARTER_NS
    trades = make_trades(start_ns)
    newest_ns = trades[-1].event_ns
    amendments = [
        correction(_NAME, (20, 1.0, 1.0), (1_020, 150.5, 2.0), at_ns=newest_ns),
        cancel(_NAME, 1, price=50.0, size=7, at_ns=newest_ns + 10**6),  # all of its minute
        cancel(_NAME, 30, price=1.0, size=1, at_ns=newest_ns + 2 * 10**6, action="E"),
        cancel(_NAME, _TRADES - 1, price=1.0, size=1, at_ns=newest_ns + 3 * 10**6),  # the last
        cancel(_NAME, 900, price=1.0, size=1, at_ns=newest_ns + 4 * 10**6),  # too early
        # The new ids come as trades of their own, too, two minutes later: one before, one after it.
        correction(_NAME, (40, 1.0, 1.0), (70, 140.5, 3.0), at_ns=newest_ns + 5 * 10**6),
        correction(_NAME, (41, 1.0, 1.0), (1_041, 141.5, 4.0), at_ns=newest_ns + 6 * 10**6),
    ]  # fmt: skip
    own = Tick(_SYMBOL, 1_041, 777.0, 1.0, trades[40].event_ns + 2 * MINUTE_NS, seq=1_041)
    gone = Tick(_SYMBOL, 900, 999.0, 1.0, newest_ns - 3 * MINUTE_NS, seq=900)
    corrected = {20: (1_020, 150.5, 2.0), 40: (70, 140.5, 3.0), 41: (1_041, 141.5, 4.0)}
    left = [
        Tick(_SYMBOL, *corrected[t.trade_id], t.event_ns, seq=t.seq)
        if t.trade_id in corrected
        else t
        for t in trades
        if t.trade_id not in (1, 30, 70, _TRADES - 1)
    ]
    async with fake_alpaca() as venue:
        feed = f"alpaca:{_NAME}?url={venue.url}&key={KEY}&secret={SECRET}&encoding=msgpack"
        async with system.all_roles(feed) as (_, aggregate, gateway):
            wanted = {
                "trades": ["*"],
                "bars": ["*"],
                "updatedBars": ["*"],
                "updatedBars5Min": ["*"],
            }
            async with subscribed(gateway.url, **wanted) as client:
                await eventually(lambda: venue.subscribed, timeout_s=20)
                await play(venue, trades)
                before = closed(trades, newest_ns)
                await eventually(lambda: history_is(gateway.url, before), timeout_s=20)

                await venue.push(*amendments)
                await play(venue, [gone, own])

                after = closed(left, newest_ns)
                assert len(after) == len(before) - 1
                await eventually(lambda: history_is(gateway.url, after), timeout_s=20)
                await eventually(lambda: len(said(client)) == len(amendments))
                assert await last_trade(gateway.url) in (None, _TRADES - 2)
                await eventually(lambda: last_is(gateway.url, _TRADES - 2))
                empty = client.of("u", n=0)
                assert [(bar["o"], bar["v"]) for bar in empty] == [(50.0, 0.0)]
                changed = [key for key in after if after[key] != before[key]]
                await eventually(lambda: covers(client, changed, after))
                updates = len(client.of("u"))

                assert await aggregate.stop(number=signal.SIGKILL) != 0
                async with system.aggregate() as again:
                    await alive(again)
                    await venue.push(*amendments)  # once more
                    await play(venue, [gone, own, trades[0], Tick(
                        _SYMBOL, 5_000, 77.0, 1.0, newest_ns + _STEP_NS, seq=5_000
                    )])  # fmt: skip
                    await eventually(lambda: last_is(gateway.url, 5_000), timeout_s=20)
                    await eventually(lambda: repeats(again.url, len(amendments)), timeout_s=20)
                    await history_is(gateway.url, after)
                    assert len(client.of("u")) == updates


async def repeats(ops_url: str, count: int) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{ops_url}/metrics") as answer:
        text = await answer.text()
    return f'aggregator_amendments_total{{outcome="repeat"}} {count}.0' in text


async def last_is(address: str, trade_id: int) -> bool:
    return await last_trade(address) == trade_id


def covers(client: Subscriber, keys: Sequence[tuple[str, str, int]], bars: Bars) -> bool:
    """Have revisions of all 1- and 5-minute bars come, as they stand now?"""
    newest = [facts(dict(message)) for message in client.of("u")]
    return all(bars[key] in newest for key in keys if key[1] != "15Min")
