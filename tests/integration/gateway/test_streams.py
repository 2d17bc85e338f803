"""The gateway and its streams: where it begins to read, what it reports, Redis away."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import pytest

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from storage.embedded import ValkeyServer
from storage.redis import command
from storage.roles import RoleReport
from storage.streams import FeedInfo, FeedRegistry, shard_of
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.integration.gateway.raw import raw_client
from tests.integration.gateway.rig import SHARDS, Rig, bar, gateway

SYMBOL = "SIM:S001"
OTHER = next(  # of the same shard
    name
    for number in range(2, 1_000)
    if shard_of(Symbol(name := f"SIM:S{number:03}"), SHARDS) == shard_of(Symbol(SYMBOL), SHARDS)
)


async def report(rig: Rig) -> RoleReport:
    (found,) = [report for report in await rig.board.read() if report.role == "gateway"]
    return found


async def test_a_start_in_the_middle_knows_the_last_trades_but_sends_none_again(
    redis_url: str, namespace: str, rig: Rig, eventually: Eventually
) -> None:
    (before,) = await rig.trade(SYMBOL)
    async with gateway(redis_url, namespace) as late:
        await eventually(lambda: late.service.market.last_trade(Symbol(SYMBOL)) == before)
        async with late.client() as client:
            await client.ask(action="subscribe", trades=["*"])
            (after,) = await rig.trade(SYMBOL)
            (received,) = await client.receive()

    assert received["i"] == after.trade_id


@pytest.mark.parametrize("ahead_s", [3_600, 60, -3])
async def test_what_comes_live_is_sent_whatever_the_clocks_of_the_others_say(
    redis_url: str, namespace: str, rig: Rig, ahead_s: int
) -> None:
    await rig.trade(SYMBOL)
    await rig.publish_bar(bar(SYMBOL, close=1.0, final=False))
    await asyncio.sleep(0.002)  # ids of streams are milliseconds
    skewed = gateway(redis_url, namespace, now_ns=lambda: wall_ns() + ahead_s * 10**9)
    async with skewed as late, late.client() as client:
        await client.ask(action="subscribe", trades=["*"], runningBars=["*"], interval_ms=0)
        (trade,) = await rig.trade(SYMBOL)
        await rig.publish_bar(bar(SYMBOL, close=2.5, final=False))

        missing = {("i", trade.trade_id), ("c", 2.5)}
        while missing:
            for message in await client.receive():
                missing -= message.items()


async def test_a_bar_that_closed_before_a_gateways_start_is_not_taken_for_open(
    redis_url: str, namespace: str, rig: Rig, eventually: Eventually
) -> None:
    """Nobody tells that gateway of its end any more."""
    await rig.publish_bar(bar(SYMBOL, final=False))
    await rig.publish_bar(bar(SYMBOL))
    async with gateway(redis_url, namespace) as late:
        await rig.publish_bar(bar(OTHER, final=False))
        await eventually(lambda: running_bar(late, OTHER))

        assert running_bar(late, SYMBOL) is None


async def test_open_bars_are_forgotten_when_their_ends_may_have_been_trimmed(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    late_ns = 0
    late = gateway(redis_url, namespace, monotonic_ns=lambda: time.monotonic_ns() + late_ns)
    async with late as rig:

        async def has_asked(times: int) -> bool:
            return (await report(rig)).open_asked == times

        await eventually(lambda: has_asked(1))
        await rig.publish_bar(bar(SYMBOL, final=False))
        await eventually(lambda: running_bar(rig, SYMBOL))

        late_ns = 61 * 10**9

        await eventually(lambda: running_bar(rig, SYMBOL) is None)
        await eventually(lambda: has_asked(2))  # at the start, and now


def running_bar(rig: Rig, symbol: str) -> Bar | None:
    return rig.service.market.running_bar(Symbol(symbol), Timeframe.MIN_1)


async def test_a_feed_that_comes_later_is_read_from_its_start(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=["*"])
        for _ in range(5):
            await rig.trade("NEW:AAA", feed="new")

        received = await client.data(5)

    assert [message["i"] for message in received] == [1, 2, 3, 4, 5]


async def test_ticks_that_are_there_for_the_bars_alone_reach_no_subscriber(rig: Rig) -> None:
    await rig.open("backfill-x", bars_only=True)
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=["*"])
        for feed in ("backfill-x", "new", "backfill-x", "new"):
            await rig.trade("NEW:AAA", feed=feed)

        received = await client.data(2)

    assert [message["i"] for message in received] == [2, 4]


async def test_a_feed_with_another_number_of_shards_is_left_out_until_that_is_set_right(
    rig: Rig, redis_url: str, namespace: str
) -> None:
    await rig.trade("NEW:AAA", feed="new")
    registry = FeedRegistry(rig.redis, rig.keys)
    wrong = FeedInfo("new", "NEW", 4 * SHARDS, registered_ms=1)
    await registry.register(wrong)
    async with gateway(redis_url, namespace) as late, late.client() as client:
        await client.ask(action="subscribe", trades=["*"])
        late.go_on_from(rig)
        await late.trade(SYMBOL)
        assert [trade["i"] for trade in await client.receive()] == [2]

        await registry.register(msgspec.structs.replace(wrong, shards=SHARDS))
        rig.go_on_from(late)
        await rig.trade("NEW:AAA", feed="new")
        assert [trade["i"] for trade in await client.receive()] == [3]


async def test_a_report_tells_clients_subscribers_and_positions(
    rig: Rig, eventually: Eventually
) -> None:
    async with rig.client() as client, rig.client():
        await client.ask(action="subscribe", trades=[SYMBOL])
        for _ in range(3):
            await rig.trade(SYMBOL)
        key = rig.keys.ticks("sim", shard_of(SYMBOL, SHARDS))

        async def told() -> bool:
            seen = await report(rig)
            return (seen.clients, seen.subscribers, seen.consumed.get(key)) == (2, 1, 3)

        await eventually(told, timeout_s=3)


async def test_a_subscription_and_a_replays_positions_are_reported_at_once(rig: Rig) -> None:
    async with rig.client() as client:
        await report_with(rig, lambda seen: not seen.subscribers)
        await client.ask(action="subscribe", trades=["*"])
        assert await took_s(report_with(rig, lambda seen: seen.subscribers == 1)) < 0.3

        await rig.trade("REPLAY:A", feed="replay-x")  # found within a second
        await client.data(1)
        key = rig.keys.ticks("replay-x", shard_of("REPLAY:A", SHARDS))
        for number in range(2, 5):
            await rig.trade("REPLAY:A", feed="replay-x")
            waited = report_with(rig, lambda seen, n=number: seen.consumed.get(key) == n)
            assert await took_s(waited) < 0.3


async def test_positions_wait_for_clients_that_are_behind(rig: Rig, eventually: Eventually) -> None:
    symbols = [f"REPLAY:S{n:03d}" for n in range(500)]
    async with raw_client(rig.service.port, receive_bytes=4_096) as client:
        await client.upgrade()
        await client.say(action="subscribe", trades=["*"])
        await client.message()
        while rig.service.unsent_bytes < 300_000:
            await rig.trade(*symbols, feed="replay-x")
            await eventually(lambda: settled(rig))
        await report_with(rig, partial(since, wall_ns() // 1_000_000))

        assert (await report(rig)).consumed != rig.written

    # The client is gone: nobody is behind any more.
    await report_with(rig, lambda seen: seen.consumed == rig.written)


async def test_missing_blocks_are_counted(rig: Rig, eventually: Eventually) -> None:
    await rig.trade(SYMBOL)
    await eventually(lambda: rig.service.market.last_trade(Symbol(SYMBOL)))
    await rig.skip_blocks(SYMBOL, 3)

    await eventually(lambda: rig.metric("gateway_missing_blocks_total") == 3)


async def test_a_block_published_twice_reaches_clients_once(
    rig: Rig, eventually: Eventually
) -> None:
    key = rig.keys.ticks("sim", shard_of(SYMBOL, SHARDS))
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=["*"])
        await rig.trade(SYMBOL)
        ((_, fields),) = await command(rig.redis, "XREVRANGE", key, "+", "-", "COUNT", 1)
        await command(rig.redis, "XADD", key, "*", *fields)
        await eventually(lambda: rig.metric("gateway_repeated_blocks_total") == 1)
        await rig.trade(SYMBOL)
        received = [(await client.receive())[0]["i"] for _ in range(2)]

    assert received == [1, 2]
    assert rig.metric("gateway_missing_blocks_total") == 0


async def test_an_entry_that_cannot_be_read_is_skipped_and_counted(rig: Rig) -> None:
    key = rig.keys.ticks("sim", shard_of(SYMBOL, SHARDS))
    bars = rig.keys.bars(0)
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=["*"])
        await command(rig.redis, "XADD", key, "1-1", "b", b"garbage")
        await command(rig.redis, "XADD", bars, "*", "b", b"\xc1")
        await rig.trade("SIM:A", "SIM:B", "SIM:C", "SIM:D")
        await client.data(4)

    assert rig.metric("gateway_unreadable_entries_total") >= 1


async def test_one_that_cannot_be_read_spoils_no_other_of_the_same_read(rig: Rig) -> None:
    names = [f"SIM:S{n:02d}" for n in range(30)]
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=["*"])
        await rig.trade(names[0])
        await client.data(1)

        await rig.trade_at_once(names, garbage_at=7)
        got: list[dict[str, Any]] = []
        while sum(message["T"] == "t" for message in got) < len(names) - 1:
            got += await client.receive()

    assert {message["S"] for message in got if message["T"] == "t"} == {*names} - {names[7]}
    assert {message["T"] for message in got} == {"t", "gap"}
    assert rig.metric("gateway_unreadable_entries_total") == 1


async def test_clients_stay_while_redis_is_away_and_then_get_all_that_was_written(
    valkey: ValkeyServer, namespace: str, eventually: Eventually
) -> None:
    async with gateway(valkey.url, namespace) as rig, rig.client() as client:
        await client.ask(action="subscribe", trades=[SYMBOL])
        await rig.trade(SYMBOL)
        await client.data(1)

        await valkey.stop()
        await eventually(lambda: not rig.service.readiness.ready)
        assert "Redis" in rig.service.readiness.states()["redis"].reason
        reply: dict[str, Any] = await client.ask(action="subscribe", bars=[SYMBOL])
        await valkey.start()
        for _ in range(3):
            await rig.trade(SYMBOL)
        received = await client.data(3)
        await eventually(lambda: rig.service.readiness.ready)

    assert reply["T"] == "subscription"
    assert [message["i"] for message in received] == [2, 3, 4]


async def test_redis_may_come_after_the_gateway(
    valkey: ValkeyServer, namespace: str, eventually: Eventually
) -> None:
    await valkey.stop()
    async with (
        gateway(valkey.url, namespace, await_streams=False) as rig,
        rig.client() as client,
    ):
        await client.ask(action="subscribe", trades=["*"])
        assert not rig.service.readiness.ready
        await valkey.start()
        await eventually(lambda: rig.service.readiness.ready)
        await rig.trade(SYMBOL)
        (trade,) = await client.receive()

    assert trade["S"] == SYMBOL


def since(moment_ms: int, seen: RoleReport) -> bool:
    return seen.reported_ms >= moment_ms


def settled(rig: Rig) -> bool:
    """Everything that was written to the streams was read by the gateway."""
    return rig.service.read_positions() == rig.written


async def report_with(rig: Rig, matches: Callable[[RoleReport], bool]) -> None:
    """Wait for a report like that."""
    async with asyncio.timeout(5):
        while True:
            found = [r for r in await rig.board.read() if r.role == "gateway"]
            if found and matches(found[0]):
                return
            await asyncio.sleep(0.005)


async def took_s(work: Coroutine[Any, Any, None]) -> float:
    began = asyncio.get_running_loop().time()
    await work
    return asyncio.get_running_loop().time() - began
