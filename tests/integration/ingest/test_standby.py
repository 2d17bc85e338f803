"""Two ingest processes for one feed: one publishes, the other takes over."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.conftest import Eventually, find_free_port
from tests.integration.ingest.rig import SHARDS, Stored, make_service
from tests.integration.system.programs import Program, running

TAKES_OVER_S = 5.0
FEED = "sim:?symbols=20&rate=2000&seed=1"


@asynccontextmanager
async def ingest(url: str, namespace: str) -> AsyncIterator[Program]:
    """A process that wants to publish the feed."""
    ports = ("--ops-port", str(find_free_port()))
    common = ("--redis-url", url, "--namespace", namespace, "--shards", str(SHARDS))
    async with running("ingest", *common, *ports, "--feed", FEED) as one:
        yield one


async def grows(stored: Stored, eventually: Eventually, *, timeout_s: float) -> None:
    """Wait for ticks that are not there now; those that are there are sound."""
    before = len(await stored.ticks())

    async def more() -> bool:
        return len(await stored.ticks()) > before

    await eventually(more, timeout_s=timeout_s)


async def sound(stored: Stored) -> None:
    """No tick is there twice, none is left out, and block numbers have no hole."""
    ids: dict[str, list[int]] = {}
    for tick in await stored.ticks():
        ids.setdefault(tick.symbol, []).append(tick.trade_id)
    assert ids
    for found in ids.values():
        assert found == list(range(found[0], found[0] + len(found)))


async def test_a_paused_writer_loses_its_feed_and_a_killed_one_is_replaced(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with ingest(redis_url, namespace) as first:
        await first.said("feed sim is live")
        async with ingest(redis_url, namespace) as second:
            await second.said("standing by")
            await grows(stored, eventually, timeout_s=5)

            first.process.send_signal(signal.SIGSTOP)
            await second.said("taken over|feed sim is live", timeout_s=TAKES_OVER_S)
            await grows(stored, eventually, timeout_s=2)
            first.process.send_signal(signal.SIGCONT)
            await first.said("taken over by .*; this process stands by")
            await grows(stored, eventually, timeout_s=5)
            await sound(stored)

            second.process.send_signal(signal.SIGKILL)
            await grows(stored, eventually, timeout_s=TAKES_OVER_S)
        await sound(stored)


async def test_a_drained_writer_hands_over_at_once(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    services = [make_service([FEED], redis_url, namespace) for _ in range(2)]
    for service, owner in zip(services, "ab", strict=True):
        service.owner = owner
    async with asyncio.TaskGroup() as group:
        group.create_task(services[0].run())
        await grows(stored, eventually, timeout_s=5)
        group.create_task(services[1].run())
        services[0].begin_drain()
        await grows(stored, eventually, timeout_s=2)
        await grows(stored, eventually, timeout_s=2)
        services[1].begin_drain()

    await sound(stored)


async def test_a_silent_owner_is_replaced_once_its_lease_ran_out(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    services = [make_service([FEED], redis_url, namespace) for _ in range(2)]
    for service, owner in zip(services, "ab", strict=True):
        service.owner = owner
    async with asyncio.TaskGroup() as group:
        first = group.create_task(services[0].run())
        await grows(stored, eventually, timeout_s=5)
        group.create_task(services[1].run())
        first.cancel()
        await asyncio.wait([first])
        await grows(stored, eventually, timeout_s=TAKES_OVER_S)
        services[1].begin_drain()

    await sound(stored)
