"""Modes, windows and encodings of a subscription, seen by clients of the `websockets` package."""

from functools import partial
from typing import Any

import msgspec
import pytest

from gateway.service import GatewaySettings
from tests.conftest import Eventually
from tests.integration.gateway.raw import raw_client, upgrade_request
from tests.integration.gateway.rig import Client, Limits, Rig, bar, gateway

A, B = "SIM:A-USD", "SIM:B-USD"


async def batches(client: Client, trades: int) -> list[list[int]]:
    """Ids of the trades by batch, until there are *trades* of them."""
    found: list[list[int]] = []
    while sum(map(len, found)) < trades:
        found.append([message["i"] for message in await client.receive()])
    return found


async def test_mode_latest_gives_the_newest_of_a_window(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[A, B], mode="latest", interval_ms=1_500)
        await rig.trade(A)
        assert [m["i"] for m in await client.receive()] == [1]  # nobody waits after silence

        for _ in range(5):
            await rig.trade(A, B)
        (*_, last) = await rig.trade(A)
        found = await client.receive()

    assert [(m["S"], m["i"]) for m in found] == [(A, last.trade_id), (B, last.trade_id - 1)]


async def test_a_long_window_gives_every_trade_in_few_batches(rig: Rig) -> None:
    async with rig.client() as client, rig.client() as usual:
        await client.ask(action="subscribe", trades=[A], interval_ms=1_500)
        await usual.ask(action="subscribe", trades=[A], interval_ms=0)
        sent = [tick.trade_id for _ in range(20) for tick in await rig.trade(A)]

        slow, quick = await batches(client, 20), await batches(usual, 20)

    assert [i for batch in slow for i in batch] == sent
    assert [i for batch in quick for i in batch] == sent
    assert len(slow) <= 3 <= len(quick)  # at once, then at the end of a window, of the next


async def test_without_a_window_each_trade_comes_by_itself(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[A], interval_ms=0)
        batches = []
        for _ in range(5):
            await rig.trade(A)
            batches.append([message["i"] for message in await client.receive()])

    assert batches == [[1], [2], [3], [4], [5]]


async def test_changes_on_the_way_lose_and_repeat_nothing(rig: Rig) -> None:
    changes: list[dict[str, Any]] = [
        {"interval_ms": 300},
        {"trades": [B]},
        {"interval_ms": 0},
        {"mode": "all", "trades": ["*"]},
        {"interval_ms": 50, "runningBars": [A]},
        {"cursor": True},
        {"interval_ms": 100},
    ]
    seen: list[int] = []
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[A])
        for change in changes:
            for _ in range(7):
                await rig.trade(A)
            await client.connection.send(encoded(action="subscribe", **change))
            for _ in range(7):
                await rig.trade(A)
        (last,) = await rig.trade(A)
        while last.trade_id not in seen:
            seen += [m["i"] for m in await client.receive() if m["T"] == "t"]

    assert seen == list(range(1, last.trade_id + 1))


