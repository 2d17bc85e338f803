"""The history of a simulated market, on real servers: what goes out, over stops, and its bars."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS
from ingest.limits import IngestLimits
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.integration.aggregator.rig import Rig
from tests.integration.ingest.rig import Stored, make_service
from tests.property.aggregator.harness import oracle, plain

SYMBOLS, MINUTES = 12, 120
PAST = SYMBOLS * MINUTES * 8
SPEC = f"sim:?symbols={SYMBOLS}&rate=300&history={MINUTES}"
SLOW = IngestLimits(hand_over_ticks=500, idle_block_ns=50_000_000)


@asynccontextmanager
async def ingest(stored: Stored, *, limits: IngestLimits = SLOW) -> AsyncIterator[None]:
    """The role; at the end of the block it is gone without a drain, as after a kill."""
    service = make_service([SPEC], stored.url, stored.namespace, limits=limits)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(service.run(), name="ingest")
        yield
        task.cancel()


@asynccontextmanager
async def reading(stored: Stored) -> AsyncIterator[None]:
    """Readers that keep up."""

    async def consume() -> None:
        while True:
            await stored.consume_all()
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        readers = group.create_task(consume(), name="readers")
        yield
        readers.cancel()


def at_least(stored: Stored, count: int) -> Callable[[], object]:
    async def enough() -> bool:
        return len(await stored.ticks()) >= count

    return enough


def by_symbol(ticks: list[Tick]) -> dict[str, list[Tick]]:
    found: dict[str, list[Tick]] = {}
    for tick in ticks:
        found.setdefault(tick.symbol, []).append(tick)
    return found


def assert_whole(ticks: list[Tick]) -> None:
    """Ids and times as if nothing had ever stopped: eight trades a minute, then the live ones."""
    for mine in by_symbol(ticks).values():
        assert [tick.trade_id for tick in mine] == list(range(1, len(mine) + 1))
        times = [tick.event_ns for tick in mine]
        assert times == sorted(times)
        gaps = {b - a for a, b in itertools.pairwise(times[: MINUTES * 8])}
        assert all(abs(gap - MINUTE_NS // 8) <= 1 for gap in gaps)
        assert times[MINUTES * 8] - times[MINUTES * 8 - 1] < 2 * MINUTE_NS


async def test_the_history_comes_once_and_the_live_market_follows_it_without_a_seam(
    stored: Stored, eventually: Eventually
) -> None:
    began_ns = wall_ns()
    async with reading(stored), ingest(stored):
        await eventually(at_least(stored, PAST + 500), timeout_s=40)

    first = await stored.ticks()
    async with reading(stored), ingest(stored):
        await eventually(at_least(stored, len(first) + 300), timeout_s=40)

    ticks = await stored.ticks()
    assert_whole(ticks)
    assert abs(min(tick.event_ns for tick in ticks) - began_ns + MINUTES * MINUTE_NS) < 5 * 10**9
    assert all(tick.event_ns > began_ns for tick in set(ticks) - set(first))
    live = sorted(tick.event_ns for tick in first if tick.event_ns > began_ns)
    assert max(b - a for a, b in itertools.pairwise(live)) < 2 * 10**9
    assert await stored.quarantined() == []


@pytest.mark.parametrize("stops", [1, 5])
async def test_a_history_that_was_stopped_in_the_middle_goes_on_there(
    stored: Stored, eventually: Eventually, stops: int
) -> None:
    for _ in range(stops):
        count = len(await stored.ticks())
        async with ingest(stored):
            await eventually(lambda: stored.statuses())
            await stored.consume_all()  # which lets some hundred ticks pass
            await eventually(at_least(stored, count + 100), timeout_s=40)

    assert len(await stored.ticks()) < PAST
    async with reading(stored), ingest(stored):
        await eventually(at_least(stored, PAST + 100), timeout_s=40)

    ticks = await stored.ticks()
    assert_whole(ticks)
    assert await stored.quarantined() == []


async def test_the_history_waits_for_an_aggregator(stored: Stored, eventually: Eventually) -> None:
    async with ingest(stored):

        async def waiting() -> bool:
            return any(status.state == "waiting" for status in await stored.statuses())

        await eventually(waiting, timeout_s=40)
        assert await stored.ticks() == []
        async with reading(stored):
            await eventually(at_least(stored, PAST + 1), timeout_s=40)

    assert_whole(await stored.ticks())


@pytest.mark.parametrize("kills", [0, 3])
async def test_the_bars_of_a_history_are_exact(
    redis_url: str, migrated_url: str, namespace: str, eventually: Eventually, kills: int
) -> None:
    rig = Rig(redis_url=redis_url, database_url=migrated_url, namespace=namespace, feed="sim")
    stored = Stored(redis_url, namespace)
    async with rig.store() as store, asyncio.TaskGroup() as group:
        aggregator = rig.make_service(store)
        group.create_task(aggregator.run(), name="aggregator")
        for kill in range(kills):
            async with ingest(stored):
                await eventually(at_least(stored, PAST * (kill + 1) // 5), timeout_s=40)
        async with ingest(stored):
            await eventually(at_least(stored, PAST + 200), timeout_s=40)
            ticks = await stored.ticks()

            async def all_closed() -> bool:
                return len(await rig.stored()) >= len(closed(ticks))

            await eventually(all_closed, timeout_s=40)
        aggregator.begin_drain()

    bars = {(bar.symbol, bar.timeframe, bar.start_ns): bar for bar in await rig.stored()}
    expected = closed(ticks)
    assert len(expected) > SYMBOLS * MINUTES
    assert {key: plain(bars[key]) for key in expected} == expected
    assert kills or all(bar.rev == 0 for bar in bars.values())
    assert_whole(await stored.ticks())
    await stored.redis.aclose()
    await rig.close()


def closed(ticks: list[Tick]) -> dict:  # type: ignore[type-arg]
    """The bars of windows that ended a while before the newest tick."""
    until_ns = max(tick.event_ns for tick in ticks) - 5 * 10**9
    return {key: facts for key, facts in oracle(ticks).items() if key[2] + key[1].ns <= until_ns}
