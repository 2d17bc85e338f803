"""Who is let in."""

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.connection import Limits
from gateway.keys import ApiKeys
from gateway.service import GatewaySettings
from tests.integration.gateway.rig import Rig, gateway

GOOD = {"key": "KEY", "secret": "s3cret"}


@pytest.fixture
async def guarded(redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    keys = ApiKeys({"KEY": hashlib.sha256(b"s3cret").digest()})
    limits = Limits(max_connections_per_key=2)
    settings = GatewaySettings(port=0, auth_timeout_s=1.0, limits=limits)
    async with gateway(redis_url, namespace, keys=keys, settings=settings) as rig:
        yield rig


async def test_without_keys_everybody_is_let_in_and_need_not_ask(rig: Rig) -> None:
    async with rig.client() as client:
        subscribed = await client.ask(action="subscribe", trades=["A"])
        welcome = await client.ask(action="auth", key="any", secret="thing")
        again = await client.ask(action="auth", key="any", secret="thing")

    assert subscribed["T"] == "subscription"
    assert welcome == {"T": "success", "msg": "authenticated"}
    assert again["code"] == 403


async def test_a_key_opens_the_stream(guarded: Rig) -> None:
    async with guarded.client() as client:
        early = await client.ask(action="subscribe", trades=["A"])
        welcome = await client.ask(action="auth", **GOOD)
        subscribed = await client.ask(action="subscribe", trades=["A"])

    assert early["code"] == 401
    assert welcome["msg"] == "authenticated"
    assert subscribed["trades"] == ["A"]


async def test_a_token_is_accepted_as_the_published_clients_send_it(guarded: Rig) -> None:
    async with guarded.client() as client:
        welcome = await client.ask(action="auth", key="oauth", secret="KEY:s3cret")

    assert welcome["msg"] == "authenticated"


@pytest.mark.parametrize("secret", ["wrong", "", None])
async def test_a_wrong_secret_closes_the_connection(guarded: Rig, secret: str | None) -> None:
    async with guarded.client() as client:
        error = await client.ask(action="auth", key="KEY", secret=secret)
        _, code = await client.ended()

    assert (error["code"], code) == (402, 1008)


@pytest.mark.parametrize("path", ["/v2/iex", "/v1beta3/crypto/us"])
async def test_readers_of_the_published_protocol_get_its_very_words_for_a_wrong_key(
    guarded: Rig, path: str
) -> None:
    async with guarded.client(path) as client:
        error = await client.ask(action="auth", key="KEY", secret="wrong")
        native = await wrong_key(guarded)

    reason = error.pop("reason")
    assert error == {"T": "error", "code": 402, "msg": "auth failed"}
    assert native["msg"] == f"auth failed: {reason}"


async def wrong_key(rig: Rig) -> dict[str, Any]:
    """The answer to it at our own path."""
    async with rig.client() as client:
        return await client.ask(action="auth", key="KEY", secret="wrong")


async def test_who_does_not_authenticate_in_time_is_closed(guarded: Rig) -> None:
    async with guarded.client() as client:
        (error,), code = await client.ended()

    assert (error["code"], code) == (404, 1008)


@pytest.mark.parametrize(
    "headers",
    [
        {"APCA-API-KEY-ID": "KEY", "APCA-API-SECRET-KEY": "s3cret"},
        {"Authorization": "Basic " + base64.b64encode(b"KEY:s3cret").decode()},
        {"Authorization": "Bearer KEY:s3cret"},
    ],
)
async def test_credentials_in_the_handshake_authenticate_unprompted(
    guarded: Rig, headers: dict[str, str]
) -> None:
    async with guarded.client(additional_headers=headers) as client:
        assert await client.receive() == [{"T": "success", "msg": "authenticated"}]
        assert (await client.ask(action="subscribe"))["T"] == "subscription"


async def test_wrong_credentials_in_the_handshake_are_refused_after_the_welcome(
    guarded: Rig,
) -> None:
    async with guarded.client(additional_headers={"Authorization": "Bearer KEY:no"}) as client:
        (error,), code = await client.ended()

    assert (error["code"], code) == (402, 1008)


async def test_a_key_has_only_so_many_connections_at_a_time(guarded: Rig, eventually: Any) -> None:
    async with guarded.client() as first, guarded.client() as second:
        assert (await first.ask(action="auth", **GOOD))["T"] == "success"
        assert (await second.ask(action="auth", **GOOD))["T"] == "success"
        async with guarded.client() as third:
            error = await third.ask(action="auth", **GOOD)
            _, code = await third.ended()
        assert (error["code"], code) == (406, 1008)

    async def let_in_again() -> bool:
        async with guarded.client() as later:
            return bool((await later.ask(action="auth", **GOOD))["T"] == "success")

    await eventually(let_in_again)
