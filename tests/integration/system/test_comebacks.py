"""A gateway is killed: its clients come back to the next, lose nothing, and ask no database."""

import asyncio
import signal
from contextlib import AsyncExitStack
from itertools import pairwise

import psycopg
import pytest

from storage.migrations import migrate
from tests.conftest import Eventually
from tests.integration.system.roles import Deployment, Role, alive, is_ready
from tests.integration.system.subscriber import Subscriber, subscribed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CLIENTS = 20
SYMBOLS = [f"SIM:S{n:03d}" for n in range(1, 5)]
PINGS = {  # each second: is it there, and have keys changed?
    "SELECT $1",
    "SELECT version FROM api_keys_version",
}
STATEMENTS = """
    SELECT query FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def cursor(client: Subscriber) -> str | None:
    """The newest that it was sent."""
    cursors = client.of("cursor")
    return str(cursors[-1]["c"]) if cursors else None


async def come(gateway: Role, cursors: list[str | None], stack: AsyncExitStack) -> list[Subscriber]:
    """Clients, each with a cursor to go on from, or new."""
    return [
        await stack.enter_async_context(
            subscribed(gateway.url, trades=SYMBOLS, cursor=True, **({"resume": at} if at else {}))
        )
        for at in cursors
    ]


async def test_clients_come_back_after_a_kill_without_a_statement_to_the_database(
    timescaledb_url: str, redis_url: str, namespace: str, eventually: Eventually
) -> None:
    await migrate(timescaledb_url)
    deployment = Deployment(redis_url=redis_url, database_url=timescaledb_url, namespace=namespace)
    async with (
        deployment.ingest(f"sim:?symbols={len(SYMBOLS)}&rate=400&history=0"),
        await psycopg.AsyncConnection.connect(timescaledb_url, autocommit=True) as database,
    ):
        await database.execute("CREATE EXTENSION pg_stat_statements")
        async with deployment.gateway() as killed, AsyncExitStack() as stack:
            await alive(killed)
            await is_ready(killed, eventually)
            before = await come(killed, [None] * CLIENTS, stack)
            await eventually(lambda: all(len(client.of("t")) > 100 for client in before))
            await killed.stop(number=signal.SIGKILL)
        cursors = [cursor(client) for client in before]
        assert all(cursors)

        async with deployment.gateway() as gateway, AsyncExitStack() as stack:
            await alive(gateway)
            await is_ready(gateway, eventually)
            await database.execute("SELECT pg_stat_statements_reset()")
            after = await come(gateway, cursors, stack)
            await eventually(lambda: all(len(client.of("t")) > 500 for client in after))
            await asyncio.sleep(1.1)  # one ping at least, so that statements are seen to be counted
            found = await (await database.execute(STATEMENTS)).fetchall()

    ours = {"CREATE EXTENSION pg_stat_statements", "SELECT pg_stat_statements_reset()"}
    assert {query for (query,) in found} - ours == PINGS
    for one, two in zip(before, after, strict=True):
        assert not two.of("gap")
        for symbol in SYMBOLS:
            ids = one.ids()[symbol] + two.ids()[symbol]
            assert all(step == 1 for step in (b - a for a, b in pairwise(ids)))
