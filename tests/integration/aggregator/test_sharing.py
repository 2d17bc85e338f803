"""Several aggregators: they share the shards, take over from each other, and repeat nothing."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass

import psycopg
import pytest

from aggregator.service import AggregatorService
from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS
from storage.bar_writer import BarWriter
from storage.keys import shard_of
from storage.shard_leases import session_name
from tests.conftest import Eventually
from tests.fix_servers import TcpProxy
from tests.integration.aggregator.rig import SHARDS, Rig
from tests.property.aggregator.harness import oracle, plain

pytestmark = pytest.mark.timeout(60)

START_NS = 1_700_000_000 * 10**9 // MINUTE_NS * MINUTE_NS
TAKEOVER_S = 5.0


def trades(first: int, count: int) -> list[Tick]:
    """One trade a second over twelve symbols, which are on all shards, from second *first*."""
    return [
        Tick(Symbol(f"X:S{n % 12}"), n + 1, 1.0 + n % 7, 0.5, START_NS + n * 10**9, seq=n + 1)
        for n in range(first, first + count)
    ]


assert {shard_of(tick.symbol, SHARDS) for tick in trades(0, 12)} == set(range(SHARDS))


@pytest.fixture
async def rig(redis_url: str, embedded_migrated_url: str, namespace: str) -> AsyncIterator[Rig]:
    rig = Rig(redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace)
    yield rig
    await rig.close()


@dataclass
class Member:
    """An aggregator that runs."""

    service: AggregatorService
    task: "asyncio.Task[None]"

    @property
    def owned(self) -> set[int]:
        return {state.shard for state in self.service.shards}

    @property
    def tokens(self) -> dict[int, int]:
        return {state.shard: state.token for state in self.service.shards}

    @property
    def ready(self) -> bool:
        return self.service.readiness.ready

    async def kill(self) -> None:
        """End it as SIGKILL would: nothing is flushed, nothing released."""
        self.task.cancel()
        await asyncio.wait({self.task})


@contextlib.asynccontextmanager
async def running(
    rig: Rig, name: str, *, database_url: str = "", exit_after: Collection[str] = ()
) -> AsyncIterator[Member]:
    """An aggregator, which sees its leases by way of *database_url*; drained with the block."""
    async with rig.store() as store:
        service = rig.make_service(
            store, name=name, database_url=database_url, exit_after=frozenset(exit_after)
        )
        async with asyncio.TaskGroup() as group:
            yield Member(service, group.create_task(service.run()))
            service.begin_drain()


def shared(*members: Member) -> bool:
    """Is each shard owned by one of them, and are the shares even?"""
    shards = [shard for member in members for shard in member.owned]
    sizes = {len(member.owned) for member in members}
    return sorted(shards) == list(range(SHARDS)) and max(sizes) - min(sizes) <= 1


async def assert_exact(rig: Rig, ticks: list[Tick]) -> bool:
    """Bars are those of the ticks, and each revision of each was published once."""
    right = oracle(ticks)
    stored = await rig.stored()
    assert {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in stored} == right
    published = await rig.published()
    assert newest(published) == newest(stored)
    times = Counter((b.symbol, b.timeframe, b.start_ns, b.rev) for b in published)
    assert set(times.values()) == {1}
    return True


def newest(bars: list[Bar]) -> dict[tuple[str, str, int], Bar]:
    return {(bar.symbol, bar.timeframe, bar.start_ns): bar for bar in bars}


async def test_two_share_the_shards_and_each_ends_when_all_bars_are_stored(
    rig: Rig, eventually: Eventually
) -> None:
    ticks = trades(0, 2_000)
    async with (
        asyncio.timeout(20),
        running(rig, "a", exit_after=[rig.feed]) as a,
        running(rig, "b", exit_after=[rig.feed]) as b,
    ):
        await rig.write(ticks[:500])
        await eventually(lambda: shared(a, b))
        assert not a.task.done()
        await rig.write(ticks[500:], end=True)
        await asyncio.wait({a.task, b.task})

    assert await assert_exact(rig, ticks)


async def test_a_rolling_restart_loses_nothing_and_repeats_nothing(
    rig: Rig, eventually: Eventually
) -> None:
    written: list[Tick] = []
    restarted = asyncio.Event()

    async def write() -> None:
        while not restarted.is_set():
            some = trades(len(written), 100)
            await rig.write(some)
            written.extend(some)
            await asyncio.sleep(0.05)
        await rig.write([], end=True)

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        old = await _start(group, rig, "0")
        for name in ("1", "2", "3"):
            new = await _start(group, rig, name)
            await eventually(lambda old=old, new=new: shared(old, new))
            old.service.begin_drain()
            await asyncio.wait({old.task})
            await eventually(lambda new=new: shared(new))
            old = new
        restarted.set()
        await writing
        await eventually(lambda: assert_exact(rig, written), timeout_s=20)
        old.service.begin_drain()


async def _start(group: asyncio.TaskGroup, rig: Rig, name: str) -> Member:
    """An aggregator that is drained by the test."""
    starting = asyncio.Event()
    members: list[Member] = []

    async def run() -> None:
        async with rig.store() as store:
            service = rig.make_service(store, name=name)
            task = asyncio.current_task()
            assert task is not None
            members.append(Member(service, task))
            starting.set()
            await service.run()

    group.create_task(run())
    await starting.wait()
    return members[0]


async def test_a_dead_ones_shards_move_within_five_seconds(
    rig: Rig, eventually: Eventually
) -> None:
    ticks = trades(0, 3_000)
    async with running(rig, "b") as b, running(rig, "a") as a:
        await eventually(lambda: shared(a, b))
        await rig.write(ticks[:1_500])
        await eventually(lambda: all(state.positions for state in a.service.shards))
        await a.kill()
        died_s = time.monotonic()
        await rig.write(ticks[1_500:], end=True)

        await eventually(lambda: shared(b))
        assert time.monotonic() - died_s < TAKEOVER_S
        await eventually(lambda: assert_exact(rig, ticks))


async def test_a_flush_that_its_owner_left_open_keeps_nobody_out(
    rig: Rig, eventually: Eventually
) -> None:
    """As that of a process that was paused in the middle: its locks would stay."""
    async with running(rig, "a") as a:
        await eventually(lambda: shared(a))
        paused = await psycopg.AsyncConnection.connect(
            rig.database_url, application_name=session_name("a")
        )
        await paused.execute("SELECT FROM shard_leases WHERE shard = 2 FOR KEY SHARE")
        await a.kill()
        died_s = time.monotonic()
        async with running(rig, "b") as b:
            await eventually(lambda: shared(b))
            assert time.monotonic() - died_s < TAKEOVER_S
    with pytest.raises(psycopg.OperationalError):
        await paused.execute("SELECT 1")


async def test_one_that_lost_sight_of_its_leases_is_fenced_and_comes_back(
    rig: Rig, proxied: Callable, eventually: Eventually
) -> None:
    """It folds and flushes on, as it does not know better: none of that is written."""
    ticks = trades(0, 3_000)
    proxy: TcpProxy = await proxied(rig.database_url)
    async with running(rig, "a", database_url=proxy.url) as a:
        registry = rig.registry
        await eventually(lambda: shared(a))
        await rig.write(ticks[:1_000])
        proxy.black_hole()
        async with running(rig, "b") as b:
            await eventually(lambda: shared(b))
            await rig.write(ticks[1_000:2_000])
            await eventually(lambda: not a.owned)
            assert registry.get_sample_value("aggregator_stale_flushes_total")
            await proxy.heal()
            await proxy.cut()
            await eventually(lambda: shared(a, b))
            await rig.write(ticks[2_000:], end=True)
            await eventually(lambda: assert_exact(rig, ticks))


async def test_aggregators_whose_database_was_away_go_on_with_the_shards_they_had(
    rig: Rig, proxied: Callable, eventually: Eventually
) -> None:
    """All lost sight of it at once: nobody takes what its owner still holds in memory."""
    ticks = trades(0, 1_000)
    direct = rig.database_url
    proxy: TcpProxy = await proxied(direct)
    rig.database_url = proxy.url
    async with running(rig, "a") as a, running(rig, "b") as b:
        await eventually(lambda: shared(a, b))
        before = a.tokens, b.tokens
        await proxy.refuse()
        await rig.write(ticks, end=True)
        await eventually(lambda: not a.ready and not b.ready)
        await eventually(lambda: have_run_out(direct))
        await proxy.heal()
        await eventually(lambda: a.ready and b.ready)
        await eventually(lambda: assert_exact(rig, ticks), timeout_s=15)
        assert (a.tokens, b.tokens) == before


async def have_run_out(database_url: str) -> bool:
    """Are all leases over?"""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute(
            "SELECT bool_and(expires_at < clock_timestamp()) FROM shard_leases"
        )
        return (await cursor.fetchone()) == (True,)


async def test_a_bar_stream_that_is_newer_than_the_database_is_outbid(
    rig: Rig, eventually: Eventually
) -> None:
    """As after a restore: the database forgot tokens that were used."""
    publisher = BarWriter(rig.redis, rig.keys)
    await publisher.publish(1, token=900, flush=7, bars=[])
    async with running(rig, "a") as a:
        await eventually(lambda: shared(a))
        assert a.tokens == {0: 1, 1: 901, 2: 1, 3: 1}


async def test_nobody_waits_for_a_lease_that_was_given_up(rig: Rig, eventually: Eventually) -> None:
    async with running(rig, "a") as a:
        await eventually(lambda: shared(a))
    async with asyncio.timeout(1), running(rig, "b") as b:
        await eventually(lambda: shared(b))
