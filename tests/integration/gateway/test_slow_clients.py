"""A client that does not keep up is closed; nobody else notices."""

import asyncio
from functools import partial

from gateway.connection import Limits
from gateway.service import GatewaySettings
from tests.conftest import Eventually
from tests.integration.gateway.raw import RawClient, raw_client
from tests.integration.gateway.rig import Rig, gateway

SYMBOLS = [f"SIM:S{n:03d}" for n in range(200)]
LIMITS = Limits(slow_client_age_ns=1_000_000_000, slow_client_bytes=1 << 30)


async def subscribed(client: RawClient) -> None:
    await client.upgrade()
    await client.say(action="subscribe", trades=["*"])
    (reply,) = await client.message()
    assert reply["trades"] == ["*"]


def delivered(rig: Rig, count: int) -> bool:
    return rig.metric("gateway_deliveries_total") == count


async def flood(rig: Rig, until: str) -> None:
    """Publish until a client has been closed for that reason."""
    async with asyncio.timeout(20):
        while not rig.metric("gateway_closed_clients_total", reason=until):
            await rig.trade(*SYMBOLS)


async def test_a_stalled_client_is_closed_by_age_while_others_get_everything(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    settings = GatewaySettings(port=0, limits=LIMITS)
    async with gateway(redis_url, namespace, settings=settings) as rig, rig.client() as healthy:
        await healthy.ask(action="subscribe", trades=[SYMBOLS[0]])
        received: list[int] = []

        async def read() -> None:
            while True:
                received.extend(m["i"] for m in await healthy.receive(timeout_s=20))

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read(), name="healthy client")
            async with raw_client(rig.service.port, receive_bytes=4_096) as stalled:
                await subscribed(stalled)
                await flood(rig, "slow_age")
            (last,) = await rig.trade(SYMBOLS[0])
            await eventually(lambda: received and received[-1] == last.trade_id)
            reading.cancel()

    assert received == sorted(received)
    assert len(received) == (last.trade_id - 1) // len(SYMBOLS) + 1


async def test_a_client_that_reads_on_in_time_is_told_why(redis_url: str, namespace: str) -> None:
    settings = GatewaySettings(port=0, limits=LIMITS)
    async with (
        gateway(redis_url, namespace, settings=settings) as rig,
        raw_client(rig.service.port, receive_bytes=4_096) as client,
    ):
        await subscribed(client)
        await flood(rig, "slow_age")

        found, code = await client.ended()

    assert (found[-1]["code"], code) == (407, 1008)
    by_symbol: dict[str, list[int]] = {}
    for message in found[:-1]:
        by_symbol.setdefault(message["S"], []).append(message["i"])
    assert all(numbers == sorted(set(numbers)) for numbers in by_symbol.values())


async def test_too_many_unsent_bytes_close_a_client(redis_url: str, namespace: str) -> None:
    limits = Limits(slow_client_age_ns=60_000_000_000, slow_client_bytes=50_000)
    settings = GatewaySettings(port=0, limits=limits)
    async with (
        gateway(redis_url, namespace, settings=settings) as rig,
        raw_client(rig.service.port, receive_bytes=4_096) as client,
    ):
        await subscribed(client)
        await flood(rig, "slow_bytes")


async def test_one_large_burst_does_not_close_a_client_that_reads(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    limits = Limits(slow_client_bytes=50_000)
    settings = GatewaySettings(port=0, limits=limits)
    many = [f"SIM:BURST{n:04d}" for n in range(900)]
    async with gateway(redis_url, namespace, settings=settings) as rig:
        await rig.trade(*many)
        await eventually(lambda: len(rig.service.market.symbols()) == len(many))
        async with rig.client() as client:
            await client.connection.send('{"action":"subscribe","trades":["*"],"snapshot":true}')
            await client.receive()
            received = await client.data(len(many))

    assert sum(len(str(message)) for message in received) > 50_000


async def test_the_kernel_hides_little_of_a_stalled_clients_lag(
    rig: Rig, eventually: Eventually
) -> None:
    async with raw_client(rig.service.port) as client:
        await subscribed(client)
        client.pause()  # what is taken in from now on is the kernel's
        while not rig.service.unsent_bytes:
            (*_, last) = await rig.trade(*SYMBOLS)
            await eventually(partial(delivered, rig, last.trade_id))

    assert last.trade_id * 90 < 256 * 1024  # of both ends; a default socket hides 4 MB
