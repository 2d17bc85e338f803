"""Redis or PostgreSQL away at the start and killed in the middle: the roles wait and go on."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.market.tick import Tick
from storage.embedded import PostgresServer, ValkeyServer
from storage.migrations import migrate
from tests.conftest import Eventually
from tests.integration.system.dev import get
from tests.integration.system.market import assert_bars, ids_of, make_trades, write_replay
from tests.integration.system.programs import running
from tests.integration.system.roles import Deployment, Role, is_ready, readyz, waits_for
from tests.integration.system.subscriber import Subscriber, subscribed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_SPEED = 1_500  # two hours in five seconds


@pytest.fixture(scope="module")
def trades() -> list[Tick]:
    return make_trades(minutes=120, count=8_000)


@pytest.fixture
def feed(trades: list[Tick], tmp_path: Path) -> str:
    path = write_replay(tmp_path / "trades.csv", trades)
    return f"replay:{path}?speed={_SPEED}&start=subscribed"


def said(role: Role, pattern: str) -> int:
    """How many lines of the log *pattern* is in."""
    return sum(bool(re.search(pattern, line, re.IGNORECASE)) for line in role.lines)


async def drained(gateway: Role, client: Subscriber) -> None:
    """End the gateway in order: whatever was still to be sent has been."""
    assert await gateway.stop() == 0, gateway.output()
    assert client.close_code == 1012


async def says_the_roles_are_unknown(gateway: Role) -> bool:
    """`/v1/status` answers without Redis, and says what it cannot tell."""
    return "Redis" in ((await get(gateway.url + "/v1/status"))["roles_unknown"] or "")


async def test_redis_away_at_the_start_and_killed_in_the_middle(
    trades: list[Tick],
    feed: str,
    valkey: ValkeyServer,
    embedded_migrated_url: str,
    namespace: str,
    eventually: Eventually,
) -> None:
    system = Deployment(
        redis_url=valkey.url, database_url=embedded_migrated_url, namespace=namespace
    )
    await valkey.stop()
    async with system.all_roles(feed) as roles:
        gateway = roles[-1]
        since = [await waits_for(role, "redis", eventually) for role in roles]
        async with subscribed(gateway.url, trades=["*"]) as client:
            await valkey.start()
            for role in roles:
                await is_ready(role, eventually)
            await eventually(lambda: len(client.of("t")) > 500)
            await valkey.kill()
            again = [await waits_for(role, "redis", eventually) for role in roles]
            await eventually(lambda: says_the_roles_are_unknown(gateway))
            await valkey.start()
            for role in roles:
                await is_ready(role, eventually)

            await eventually(lambda: assert_bars(gateway.url, trades), timeout_s=30)
            await eventually(lambda: client.ids() == ids_of(trades))
            await drained(gateway, client)

    assert client.ids() == ids_of(trades)
    assert all(first < second for first, second in zip(since, again, strict=True))
    for role in roles:
        assert said(role, "waiting for .*redis") == 2, role.output()
        assert said(role, "redis.* is there") == 2, role.output()


async def test_postgresql_away_at_the_start_and_killed_in_the_middle(
    trades: list[Tick],
    feed: str,
    redis_url: str,
    postgres: PostgresServer,
    namespace: str,
    eventually: Eventually,
) -> None:
    system = Deployment(redis_url=redis_url, database_url=postgres.url, namespace=namespace)
    await postgres.stop()
    async with system.all_roles(feed) as (ingest, *roles):
        gateway = roles[-1]
        await is_ready(ingest, eventually)
        for role in roles:
            await waits_for(role, "database", eventually)
        await postgres.start()
        for role in roles:  # the server is there, the schema is not
            await role.said("tickgate migrate")
        async with running("migrate", "--database-url", postgres.url) as migration:
            assert await migration.exit_code() == 0, migration.output()
        for role in roles:
            await is_ready(role, eventually)
        async with subscribed(gateway.url, trades=["*"]) as client:
            await eventually(lambda: len(client.of("t")) > 500)
            await postgres.kill()
            for role in roles:
                await waits_for(role, "database", eventually)
            seen = len(client.of("t"))
            await eventually(lambda: len(client.of("t")) > seen + 100)  # the stream goes on
            await postgres.start()
            for role in roles:
                await is_ready(role, eventually)

            await eventually(lambda: assert_bars(gateway.url, trades), timeout_s=30)
            await eventually(lambda: client.ids() == ids_of(trades))
            await drained(gateway, client)

    assert client.ids() == ids_of(trades)
    for role in roles:
        assert said(role, "waiting for (the )?database") >= 3, role.output()
        assert said(role, "database is there") >= 2, role.output()
        assert said(role, "error connecting") == 0, role.output()


async def test_servers_that_hang_are_named_by_every_role_with_the_time_since(
    valkey: ValkeyServer, postgres: PostgresServer, namespace: str, eventually: Eventually
) -> None:
    await migrate(postgres.url)
    system = Deployment(redis_url=valkey.url, database_url=postgres.url, namespace=namespace)
    async with system.all_roles("sim") as (ingest, aggregate, gateway):
        for role in (ingest, aggregate, gateway):
            await is_ready(role, eventually)
        paused = datetime.now(UTC)
        postgres.pause()
        valkey.pause()
        try:
            for role in (aggregate, gateway):
                await waits_for(role, "database", eventually)
            for role in (ingest, aggregate, gateway):
                since = datetime.fromisoformat(await waits_for(role, "redis", eventually))
                assert timedelta(0) < since - paused < timedelta(seconds=15)
                _, answer = await readyz(role)
                state = answer["dependencies"]["redis"]
                assert "no answer" in state["reason"]
                seconds = (datetime.now(UTC) - since).total_seconds()
                assert state["since_s"] == pytest.approx(seconds, abs=1.5)
        finally:
            postgres.resume()
            valkey.resume()
        for role in (ingest, aggregate, gateway):
            await is_ready(role, eventually)
