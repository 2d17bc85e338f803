"""WebSocket and HTTP on one port, and what happens to it."""

import asyncio
import ssl

import aiohttp
import pytest

from gateway.http.safe_headers import SAFE_HEADERS
from gateway.listener import ListenError
from gateway.service import GatewaySettings
from tests.integration.gateway.raw import TEXT, client_frame, raw_client, upgrade_request
from tests.integration.gateway.rig import Rig, gateway

GET = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_http_is_served_beside_the_stream(rig: Rig) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{rig.service.port}/hello") as answer,
        rig.client() as client,
    ):
        assert await answer.json() == {"hello": "world"}
        assert (await client.ask(action="subscribe"))["T"] == "subscription"


async def test_an_upgrade_works_on_a_connection_that_served_http_before(rig: Rig) -> None:
    async with raw_client(rig.service.port) as client:
        for _ in range(2):
            client.writer.write(GET)
            status, head = await client.head()
            assert (status, await client.body(head)) == (200, {"hello": "world"})

        await client.upgrade()
        await client.say(action="subscribe", trades=["SIM:S001"])
        (reply,) = await client.message()
        await rig.trade("SIM:S001")
        (trade,) = await client.message()

    assert reply["trades"] == ["SIM:S001"]
    assert trade["S"] == "SIM:S001"


async def test_a_pooled_http_client_may_upgrade(rig: Rig) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as http:
        async with http.get(f"http://127.0.0.1:{rig.service.port}/hello") as answer:
            await answer.read()
        async with http.ws_connect(f"http://127.0.0.1:{rig.service.port}/v1/stream") as client:
            assert await client.receive_json(timeout=5) == [{"T": "success", "msg": "connected"}]
            await client.send_json({"action": "subscribe", "trades": ["A"]})
            (reply,) = await client.receive_json(timeout=5)

    assert reply["trades"] == ["A"]


async def test_a_message_sent_right_behind_the_upgrade_is_not_lost(rig: Rig) -> None:
    message = client_frame(TEXT, b'{"action":"subscribe","trades":["A"]}')
    for before in (b"", GET):
        async with raw_client(rig.service.port) as client:
            client.writer.write(before)
            if before:
                _, head = await client.head()
                await client.body(head)
            client.writer.write(upgrade_request() + message)
            await client.head()
            await client.message()
            (reply,) = await client.message()

        assert reply["trades"] == ["A"]


async def test_a_request_may_come_in_drips(rig: Rig) -> None:
    async with raw_client(rig.service.port) as client:
        for byte in upgrade_request():
            client.writer.write(bytes((byte,)))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.head())[0] == 101


async def test_a_client_that_speaks_tls_is_told_at_once(rig: Rig) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLError):
        async with asyncio.timeout(3):
            await asyncio.open_connection("127.0.0.1", rig.service.port, ssl=context)


async def test_half_a_request_is_given_up_after_a_while(redis_url: str, namespace: str) -> None:
    settings = GatewaySettings(port=0, request_timeout_s=0.5)
    async with (
        gateway(redis_url, namespace, settings=settings) as rig,
        raw_client(rig.service.port) as client,
    ):
        client.writer.write(upgrade_request()[:-3])
        assert await asyncio.wait_for(client.reader.read(), 3) == b""


@pytest.mark.parametrize(
    ("status", "path", "fields"),
    [
        (400, "/v1/stream?encoding=xml", {}),
        (400, "/v1/stream", {"Sec_WebSocket_Key": "short"}),
        (403, "/v1/stream", {"Origin": "https://evil.example.com"}),
        (400, "/v1/stream", {"Sec_WebSocket_Version": "12"}),
        (400, "/v1/stream", {"Bad name": "x"}),
    ],
)
async def test_a_refused_handshake_is_as_safe_for_browsers_as_any_answer(
    rig: Rig, status: int, path: str, fields: dict[str, str]
) -> None:
    async with raw_client(rig.service.port) as client:
        client.writer.write(upgrade_request(path, **fields))
        found, head = await client.head()

    assert found == status
    for name, value in {**SAFE_HEADERS, "Cache-Control": "no-store"}.items():
        assert f"\r\n{name}: {value}\r\n".encode() in head


async def test_a_port_in_use_is_an_error_in_words(rig: Rig, redis_url: str, namespace: str) -> None:
    settings = GatewaySettings(port=rig.service.port)

    with pytest.raises(ExceptionGroup) as caught:
        async with gateway(redis_url, namespace, settings=settings):
            pass

    (error,) = caught.value.exceptions
    assert isinstance(error, ListenError)
    assert f"{rig.service.port}: the port is in use" in str(error)


async def test_a_drain_says_goodbye_with_1012(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as rig, rig.client() as client:
        await client.ask(action="subscribe", trades=["SIM:S001"])
        await rig.trade("SIM:S001")
        await client.data(1)
        rig.service.begin_drain()
        found, code = await client.ended()

    assert [message["T"] for message in found] == ["shutdown"]
    assert code == 1012


async def test_a_client_that_does_not_answer_the_close_does_not_hold_up_the_end(
    redis_url: str, namespace: str
) -> None:
    settings = GatewaySettings(port=0, drain_s=0.3)
    async with (
        gateway(redis_url, namespace, settings=settings) as rig,
        raw_client(rig.service.port) as client,
    ):
        await client.upgrade()
        rig.service.begin_drain()
        _, code = await client.ended()
        assert await client.reader.read() == b""

    assert code == 1012
