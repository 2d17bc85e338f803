"""The end of a gateway: who is told what, when each client is closed, and what it got by then."""

import asyncio
import contextlib
import functools
import socket
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from core.market.block import Ticks
from gateway.connection import Connection
from gateway.drain import Pace
from gateway.market import MarketState
from gateway.service import GatewaySettings
from tests.conftest import Eventually
from tests.integration.gateway.raw import RawClient, raw_client, upgrade_request
from tests.integration.gateway.rig import Rig, gateway

SYMBOLS = [f"SIM:S{n:03d}" for n in range(10)]
CLIENTS = 40


class Witness:
    """What the gateway had read when it closed each client, by the client's port."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[int] = []  # trade ids
        self.closes: dict[int, tuple[int, int]] = {}  # port → (trades read, monotonic ns)
        apply_blocks, say_goodbye = MarketState.apply_blocks, Connection.say_goodbye

        @functools.wraps(apply_blocks)
        def applied(market: MarketState, blocks: Any, ticks: Ticks) -> Any:
            self.read.extend(ticks.trade_id.tolist())
            return apply_blocks(market, blocks, ticks)

        @functools.wraps(say_goodbye)
        def said(connection: Connection) -> None:
            port = connection._transport.get_extra_info("peername")[1]
            self.closes[port] = len(self.read), time.monotonic_ns()
            say_goodbye(connection)

        monkeypatch.setattr(MarketState, "apply_blocks", applied)
        monkeypatch.setattr(Connection, "say_goodbye", said)


async def flood(rig: Rig) -> None:
    """About a thousand trades a second, for ever."""
    while True:
        await rig.trade(*SYMBOLS)
        await asyncio.sleep(0.01)


async def test_a_drain_under_load_is_spread_and_costs_no_client_a_tick(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    witness = Witness(monkeypatch)
    settings = GatewaySettings(port=0, drain_pace=Pace(clients_per_s=CLIENTS, most_s=5))
    heard: dict[int, list[dict[str, Any]]] = {}
    codes: list[int] = []

    async def listen(rig: Rig) -> None:
        async with rig.client() as client:
            await client.ask(action="subscribe", trades=["*"])
            found = heard[client.connection.local_address[1]] = []
            with contextlib.suppress(ConnectionClosed):
                while True:
                    found += await client.receive(timeout_s=20)
            codes.append(client.connection.protocol.close_rcvd.code)

    async with (
        gateway(redis_url, namespace, settings=settings) as rig,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(CLIENTS):
            group.create_task(listen(rig), name="client")
        await eventually(lambda: len(heard) == CLIENTS)
        load = group.create_task(flood(rig), name="load")
        await eventually(lambda: len(witness.read) > 200)
        begun_ns = time.monotonic_ns()
        rig.service.begin_drain()
        await eventually(lambda: len(codes) == CLIENTS)
        load.cancel()

    assert codes == [1012] * CLIENTS
    for port, messages in heard.items():
        trades = [message["i"] for message in messages if message["T"] == "t"]
        by_symbol = [[m["i"] for m in messages if m.get("S") == name] for name in SYMBOLS]
        assert sorted(trades) == sorted(witness.read[: witness.closes[port][0]])
        assert all(ids == list(range(ids[0], ids[-1] + 1, len(SYMBOLS))) for ids in by_symbol)
        (said,) = (message for message in messages if message["T"] == "shutdown")
        assert said["within_s"] == 1
    reads = {read for read, _ in witness.closes.values()}
    assert len(reads) > 5  # the stream went on for those who were still there
    times_s = sorted((at_ns - begun_ns) / 1e9 for _, at_ns in witness.closes.values())
    assert 0.8 < times_s[-1] < 3  # a second, at 40 clients a second
    assert max(_within(times_s, 0.25)) <= CLIENTS // 2


def _within(times_s: list[float], span_s: float) -> list[int]:
    """How many of *times_s* lie in the *span_s* from each on."""
    return [sum(first <= other < first + span_s for other in times_s) for first in times_s]


async def test_few_clients_are_closed_at_once(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = Witness(monkeypatch)
    async with gateway(redis_url, namespace) as rig, rig.client() as one, rig.client() as other:
        rig.service.begin_drain()
        ends = [await client.ended() for client in (one, other)]

    assert [code for _, code in ends] == [1012, 1012]
    assert [found[0]["T"] for found, _ in ends] == ["shutdown", "shutdown"]
    first_ns, last_ns = sorted(at_ns for _, at_ns in witness.closes.values())
    assert last_ns - first_ns < 100_000_000


async def test_a_window_that_does_not_end_soon_is_sent_before_the_close(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    settings = GatewaySettings(port=0, batch_ms=5_000)
    async with gateway(redis_url, namespace, settings=settings) as rig, rig.client() as client:
        await client.ask(action="subscribe", trades=["SIM:S001"])
        await rig.trade("SIM:S001")
        await client.data(1)  # at once; the next ones wait for the window's end
        (last,) = [await rig.trade("SIM:S001") for _ in range(3)][-1]
        await eventually(lambda: rig.service.market.last_trade(last.symbol) == last)

        rig.service.begin_drain()
        found, code = await client.ended()

    assert [message["T"] for message in found] == ["shutdown", "t", "t", "t"]
    assert (found[-1]["i"], code) == (last.trade_id, 1012)


async def test_a_conflated_client_that_is_behind_gets_the_newest_before_the_close(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    witness = Witness(monkeypatch)
    many = [f"SIM:S{n:03d}" for n in range(200)]
    async with (
        gateway(redis_url, namespace) as rig,
        raw_client(rig.service.port, receive_bytes=4_096) as client,
    ):
        await client.upgrade()
        await client.say(action="subscribe", trades=["*"], mode="latest")
        await client.message()
        while not rig.metric("gateway_conflated_total"):
            (*_, last) = await rig.trade(*many)
        await eventually(lambda: rig.service.market.last_trade(last.symbol) == last)

        rig.service.begin_drain()
        await eventually(lambda: witness.closes)  # while it does not read
        found, code = await client.ended()

    assert [m["i"] for m in found if m.get("S") == last.symbol][-1] == last.trade_id
    assert code == 1012


async def test_who_connects_at_the_last_moment_is_served_and_let_go(rig: Rig) -> None:
    sockets = [socket.create_connection(("127.0.0.1", rig.service.port)) for _ in range(20)]
    rig.service.begin_drain()  # nothing of them was accepted yet
    streams = [await asyncio.open_connection(sock=sock) for sock in sockets]
    for _, writer in streams:
        writer.write(upgrade_request())

    for reader, writer in streams:
        client = RawClient(reader, writer)
        assert (await client.head())[0] == 101
        found, code = await client.ended()
        assert [message.get("msg", "")[:9] for message in found] == ["connected", "the gatew"]
        assert code == 1012
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", rig.service.port)


async def test_a_connection_that_stays_silent_does_not_hold_up_the_end(
    redis_url: str, namespace: str
) -> None:
    async with gateway(redis_url, namespace) as rig:
        silent = socket.create_connection(("127.0.0.1", rig.service.port))
        began_s = time.monotonic()

    assert time.monotonic() - began_s < 2  # the gateway has ended
    silent.close()


async def test_a_gateway_that_drains_says_so(rig: Rig) -> None:
    async with rig.client() as client:
        rig.service.begin_drain()
        state = rig.service.readiness.states()["listener"]
        await client.ended()

    assert (state.ok, state.reason.partition(":")[0]) == (False, "draining")
