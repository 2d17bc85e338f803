"""Heartbeats and stale feeds: a client can tell a quiet market from a broken one."""

from typing import Any

import pytest

from gateway.service import GatewaySettings
from gateway.silence import Silence
from tests.conftest import Eventually
from tests.integration.gateway.raw import PING, PONG, client_frame, raw_client
from tests.integration.gateway.rig import START_NS, Client, gateway

FIRST = "2023-11-14T22:13:20.001Z"  # event time of the first trade of a rig


async def next_of(client: Client, kind: str) -> dict[str, Any]:
    """The next message of that type; it is alone in its array."""
    while True:
        messages = await client.receive()
        if messages[0]["T"] == kind:
            (message,) = messages
            return message


async def test_sessions_with_a_subscription_get_heartbeats_in_their_codec(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    silence = Silence(heartbeat_s=0.25)
    async with (
        gateway(redis_url, namespace, silence=silence) as rig,
        rig.client() as idle,
        rig.client() as json,
        rig.client("?encoding=msgpack") as msgpack,
    ):
        await rig.trade("SIM:S001")
        await eventually(rig.service.market.feeds)
        for client in (json, msgpack):
            await client.connection.send('{"action":"subscribe","trades":["SIM:S002"]}')
            await next_of(client, "subscription")

        await eventually(lambda: [state.newest_event_ns for state in silence.states()] != [None])
        beats = [await next_of(json, "hb") for _ in range(3)]
        binary = await next_of(msgpack, "hb")

        assert silence.states()[0].newest_event_ns == START_NS + 1_000_000
        assert beats[-1]["feeds"] == {"sim": FIRST}
        assert beats[0]["t"] < beats[1]["t"] < beats[2]["t"]
        assert binary["feeds"]["sim"].isoformat().startswith("2023-11-14T22:13:20.001")
        reply = await idle.ask(action="unsubscribe", trades=["A"])
        assert reply["T"] == "subscription"  # nothing came before it


async def test_a_cursor_comes_before_each_heartbeat(redis_url: str, namespace: str) -> None:
    silence = Silence(heartbeat_s=0.25)
    async with gateway(redis_url, namespace, silence=silence) as rig, rig.client() as client:
        await client.ask(action="subscribe", trades=["SIM:S002"], cursor=True)
        kinds = [(await client.receive())[0]["T"] for _ in range(5)]

    assert kinds == ["cursor", "cursor", "hb", "cursor", "hb"]


async def test_a_stale_feed_is_told_once_and_so_is_its_return(
    redis_url: str, namespace: str
) -> None:
    silence = Silence(stale_after_s=0.4, heartbeat_s=0)
    async with (
        gateway(redis_url, namespace, silence=silence) as rig,
        rig.client() as before,
        rig.client("?encoding=msgpack") as later,
    ):
        await before.ask(action="subscribe", trades=["SIM:S001"])
        await rig.trade("SIM:S001")

        stale = await next_of(before, "stale")
        assert stale == {
            "T": "stale",
            "feed": "sim",
            "venue": "SIM",
            "stale": True,
            "t": FIRST,
            "since": stale["since"],
        }
        assert rig.metric("gateway_feed_stale", feed="sim") == 1

        request = '{"action":"subscribe","trades":["SIM:S001"],"snapshot":true}'
        await later.connection.send(request)
        kinds = [(await later.receive())[0]["T"] for _ in range(3)]
        assert kinds == ["subscription", "t", "stale"]
        await later.connection.send(request.replace("S001", "S002"))
        assert (await later.receive())[0]["T"] == "subscription"

        await rig.trade("SIM:S003")
        for client in (before, later):
            (message,) = await client.receive()  # the very next
            assert (message["T"], message["stale"]) == ("stale", False)
        assert rig.metric("gateway_feed_stale", feed="sim") == 0


async def test_feeds_that_nobody_runs_are_not_called_stale(redis_url: str, namespace: str) -> None:
    silence = Silence(stale_after_s=0.1, heartbeat_s=0.25)
    async with (
        gateway(redis_url, namespace, silence=silence) as rig,  # "sim" is registered, no more
        rig.client() as client,
    ):
        await client.ask(action="subscribe", trades=["*"])

        beats = [(await client.receive())[0] for _ in range(3)]

    assert [(beat["T"], beat["feeds"]) for beat in beats] == [("hb", {})] * 3


async def test_a_gateway_without_heartbeats_sends_none(redis_url: str, namespace: str) -> None:
    settings = GatewaySettings(port=0, ping_s=0.25)
    async with (
        gateway(redis_url, namespace, settings=settings, silence=Silence(heartbeat_s=0)) as rig,
        raw_client(rig.service.port) as client,
    ):
        await client.upgrade()
        await client.say(action="subscribe", trades=["*"])
        await client.message()

        for _ in range(3):
            assert await client.frame() == (PING, b"")
            client.writer.write(client_frame(PONG, b""))


@pytest.mark.parametrize("path", ["/v2/iex", "/v1beta3/crypto/us"])
async def test_nothing_comes_unasked_where_readers_take_what_they_do_not_know_for_an_error(
    redis_url: str, namespace: str, path: str
) -> None:
    silence = Silence(stale_after_s=0.2, heartbeat_s=0.25)
    async with (
        gateway(redis_url, namespace, silence=silence, stocks=["alp"]) as rig,
        rig.client() as native,
        rig.client(path) as client,
    ):
        for each in (native, client):
            await each.ask(action="subscribe", trades=["ALP:AAPL"])
        await rig.trade("ALP:AAPL", feed="alp")
        for kind in ("stale", "hb"):
            await next_of(native, kind)
        async with rig.client(path) as later:
            await later.ask(action="subscribe", trades=["ALP:AAPL"])
            reply = await later.ask(action="subscribe")
        rig.service.begin_drain()
        told, code = await client.ended()

    assert reply["T"] == "subscription"  # nothing came before it
    assert [message["T"] for message in told] == ["t"]
    assert code == 1012
