"""PgBouncer in transaction mode between the aggregators and the database: nothing is kept in it."""

from pathlib import Path

import psycopg
import pytest

from storage.migrations import migrate
from tests.conftest import Eventually
from tests.integration.aggregator.rig import Rig
from tests.integration.aggregator.test_sharing import assert_exact, ended, running, shared, trades
from tests.pgbouncer import POOL, bounced

pytestmark = pytest.mark.timeout(60)


async def test_bars_are_exact_by_way_of_pgbouncer(
    redis_url: str,
    embedded_database_url: str,
    namespace: str,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    ticks = trades(0, 3_000)
    async with bounced(embedded_database_url, tmp_path) as url:
        await migrate(url)
        rig = Rig(redis_url=redis_url, database_url=url, namespace=namespace)
        async with running(rig, "a") as a, running(rig, "b") as b:
            await eventually(lambda: shared(a, b))
            await rig.write(ticks[:1_500])
            await a.kill()
            await eventually(lambda: shared(b))
            await rig.write(ticks[1_500:], end=True)
            await ended(b)
            assert 0 < await _connections(embedded_database_url) <= POOL
        await assert_exact(rig, ticks)
        await rig.close()


async def _connections(url: str) -> int:
    """How many connections the database has, of us and of PgBouncer."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])
