"""Connections that are refused at the door: what their clients see, and how they end."""

import asyncio
import contextlib
import time
from typing import Any

import aiohttp
import pytest

from gateway.access.proxies import Proxies
from gateway.origins import Origins
from gateway.service import GatewaySettings
from tests.access import access_of
from tests.conftest import Eventually
from tests.integration.gateway.raw import RawClient, raw_client, upgrade_request
from tests.integration.gateway.rig import Limits, gateway

GET = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
WELCOME = {"T": "success", "msg": "connected"}
TOO_MANY = {"T": "error", "code": 406, "msg": "connection limit exceeded: 1 per address"}


def limited(**limits: int) -> GatewaySettings:
    return GatewaySettings(port=0, limits=Limits(**limits))


async def served(client: RawClient, *, before: bool) -> None:
    """One HTTP request on *client*'s connection, which then is aiohttp's; if *before*."""
    if before:
        client.writer.write(GET)
        _, head = await client.head()
        await client.body(head)


@pytest.mark.parametrize("kept_alive", [False, True])
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/stream", {}),
        ("/v1/stream?encoding=msgpack", {}),
        ("/v1/stream", {"Content_Type": "application/msgpack"}),
        ("/v1/stream", {"Upgrade": "websocket,"}),  # odd: the session itself refuses it
    ],
)
async def test_too_many_connections_hear_406_in_their_codec_and_1008(
    redis_url: str, namespace: str, path: str, headers: dict[str, str], kept_alive: bool
) -> None:
    async with (
        gateway(redis_url, namespace, settings=limited(max_connections_per_ip=1)) as rig,
        rig.client(),
        raw_client(rig.service.port) as client,
    ):
        await served(client, before=kept_alive)
        client.writer.write(upgrade_request(path, **headers))
        status, _ = await client.head()
        found, code = await client.ended()

        assert (status, found, code) == (101, [WELCOME, TOO_MANY], 1008)
        assert rig.metric("gateway_clients") == 1
        assert rig.metric("gateway_request_errors_total", code="406") == 1


@pytest.mark.parametrize("library", ["websockets", "aiohttp"])
async def test_common_clients_read_the_refusal_whole(
    redis_url: str, namespace: str, library: str
) -> None:
    settings = limited(max_connections_per_ip=1)
    async with gateway(redis_url, namespace, settings=settings) as rig, rig.client():
        if library == "websockets":
            async with rig.client() as second:
                found, code = await second.ended()
        else:
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(rig.url.replace("ws", "http", 1)) as second_one,
            ):
                found = [m for _ in range(2) for m in await second_one.receive_json(timeout=5)][1:]
                await second_one.receive(timeout=5)
                code = second_one.close_code or 0

        assert (found, code) == ([TOO_MANY], 1008)
        assert rig.metric("gateway_refused_handshakes_total", reason="connection_limit") == 1


async def test_who_leaves_makes_room(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    async with gateway(redis_url, namespace, settings=limited(max_connections_per_ip=1)) as rig:
        async with rig.client():
            pass

        async def let_in() -> bool:
            async with raw_client(rig.service.port) as client:
                client.writer.write(upgrade_request())
                await client.head()
                assert await client.message() == [WELCOME]
                client.writer.write(b"\x8a\x80\x00\x00\x00\x00")  # a pong: nothing comes back
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.reader.readexactly(1), 0.1)
            return True

        assert await eventually(let_in)


async def test_limits_of_an_address_are_of_the_network_with_ipv6(
    redis_url: str, namespace: str
) -> None:
    access = access_of(proxies=Proxies(["127.0.0.1"]))
    settings = limited(max_connections_per_ip=1)
    async with gateway(redis_url, namespace, settings=settings, access=access) as rig:

        def by(address: str) -> Any:
            return rig.client(additional_headers={"X-Forwarded-For": address})

        async with by("2001:db8::1"), by("2001:db8::2") as neighbour, by("2001:db8:0:1::1"):
            found, code = await neighbour.ended()

        assert (found, code) == ([TOO_MANY], 1008)


