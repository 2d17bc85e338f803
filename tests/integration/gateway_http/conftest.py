"""The rig of this folder's tests."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg import sql

from tests.fix_servers import new_database
from tests.integration.gateway_http.rig import Rig, running

_TABLES = """
SELECT tablename FROM pg_tables
WHERE schemaname = 'public' AND tablename NOT IN ('schema_migrations', 'api_keys_version')
"""


@pytest.fixture(scope="package")
def shared_url(embedded_postgres: str, embedded_template: str) -> Iterator[str]:
    """A database for all tests of this folder: a new one for each takes as long as the test."""
    with new_database(embedded_postgres, template=embedded_template) as url:
        yield url


@pytest.fixture
def embedded_migrated_url(shared_url: str) -> str:
    """As everywhere; emptied of what the test before has left."""
    with psycopg.connect(shared_url) as connection:
        for (table,) in connection.execute(_TABLES).fetchall():
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    return shared_url


@pytest.fixture
async def rig(embedded_migrated_url: str, redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    """A gateway for tests where the kind of database makes no difference."""
    async with running(
        database_url=embedded_migrated_url, redis_url=redis_url, namespace=namespace
    ) as rig:
        yield rig


@pytest.fixture
async def both(migrated_url: str, redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    """A gateway on the embedded server, and again on TimescaleDB."""
    async with running(database_url=migrated_url, redis_url=redis_url, namespace=namespace) as rig:
        yield rig
