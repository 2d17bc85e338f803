"""Changes that wait for their turn, and who does not wait for them to the end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conftest import Eventually
from tests.integration.client.guarded import guarded
from tests.integration.client.test_client_stream import SOON, breakable, trade_ids
from tests.integration.gateway.rig import Rig, gateway
from tickgate.client import State, Stream, connect
from tickgate.client import stream as stream_module


@pytest.fixture
async def rig(redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    async with gateway(redis_url, namespace) as running:
        yield running


async def use_up(stream: Stream, requests: int) -> None:
    """As many requests as may be made in a second, which are ten: the next one waits."""
    for number in range(requests):
        await stream.subscribe(trades=f"SIM:A{number}")


async def test_a_change_that_is_given_up_before_its_turn_holds_up_no_other(rig: Rig) -> None:
    states: list[State] = []
    async with connect(rig.url, on_state=states.append) as stream:
        await use_up(stream, 10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await stream.subscribe(trades="SIM:B")
        async with asyncio.timeout(5):
            await stream.subscribe(trades="SIM:C")

        assert "SIM:C" in stream.subscriptions["trades"]
    assert [state.phase for state in states] == ["live", "closed"]


async def test_a_request_that_waits_as_the_connection_is_lost_is_not_the_first_of_the_next(
    redis_url: str,
) -> None:
    async with (
        guarded(redis_url) as rig,
        breakable(rig) as (proxy, url),
        connect(url, key="KEY", secret="s3cret", backoff=SOON) as stream,
        asyncio.TaskGroup() as group,
    ):
        await use_up(stream, 9)  # the first one showed the key
        asked = group.create_task(stream.subscribe(trades="SIM:B"), name="subscribe")
        await asyncio.sleep(0)
        await proxy.cut()
        async with asyncio.timeout(5):
            await asked

        assert len(stream.subscriptions["trades"]) == 10


async def test_a_function_that_never_returns_a_token_is_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_ANSWER_S", 0.1)
    states: list[State] = []
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.Event().wait()
        return "KEY:s3cret"

    async with connect(rig.url, token=token, backoff=SOON, on_state=states.append) as stream:
        await stream.subscribe(trades="SIM:A")

    assert [state.phase for state in states] == ["lost", "live", "closed"]
    assert states[0].reason == "no token: TimeoutError()"


async def test_a_function_that_takes_its_time_for_a_token_holds_up_no_message(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(stream_module, "renewal_s", lambda token, now_s: 0.05)
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.Event().wait()
        return "KEY:s3cret"

    async with connect(rig.url, token=token) as stream:
        await eventually(lambda: asked == 2)
        async with asyncio.timeout(5):
            await stream.subscribe(trades="SIM:A")
            await rig.trade("SIM:A")

            assert await trade_ids(stream, 1) == [1]
