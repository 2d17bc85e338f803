"""Pings, clients that vanish, and a bug that must stay one client's trouble."""

import pytest

from gateway.hub import Hub
from gateway.service import GatewaySettings
from tests.conftest import Eventually
from tests.integration.gateway.raw import CLOSE, PING, PONG, client_frame, raw_client
from tests.integration.gateway.rig import Rig, gateway


async def test_who_answers_pings_stays_and_who_does_not_is_cut(
    redis_url: str, namespace: str
) -> None:
    settings = GatewaySettings(port=0, ping_s=0.25)
    async with gateway(redis_url, namespace, settings=settings) as rig:
        async with raw_client(rig.service.port) as client:
            await client.upgrade()
            for _ in range(3):
                assert await client.frame() == (PING, b"")
                client.writer.write(client_frame(PONG, b""))

            assert await client.frame() == (PING, b"")
            assert await client.reader.read() == b""

        assert rig.metric("gateway_closed_clients_total", reason="silent") == 1


async def test_a_client_that_vanishes_is_forgotten(rig: Rig, eventually: Eventually) -> None:
    for half_close in (True, False):
        async with raw_client(rig.service.port) as client:
            await client.upgrade()
            await client.say(action="subscribe", trades=["SIM:S001"])
            await client.message()
            assert rig.metric("gateway_clients") == 1
            if half_close:
                client.writer.write_eof()
                assert await client.reader.read() == b""

        await eventually(lambda: rig.metric("gateway_clients") == 0)
    assert rig.metric("gateway_closed_clients_total", reason="lost") == 2


async def test_a_client_may_close(rig: Rig) -> None:
    async with raw_client(rig.service.port) as client:
        await client.upgrade()
        client.writer.write(client_frame(CLOSE, b"\x03\xe8bye"))

        assert await client.frame() == (CLOSE, b"\x03\xe8bye")
        assert await client.reader.read() == b""
    assert rig.metric("gateway_closed_clients_total", reason="client") == 1


async def test_an_internal_error_ends_one_connection_with_1011(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise AssertionError("a bug")

    async with rig.client() as healthy, rig.client() as client:
        monkeypatch.setattr(Hub, "subscribe", broken)
        error = await client.ask(action="subscribe", trades=["A"])
        _, code = await client.ended()
        monkeypatch.undo()

        assert (error["code"], code) == (500, 1011)
        assert (await healthy.ask(action="subscribe", trades=["A"]))["trades"] == ["A"]
