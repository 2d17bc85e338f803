"""Several `tickgate aggregate` on one database: killed, paused and bounced, the bars stay exact."""

import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from core.market.bar import Bar, decode_bars
from core.market.tick import Tick
from storage.entry_id import EntryId
from storage.keys import StreamKeys
from storage.redis import command
from tests.conftest import Eventually
from tests.integration.aggregator.rig import Rig
from tests.integration.system.dev import get
from tests.integration.system.market import make_trades, write_replay
from tests.integration.system.roles import Deployment, Role, alive, is_ready, readyz
from tests.property.aggregator.harness import oracle, plain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Right = dict[Any, Any]  # what a bar must be, by symbol, timeframe and start
SHARDS = 16
TAKEOVER_S = 5.0
_SPEED = 1_800  # two hours in four seconds


@pytest.fixture(scope="module")
def trades() -> list[Tick]:
    return make_trades(minutes=120, count=8_000, seed=4)


@pytest.fixture(scope="module")
def right(trades: list[Tick]) -> Right:
    """The bars by key."""
    return oracle(trades)


@pytest.fixture
def feed(trades: list[Tick], tmp_path: Path) -> str:
    return f"replay:{write_replay(tmp_path / 'trades.csv', trades)}?speed={_SPEED}"


@pytest.fixture
def system(redis_url: str, embedded_migrated_url: str, namespace: str) -> Deployment:
    return Deployment(redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace)


@contextlib.asynccontextmanager
async def two(system: Deployment, eventually: Eventually) -> AsyncIterator[tuple[Role, Role]]:
    """Two aggregators that share the shards."""
    async with system.aggregate() as a, system.aggregate() as b:
        await alive(a)
        await alive(b)
        await eventually(lambda: hold(a, 8))
        await eventually(lambda: hold(b, 8))
        yield a, b


async def hold(role: Role, count: int) -> bool:
    """Does *role* say that it owns so many shards, and is it ready?"""
    status, answer = await readyz(role)
    return status == 200 and len(answer["shards"]) == count


async def bars_of(system: Deployment) -> tuple[list[Bar], dict[int, list[tuple[EntryId, Bar]]]]:
    """What the database holds; and by shard what the bar streams do, with their ids."""
    rig = Rig(
        redis_url=system.redis_url, database_url=system.database_url, namespace=system.namespace
    )
    stored = await rig.stored()
    keys, published = StreamKeys(system.namespace, SHARDS), {}
    for shard in range(SHARDS):
        entries = await command(rig.redis, "XRANGE", keys.bars(shard), "-", "+")
        published[shard] = [
            (EntryId.parse(entry_id), bar)
            for entry_id, fields in entries
            for bar in decode_bars(fields[1])
        ]
    await rig.close()
    return stored, published


async def assert_exact(system: Deployment, right: Right) -> bool:
    """Bars are those of the trades; each revision of each bar was published once, in order."""
    stored, published = await bars_of(system)
    assert {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in stored} == right
    revisions = [
        (bar.symbol, bar.timeframe, bar.start_ns, bar.rev)
        for entries in published.values()
        for _, bar in entries
    ]
    assert set(Counter(revisions).values()) == {1}
    newest = {(s, tf, start): rev for s, tf, start, rev in sorted(revisions)}
    assert newest == {(b.symbol, b.timeframe, b.start_ns): b.rev for b in stored}
    return True


async def tokens(system: Deployment) -> dict[int, int]:
    """By shard, the token of the lease; checkpoints have that or an older one."""
    async with await psycopg.AsyncConnection.connect(system.database_url) as connection:
        cursor = await connection.execute(
            "SELECT shard, l.token, c.token FROM shard_leases l LEFT JOIN shard_checkpoints c"
            " USING (shard)"
        )
        rows = await cursor.fetchall()
    assert all(stored is None or stored <= token for _, token, stored in rows)
    return {shard: token for shard, token, _ in rows}


async def test_one_that_is_killed_is_succeeded_within_five_seconds(
    system: Deployment, feed: str, right: Right, eventually: Eventually
) -> None:
    async with two(system, eventually) as (a, b), system.ingest(feed):
        await eventually(lambda: is_under_way(system), timeout_s=20)
        a.process.kill()
        killed_s = time.monotonic()
        await eventually(lambda: hold(b, SHARDS))
        assert time.monotonic() - killed_s < TAKEOVER_S
        await eventually(lambda: assert_exact(system, right), timeout_s=30)


async def test_one_that_is_paused_cannot_write_and_shares_again_when_it_wakes(
    system: Deployment, feed: str, right: Right, eventually: Eventually
) -> None:
    async with two(system, eventually) as (a, b), system.ingest(feed):
        await eventually(lambda: is_under_way(system), timeout_s=20)
        _, paused = await readyz(a)
        before = await tokens(system)
        a.process.send_signal(signal.SIGSTOP)
        paused_s = time.monotonic()
        await eventually(lambda: hold(b, SHARDS))
        assert time.monotonic() - paused_s < TAKEOVER_S
        during = await tokens(system)
        assert {s for s in during if during[s] > before[s]} == set(paused["shards"])
        b.process.send_signal(signal.SIGSTOP)  # so that what the other one does is seen
        stored, published = await bars_of(system)
        a.process.send_signal(signal.SIGCONT)

        await a.said("another aggregator")
        assert (stored, published) == await bars_of(system)
        b.process.send_signal(signal.SIGCONT)
        await eventually(lambda: hold(a, 8))
        await eventually(lambda: hold(b, 8))
        await eventually(lambda: assert_exact(system, right), timeout_s=30)
        assert a.process.returncode is None
        assert await a.stop() == 0, a.output()
        assert not any("Traceback" in line for line in a.lines), a.output()


async def is_under_way(system: Deployment) -> bool:
    """Are bars being stored, of all timeframes?"""
    stored, _ = await bars_of(system)
    return len({bar.timeframe for bar in stored}) == 3


async def test_the_status_page_says_who_folds_what(
    system: Deployment, eventually: Eventually
) -> None:
    async with two(system, eventually) as (a, b), system.gateway() as gateway:
        await alive(gateway)
        await is_ready(gateway, eventually)

        async def told() -> bool:
            roles = (await get(gateway.url + "/v1/status"))["roles"]
            shards = [set(r["shards"]) for r in roles if r["role"] == "aggregator"]
            assert sorted(map(len, shards)) == [8, 8]
            return set.union(*shards) == set(range(SHARDS))

        await eventually(told)
        metrics = [await _metric(role, "aggregator_owned_shards") for role in (a, b)]
        assert metrics == [8.0, 8.0]


async def _metric(role: Role, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(role.url + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))