async def test_one_client_that_is_too_fast_does_not_shut_out_others_of_its_proxy(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = access_of(proxies=Proxies(["127.0.0.1"]))
    settings = limited(handshakes_per_s=2)
    async with gateway(redis_url, namespace, settings=settings, access=access) as rig:
        now_ns = time.monotonic_ns()
        monkeypatch.setattr(rig.service._door, "monotonic_ns", lambda: now_ns)

        async def handshake(**headers: str) -> int:
            async with raw_client(rig.service.port) as client:
                client.writer.write(upgrade_request(**headers))
                return (await client.head())[0]

        hidden = [await handshake() for _ in range(3)]  # as of the proxy itself
        theirs = [await handshake(X_Forwarded_For=f"2001:db8::{host}") for host in range(3)]
        other = await handshake(X_Forwarded_For="198.51.100.7")

        assert hidden == theirs == [101, 101, 429]
        assert other == 101


@pytest.mark.parametrize("kept_alive", [False, True])
async def test_too_many_handshakes_in_a_second_hear_429_and_later_pass(
    redis_url: str, namespace: str, eventually: Eventually, kept_alive: bool
) -> None:
    async with gateway(redis_url, namespace, settings=limited(handshakes_per_s=2)) as rig:

        async def handshake() -> tuple[int, bytes, Any]:
            async with raw_client(rig.service.port) as client:
                await served(client, before=kept_alive)
                client.writer.write(upgrade_request())
                status, head = await client.head()
                body = await client.body(head) if status != 101 else None
                assert status == 101 or await client.reader.read() == b""
                return status, head, body

        started_s = time.monotonic()
        answers = [await handshake() for _ in range(3 * 2 * 2)]
        passed = [status for status, _, _ in answers].count(101)
        refused = next(answer for answer in answers if answer[0] != 101)

        assert 2 <= passed <= 2 * (2 + time.monotonic() - started_s)
        assert refused[0] == 429
        assert b"\r\nRetry-After: 1\r\n" in refused[1]
        assert refused[2] == {
            "code": 429,
            "message": "more than 2 handshakes in this second from one address; try again in 1 s",
        }
        await eventually(lambda: _passes(handshake))
        assert rig.metric("gateway_refused_handshakes_total", reason="handshake_rate") >= 1


async def _passes(handshake: Any) -> bool:
    return bool((await handshake())[0] == 101)


@pytest.mark.parametrize("kept_alive", [False, True])
async def test_a_page_of_another_host_may_not_open_the_stream(
    redis_url: str, namespace: str, kept_alive: bool
) -> None:
    access = access_of(origins=Origins(["https://desk.example.com"]))
    async with gateway(redis_url, namespace, access=access) as rig:

        async def answer_to(origin: str) -> tuple[int, Any]:
            async with raw_client(rig.service.port) as client:
                await served(client, before=kept_alive)
                client.writer.write(upgrade_request(Origin=origin))
                status, head = await client.head()
                return status, await client.body(head) if status != 101 else None

        assert await answer_to("http://localhost") == (101, None)
        assert await answer_to("https://desk.example.com") == (101, None)
        status, body = await answer_to("https://evil.example.com")

        assert status == 403
        assert body["code"] == 403
        assert "'https://evil.example.com' may not open this stream" in body["message"]
        assert rig.metric("gateway_refused_handshakes_total", reason="origin") == 1


async def test_a_refused_client_that_stays_is_cut(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    async with (
        gateway(redis_url, namespace, settings=limited(max_connections_per_ip=1)) as rig,
        rig.client(),
        raw_client(rig.service.port) as client,
    ):
        client.writer.write(upgrade_request())
        await client.head()
        await client.ended()
        assert await client.reader.read() == b""  # the server's half is over

        def cut() -> bool:
            client.writer.write(b"x")  # into the void, until the kernel says that nobody is there
            return client.writer.transport.is_closing()

        await eventually(cut, timeout_s=5)


async def test_a_refused_client_may_not_go_on_sending(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    async with (
        gateway(redis_url, namespace, settings=limited(max_connections_per_ip=1)) as rig,
        rig.client(),
        raw_client(rig.service.port) as client,
    ):
        client.writer.write(upgrade_request() + bytes(100_000))
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(client.reader.read(), 5)

        def cut() -> bool:
            client.writer.write(b"x")
            return client.writer.transport.is_closing()

        await eventually(cut, timeout_s=0.9)  # below the time that it has to go
