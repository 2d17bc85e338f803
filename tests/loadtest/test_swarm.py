"""The benchmark's clients in C, against a gateway."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from gateway.connection import Limits
from gateway.keys import ApiKeys
from gateway.service import GatewaySettings
from tests.bench.crowd.processes import Report, Swarm, build
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.integration.gateway.rig import Rig, gateway

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the swarm"),
]

NAMES = [f"SIM:S{n}" for n in range(5)]
EACH = 3
CLIENTS = 20
SECRET_SHA256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of "secret"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("swarm"))


async def publish(rig: Rig, *trade_ids: int) -> None:
    """One trade of every symbol with each of these ids, timed now."""
    ticks = [
        Tick(Symbol(name), trade_id, 100.5, 2.0, wall_ns(), Side.BUY, trade_id)
        for trade_id in trade_ids
        for name in NAMES
    ]
    await rig.publish(ticks)


@asynccontextmanager
async def subscribed(
    program: Path, rig: Rig, eventually: Eventually, **options: object
) -> AsyncIterator[Callable[..., Any]]:
    """20 clients; calls ``ask(method, …)`` of their process off the loop that serves them."""
    ask = asyncio.to_thread
    with Swarm(program, [rig.service.port], **options) as swarm:
        sets = [(n % 2, [(n + k) % len(NAMES) for k in range(EACH)]) for n in range(CLIENTS)]
        await ask(swarm.open, NAMES, sets)

        async def all_subscribed() -> bool:
            return (await ask(swarm.report)).subscribed == CLIENTS

        await eventually(all_subscribed)
        yield lambda name, *words: ask(partial(getattr(swarm, name), *words))


async def level(ask: Callable[..., Any], trade_id: int) -> bool:
    """Does every client have the trades up to this one?"""
    return bool(await ask("behind", [trade_id] * len(NAMES)) == 0)


async def test_each_client_gets_each_trade_once_and_says_how_late(
    program: Path, redis_url: str, namespace: str, eventually: Eventually
) -> None:
    keys = ApiKeys.parse(f"KEY1:{SECRET_SHA256}")
    settings = GatewaySettings(port=0, limits=Limits(max_connections_per_ip=7))  # of 3 addresses
    options = {"first_id": 1, "key": "KEY1", "secret": "secret", "first_source": 2, "sources": 3}
    async with (
        gateway(redis_url, namespace, keys=keys, settings=settings) as rig,
        subscribed(program, rig, eventually, **options) as ask,
    ):
        await publish(rig, 1, 2)
        await publish(rig, 3)
        await eventually(partial(level, ask, 3))
        report: Report = await ask("report")

    assert report.flawless
    assert (report.clients, report.current) == (CLIENTS, CLIENTS)
    assert report.deliveries == report.all.count == CLIENTS * EACH * 3
    assert report.group0.count == report.group1.count == report.all.count / 2
    assert 0 < report.all.p50_ms <= report.all.p99_ms <= report.all.max_ms < 5_000


async def test_holes_and_repetitions_are_counted(
    program: Path, redis_url: str, namespace: str, eventually: Eventually
) -> None:
    async with (
        gateway(redis_url, namespace) as rig,
        subscribed(program, rig, eventually, first_id=1) as ask,
    ):
        await publish(rig, 1, 4, 4, 2, 5)

        async def delivered() -> bool:
            return (await ask("report")).deliveries == CLIENTS * EACH * 5

        await eventually(delivered)
        report: Report = await ask("report")
        lacking = await ask("behind", [7] * len(NAMES))

    assert not report.flawless
    assert (report.missing, report.repeated) == (CLIENTS * EACH * 2, CLIENTS * EACH * 2)
    assert lacking == CLIENTS * EACH * 2


async def test_who_stalls_reads_nothing_and_who_is_closed_is_counted(
    program: Path, redis_url: str, namespace: str, eventually: Eventually
) -> None:
    async with (
        gateway(redis_url, namespace) as rig,
        subscribed(program, rig, eventually, first_id=1) as ask,
    ):
        await ask("stall")
        await publish(rig, 1)

        async def healthy_have_it() -> bool:
            return (await ask("report")).group0.count == CLIENTS // 2 * EACH

        await eventually(healthy_have_it)
        assert (await ask("behind", [1] * len(NAMES))) == 0
        rig.service.begin_drain()

        async def all_closed() -> bool:
            return (await ask("report")).closed == CLIENTS // 2

        await eventually(all_closed)
        report: Report = await ask("report")

    assert report.group1.count == 0
    assert report.codes == {"1012": CLIENTS // 2}


async def test_who_comes_back_goes_on_from_its_cursor_without_a_hole(
    program: Path, redis_url: str, namespace: str, eventually: Eventually, free_port: int
) -> None:
    settings = GatewaySettings(port=free_port)
    options = {"first_id": 1, "resume": 1, "extra": ',"cursor":true', "retry_ms": 20}
    async with AsyncExitStack() as stack:
        async with gateway(redis_url, namespace, settings=settings) as rig:
            ask = await stack.enter_async_context(subscribed(program, rig, eventually, **options))
            await publish(rig, 1, 2)
            await eventually(partial(level, ask, 2))
        async with gateway(redis_url, namespace, settings=settings) as again:
            await publish(again, 3, 4)
            await eventually(partial(level, ask, 4))
            report: Report = await ask("report")

    assert report.flawless
    assert (report.returned, report.no_cursor) == (CLIENTS, 0)
    assert report.codes["1012"] == CLIENTS
