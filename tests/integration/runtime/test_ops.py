import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from core.market.errors import TickgateError
from core.runtime.disk import Janitor
from core.runtime.listen import PortInUse, available_port
from core.runtime.ops import OpsServer
from core.runtime.readiness import Readiness
from tests.conftest import Eventually


@pytest.fixture
async def ops() -> AsyncIterator[tuple[OpsServer, Readiness]]:
    registry, readiness = CollectorRegistry(), Readiness(lambda: 10**18, "redis")
    Counter("seen", "seen", registry=registry).inc()
    server = OpsServer(
        host="127.0.0.1",
        port=0,
        readiness=readiness,
        registry=registry,
        now_ns=lambda: 10**18 + 1_500_000_000,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run())
        yield server, readiness
        server.begin_drain()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_a_role_is_live_before_it_is_ready(ops: tuple[OpsServer, Readiness]) -> None:
    server, readiness = ops

    live, _ = await get(server.url + "/livez")
    before, text = await get(server.url + "/readyz")
    readiness.up("redis")
    after, _ = await get(server.url + "/readyz")

    assert (live, before, after) == (200, 503, 200)
    assert '"reason": "starting"' in text
    assert '"since": "2001-09-09T01:46:40.000Z"' in text
    assert '"since_s": 1.5' in text
    assert '"crash_loops": []' in text


async def test_metrics_are_in_the_text_format(ops: tuple[OpsServer, Readiness]) -> None:
    status, text = await get(ops[0].url + "/metrics")

    assert status == 200
    assert "seen_total 1.0" in text


async def test_a_taken_port_is_told_with_the_remedy(ops: tuple[OpsServer, Readiness]) -> None:
    port = int(ops[0].url.rpartition(":")[2])

    with pytest.raises(PortInUse, match=f"port {port}: address already in use; stop what uses it"):
        available_port("127.0.0.1", port)


async def test_addresses_of_both_families_can_be_listened_on() -> None:
    assert available_port("::1", 0) > 0
    assert available_port("localhost", 0) > 0


class Away(TickgateError):
    """Not now."""


async def test_the_janitor_says_once_that_it_failed_and_goes_on(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    async def prune() -> int:
        calls.append(len(calls))
        if len(calls) in {1, 3}:
            raise Away("too slow")
        return len(calls)

    janitor = Janitor(prune, away=(Away,), every_s=0.001)
    async with asyncio.TaskGroup() as group:
        group.create_task(janitor.run())
        await eventually(lambda: len(calls) > 3)
        janitor.begin_drain()
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == ["what is too old or too much stays for now: too slow"]