async def test_running_bars_of_a_quiet_window_come_with_its_end(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", runningBars=[A], interval_ms=1_000)
        await rig.publish_bar(bar(A, close=2.0, final=False))
        first = await client.receive()
        for close in (2.5, 3.0):
            await rig.publish_bar(bar(A, close=close, final=False))
        last = await client.receive()

    assert [m["c"] for m in first] == [2.0]
    assert [m["c"] for m in last] == [3.0]


async def test_a_running_bar_that_is_told_again_for_others_is_no_news(rig: Rig) -> None:
    received = []
    async with rig.client() as client:
        await client.ask(action="subscribe", runningBars=[A, B], interval_ms=0)
        for symbol, close in ((A, 2.0), (A, 2.0), (B, 5.0), (A, 2.5)):
            await rig.publish_bar(bar(symbol, close=close, final=False))
            if (symbol, close) != (A, 2.0) or not received:
                received += await client.data(1)

    assert [m["c"] for m in received] == [2.0, 5.0, 2.5]


async def test_a_slow_session_of_mode_latest_is_conflated_and_stays(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    limits = Limits(slow_client_age_ns=1, slow_client_bytes=1_024)
    symbols = [f"SIM:S{n:03d}" for n in range(200)]
    settings = GatewaySettings(port=0, limits=limits)
    async with (
        gateway(redis_url, namespace, settings=settings) as rig,
        raw_client(rig.service.port, receive_bytes=4_096) as client,
    ):
        await client.upgrade()
        await client.say(action="subscribe", trades=["*"], mode="latest", interval_ms=0)
        while not rig.metric("gateway_conflated_total"):
            ticks = await rig.trade(*symbols)
            await eventually(partial(reached, rig, ticks[-1].trade_id))
        ids: dict[str, int] = {}
        newest = {tick.symbol: tick.trade_id for tick in ticks}
        while ids != newest:
            for message in await client.message():
                if message["T"] == "t":
                    assert message["i"] > ids.get(message["S"], 0)
                    ids[message["S"]] = message["i"]

        assert rig.metric("gateway_clients") == 1


def reached(rig: Rig, trade_id: int) -> bool:
    known = (rig.service.market.last_trade(symbol) for symbol in rig.service.market.symbols())
    return any(tick is not None and tick.trade_id == trade_id for tick in known)


async def test_messages_are_compressed_for_who_offers_it_once_it_is_allowed(
    redis_url: str, namespace: str
) -> None:
    settings = GatewaySettings(port=0, compression=True, max_message_bytes=1_024)
    many = [f"SIM:C{n:03d}" for n in range(60)]
    async with (
        gateway(redis_url, namespace, settings=settings) as rig,
        rig.client(compression="deflate") as packed,
        rig.client(compression="deflate", path="?encoding=msgpack") as packed_twice,
        rig.client() as plain,
    ):
        for client in (packed, packed_twice, plain):
            await client.connection.send(encoded(action="subscribe", trades=["*"]))
            await client.receive()
        await rig.trade(*many)

        ids = [[m["i"] for m in await client.data(60)] for client in (packed, packed_twice, plain)]

        assert ids[0] == ids[1] == ids[2]
        assert packed.connection.protocol.extensions
        assert not plain.connection.protocol.extensions


@pytest.mark.parametrize(
    ("offer", "agreed"),
    [
        # @alpacahq/alpaca-trade-api 3 ends the connection where its own context is refused.
        ("client_max_window_bits", "server_no_context_takeover; client_max_window_bits=12"),
        ("", "server_no_context_takeover; client_no_context_takeover"),
        ("server_max_window_bits=9", None),  # messages are compressed for others, too
    ],
)
async def test_little_is_asked_that_a_client_did_not_offer(
    redis_url: str, namespace: str, offer: str, agreed: str | None
) -> None:
    settings = GatewaySettings(port=0, compression=True)
    async with (
        gateway(redis_url, namespace, settings=settings) as rig,
        raw_client(rig.service.port) as client,
    ):
        wanted = "; ".join(filter(None, ("permessage-deflate", offer)))
        client.writer.write(upgrade_request("/v2/iex", Sec_WebSocket_Extensions=wanted))
        status, head = await client.head()

    assert status == 101
    found = [line for line in head.decode().splitlines() if line.startswith("Sec-WebSocket-Ext")]
    assert found == ([f"Sec-WebSocket-Extensions: permessage-deflate; {agreed}"] if agreed else [])


async def test_what_a_client_compresses_may_refer_to_what_it_sent_before(
    redis_url: str, namespace: str
) -> None:
    settings = GatewaySettings(port=0, compression=True)
    async with (
        gateway(redis_url, namespace, settings=settings) as rig,
        rig.client(compression="deflate") as client,
    ):
        asked = {"action": "subscribe", "trades": [f"SIM:{n:030d}" for n in range(200)]}
        replies = [await client.ask(**asked) for _ in range(3)]

    assert [reply["trades"] for reply in replies] == [asked["trades"]] * 3


async def test_compression_is_declined_unless_it_is_allowed(rig: Rig) -> None:
    async with rig.client(compression="deflate") as client:
        assert not client.connection.protocol.extensions


def encoded(**message: Any) -> str:
    return msgspec.json.encode(message).decode()
