"""What clients get wrong: each is told so, and nobody else notices."""

import msgspec
import pytest

from gateway.connection import Limits
from gateway.service import GatewaySettings
from tests.integration.gateway.raw import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    client_frame,
    raw_client,
    upgrade_request,
)
from tests.integration.gateway.rig import Rig, gateway

SUBSCRIBE = b'{"action":"subscribe","trades":["SIM:S001"]}'


@pytest.mark.parametrize(
    ("request_", "code", "hint"),
    [
        ({"action": "subscribe", "trades": ["A B"]}, 400, "A B"),
        ({"action": "subscribe", "trades": "AAPL"}, 400, "list"),
        ({"action": "subscribe", "trades": [1]}, 400, "text"),
        ({"action": "subscribe", "candles": ["AAPL"]}, 400, "candles"),
        ({"action": "subscribe", "orderbooks": ["AAPL"]}, 410, "orderbooks"),
        ({"action": "subscribe", "mode": "newest"}, 400, 'expected "all" or "latest"'),
        ({"action": "subscribe", "bars1Hour": ["AAPL"]}, 400, "bars5Min"),
        ({"action": "subscribe", "trades": [f"S{n}" for n in range(1001)]}, 405, "1000"),
        ({"action": "dance"}, 400, "subscribe"),
        ({"action": "auth", "key": 5}, 400, "key"),
        ({}, 400, "auth, subscribe, unsubscribe"),
    ],
)
async def test_a_bad_request_is_answered_and_changes_nothing(
    rig: Rig, request_: dict[str, object], code: int, hint: str
) -> None:
    async with rig.client() as client:
        before = await client.ask(action="subscribe", trades=["SIM:S001"])

        error = await client.ask(**request_)
        after = await client.ask(action="subscribe", trades=[])

    assert (error["T"], error["code"]) == ("error", code)
    assert hint in error["msg"]
    assert after == before


@pytest.mark.parametrize(
    "message", [b"{", b"[]", b"nonsense", b"", b'"text"', b"[" * 100_000, b'{"a":1e999999}']
)
async def test_text_that_is_no_request_is_answered_with_400(rig: Rig, message: bytes) -> None:
    async with rig.client() as client:
        await client.connection.send(message.decode())
        (error,) = await client.receive()

        assert error["code"] == 400
        assert (await client.ask(action="subscribe"))["T"] == "subscription"


@pytest.mark.parametrize(
    "message", [b"\xff\x00\xfe", b"\x91\x01", b"\xc1", b"\x82\xa1", b"\x81\x01\x02"]
)
async def test_binary_garbage_is_answered_with_400(rig: Rig, message: bytes) -> None:
    async with rig.client() as client:
        await client.connection.send(message)
        (error,) = await client.receive()

        assert error["code"] == 400
        assert (await client.ask(action="subscribe"))["T"] == "subscription"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (client_frame(TEXT, SUBSCRIBE, masked=False), 1002),
        (client_frame(3, b"reserved opcode"), 1002),
        (client_frame(CONT, b"nothing to continue"), 1002),
        (client_frame(PING, b"x" * 126), 1002),
        (client_frame(TEXT, b"\xff\xfe"), 1007),
        (client_frame(BINARY, b"x" * 1_048_577), 1009),
        (client_frame(TEXT, b"x" * 600_000, fin=False) + client_frame(CONT, b"x" * 600_000), 1009),
        (client_frame(CLOSE, b"\x00"), 1002),
    ],
    ids=["unmasked", "opcode", "loose end", "long ping", "utf-8", "frame", "fragments", "close"],
)
async def test_a_protocol_violation_closes_with_its_code_after_an_error(
    rig: Rig, frames: bytes, code: int
) -> None:
    async with raw_client(rig.service.port) as client:
        await client.upgrade()

        client.writer.write(frames)
        found, closed = await client.ended()

    assert [(message["T"], message["code"]) for message in found] == [("error", 400)]
    assert closed == code


async def test_a_client_that_does_not_wait_for_the_handshake_is_closed_in_words(rig: Rig) -> None:
    async with raw_client(rig.service.port) as client:
        client.writer.write(upgrade_request() + client_frame(3, b"reserved opcode"))
        await client.head()
        found, closed = await client.ended()

    assert [message["T"] for message in found] == ["success", "error"]
    assert closed == 1002


async def test_a_fragmented_subscribe_with_an_empty_last_frame_is_understood(rig: Rig) -> None:
    names = [f"SIM:S{n:03d}" for n in range(900)]
    message = msgspec.msgpack.encode({"action": "subscribe", "trades": names})
    async with raw_client(rig.service.port) as client:
        client.writer.write(upgrade_request(Content_Type="application/msgpack"))
        await client.head()
        assert await client.message() == [{"T": "success", "msg": "connected"}]

        client.writer.write(client_frame(BINARY, message[:5000], fin=False))
        client.writer.write(client_frame(PING, b"in between"))
        client.writer.write(client_frame(CONT, message[5000:], fin=False))
        client.writer.write(client_frame(CONT, b""))

        assert await client.frame() == (PONG, b"in between")
        (reply,) = await client.message()
    assert reply["trades"] == names


async def test_too_many_messages_a_second_end_the_connection(rig: Rig) -> None:
    async with raw_client(rig.service.port) as client:
        await client.upgrade()
        client.writer.write(client_frame(TEXT, SUBSCRIBE) * 40)
        found, code = await client.ended()

    assert [message["T"] for message in found[:20]] == ["subscription"] * 20
    assert (found[20]["code"], code) == (400, 1008)
    assert "20 messages" in found[20]["msg"]


async def test_an_unknown_path_and_a_bad_handshake_are_refused_over_http(rig: Rig) -> None:
    for request, status in (
        (upgrade_request("/v9/stream"), 404),
        (upgrade_request(Sec_WebSocket_Version="12"), 400),
        (upgrade_request("/v1/stream?encoding=xml"), 400),
        (upgrade_request().replace(b"GET", b"PUT"), 405),
        (b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (b"GARBAGE\r\n\r\n", 400),
    ):
        async with raw_client(rig.service.port) as client:
            client.writer.write(request)
            assert (await client.head())[0] == status


async def test_a_refused_handshake_says_why_in_json(rig: Rig) -> None:
    async with raw_client(rig.service.port) as client:
        client.writer.write(upgrade_request("/v1/stream?encoding=xml"))
        _, head = await client.head()
        body = await client.body(head)

        assert body == {"code": 400, "message": "encoding: expected json or msgpack"}
        assert await client.reader.read() == b""


async def test_more_connections_than_allowed_from_one_address_are_closed(
    redis_url: str, namespace: str
) -> None:
    settings = GatewaySettings(port=0, limits=Limits(max_connections_per_ip=1))
    async with gateway(redis_url, namespace, settings=settings) as rig, rig.client() as first:
        async with rig.client() as second:
            (error,), code = await second.ended()

        assert (error["code"], code) == (406, 1008)
        assert (await first.ask(action="subscribe"))["T"] == "subscription"
