"""Several aggregators: they share the shards, take over from each other, and repeat nothing."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
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
async def running(rig: Rig, name: str, *, database_url: str = "") -> AsyncIterator[Member]:
    """An aggregator, which sees its leases by way of *database_url*.

    It ends with the feed, or is drained with the block.
    """
    async with rig.store() as store:
        service = rig.make_service(
            store, name=name, database_url=database_url, exit_after=frozenset({rig.feed})
        )
        async with asyncio.TaskGroup() as group:
            yield Member(service, group.create_task(service.run()))
            service.begin_drain()


def shared(*members: Member) -> bool:
    """Is each shard owned by one of them, and are the shares even?"""
    shards = [shard for member in members for shard in member.owned]
    sizes = {len(member.owned) for member in members}
    return sorted(shards) == list(range(SHARDS)) and max(sizes) - min(sizes) <= 1


async def ended(*members: Member) -> None:
    """Wait until each has ended by itself, as all bars are stored."""
    async with asyncio.timeout(40):
        await asyncio.wait({member.task for member in members})


async def assert_exact(rig: Rig, ticks: list[Tick]) -> None:
    """Bars are those of the ticks, and each revision of each was published once."""
    right = oracle(ticks)
    stored = await rig.stored()
    assert {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in stored} == right
    published = await rig.published()
    assert newest(published) == newest(stored)
    times = Counter((b.symbol, b.timeframe, b.start_ns, b.rev) for b in published)
    assert set(times.values()) == {1}


def newest(bars: list[Bar]) -> dict[tuple[str, str, int], Bar]:
    return {(bar.symbol, bar.timeframe, bar.start_ns): bar for bar in bars}


async def test_two_share_the_shards_and_each_ends_when_all_bars_are_stored(
    rig: Rig, eventually: Eventually
) -> None:
    ticks = trades(0, 2_000)
    async with running(rig, "a") as a, running(rig, "b") as b:
        await rig.write(ticks[:500])
        await eventually(lambda: shared(a, b))
        assert not a.task.done()
        await rig.write(ticks[500:], end=True)
        await ended(a, b)

    await assert_exact(rig, ticks)


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
        await ended(old)

    await assert_exact(rig, written)


async def _start(group: asyncio.TaskGroup, rig: Rig, name: str) -> Member:
    """An aggregator that the test drains, or that ends with the feed."""
    starting = asyncio.Event()
    members: list[Member] = []

    async def run() -> None:
        async with rig.store() as store:
            service = rig.make_service(store, name=name, exit_after=frozenset({rig.feed}))
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
        await rig.write(ticks[1_500:2_500])
        await eventually(lambda: shared(b))
        assert time.monotonic() - died_s < TAKEOVER_S
        await rig.write(ticks[2_500:], end=True)
        await ended(b)

    await assert_exact(rig, ticks)


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
            await ended(a, b)

    await assert_exact(rig, ticks)


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
        await rig.write(ticks)
        await eventually(lambda: not a.ready and not b.ready)
        await eventually(lambda: have_run_out(direct))
        await proxy.heal()
        await eventually(lambda: a.ready and b.ready)
        await eventually(lambda: are_good(direct))
        assert (a.tokens, b.tokens) == before
        await rig.write([], end=True)
        await ended(a, b)

    await assert_exact(rig, ticks)


async def have_run_out(database_url: str) -> bool:
    """Are all leases over?"""
    return await _good_leases(database_url) == 0


async def are_good(database_url: str) -> bool:
    """Are all leases renewed?"""
    return await _good_leases(database_url) == SHARDS


async def _good_leases(database_url: str) -> int:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM shard_leases WHERE expires_at > clock_timestamp()"
        )
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


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
