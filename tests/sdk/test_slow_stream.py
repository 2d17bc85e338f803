"""alpaca-py, as it is published, with a handler that blocks: it is told that it is slow."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.connection import Limits
from gateway.service import GatewaySettings
from tests.conftest import Eventually
from tests.integration.gateway.rig import Rig, gateway
from tests.sdk.harness import Sdk, python_command, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

SYMBOLS = [f"SIM:S{n:03d}" for n in range(200)]
SETTINGS = GatewaySettings(
    port=0, limits=Limits(slow_client_age_ns=60_000_000_000, slow_client_bytes=30_000)
)
WAIT_S = 30.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sdk() -> AsyncIterator[Sdk]:
    """It takes seconds to be loaded."""
    async with running("python", python_command()) as python:
        yield python


@pytest_asyncio.fixture(loop_scope="module")
async def held(
    sdk: Sdk, redis_url: str, namespace: str, eventually: Eventually
) -> AsyncIterator[tuple[Rig, Sdk]]:
    """A gateway, and a stream of the SDK that was closed as its handler blocks."""
    sdk.events.clear()
    async with gateway(redis_url, namespace, settings=SETTINGS) as rig:
        where = {"http": "http://127.0.0.1:1", "ws": rig.url.removesuffix("/v1/stream")}
        await sdk.ask("client", client="one", key="KEY", secret="secret", **where)
        await sdk.ask("stream", client="one", name="slow", kind="crypto")
        await sdk.ask("hold", client="one", name="slow")

        async def closed() -> bool:
            await rig.trade(*SYMBOLS)
            return bool(rig.metric("gateway_closed_clients_total", reason="slow_bytes"))

        await eventually(lambda: rig.metric("gateway_subscribers") == 1, timeout_s=WAIT_S)
        await eventually(closed, timeout_s=WAIT_S)
        assert len(sdk.given("slow", "trade")) == 1
        yield rig, sdk


async def goes_on(rig: Rig, sdk: Sdk, eventually: Eventually) -> None:
    """The stream connects again by itself, and is given what is new, until it is stopped."""

    async def given() -> bool:
        (trade,) = await rig.trade(SYMBOLS[0])
        newest = sdk.given("slow", "trade")[-1]
        return bool(newest["id"] >= trade.trade_id - 1)

    await eventually(lambda: rig.metric("gateway_subscribers") == 1, timeout_s=WAIT_S)
    await eventually(given, timeout_s=WAIT_S)
    await sdk.ask("stop", client="one", name="slow")

    async def gone() -> bool:
        await rig.trade(SYMBOLS[0])  # it looks whether it is to stop behind each message
        return rig.metric("gateway_clients") == 0

    await eventually(gone, timeout_s=WAIT_S)


async def test_a_stream_that_reads_on_in_time_is_told_407_and_connects_again(
    held: tuple[Rig, Sdk], eventually: Eventually
) -> None:
    rig, sdk = held

    await sdk.ask("go_on", client="one", name="slow")

    await eventually(lambda: len(sdk.complaints("slow")) >= 2, timeout_s=WAIT_S)
    error, ended = sdk.complaints("slow")[:2]
    assert error == "error: slow client: more than 30000 bytes behind (407)"
    assert "restarting connection" in ended
    assert "1008" in ended
    await goes_on(rig, sdk, eventually)


async def test_a_stream_that_reads_on_too_late_finds_itself_cut_off_and_connects_again(
    held: tuple[Rig, Sdk], eventually: Eventually
) -> None:
    rig, sdk = held

    await eventually(lambda: rig.service.unsent_bytes == 0, timeout_s=WAIT_S)  # all given up
    await sdk.ask("go_on", client="one", name="slow")

    await eventually(lambda: sdk.complaints("slow"), timeout_s=WAIT_S)
    assert "407" not in sdk.complaints("slow")[0]
    assert "restarting connection" in sdk.complaints("slow")[0]
    await goes_on(rig, sdk, eventually)
