"""Migrations against real servers: once, all or nothing, side by side, never backwards."""

import asyncio
from datetime import timedelta
from typing import LiteralString

import psycopg
import pytest

from storage.bar_tables import TABLES
from storage.database import Database
from storage.errors import DatabaseUnavailable, SchemaError
from storage.migrations import Migration, bundled_migrations, check_schema, migrate, pending

ONE = Migration(
    1, "0001_one", "CREATE TABLE one (a int); CREATE TABLE bars_5min (time timestamptz)"
)
TWO = Migration(2, "0002_two", "CREATE TABLE two (a int)")
# Four bars of each timeframe, weeks apart, every column with a value of its own.
_FIRST_BARS: LiteralString = """
INSERT INTO bars SELECT 'SIM:A', (ARRAY['1Min', '5Min', '15Min'])[t],
    '2024-01-01Z'::timestamptz + n * interval '13 days', t, n, t + n, 4, 5 + n, 6, 7, n, n = 1, 10,
    11, 12, 13 + t, decode(lpad(to_hex(n), 16, '0'), 'hex'), decode(lpad(to_hex(t), 16, '0'), 'hex')
FROM generate_series(1, 3) t, generate_series(0, 3) n
"""
BROKEN = Migration(3, "0003_broken", "CREATE TABLE three (a int); SELECT no_such_function()")


async def query(url: str, sql: LiteralString) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await (await connection.execute(sql)).fetchall()


async def applied(url: str) -> list[object]:
    rows = await query(url, "SELECT version FROM schema_migrations ORDER BY version")
    return [version for (version,) in rows]


async def tables(url: str) -> set[object]:
    rows = await query(
        url,
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    )
    return {name for (name,) in rows}


async def test_a_new_database_gets_the_schema_and_a_second_run_changes_nothing(
    database_url: str,
) -> None:
    first = await migrate(database_url)
    second = await migrate(database_url)

    assert first.applied == tuple(m.name for m in bundled_migrations())
    assert second.applied == ()
    assert first.version == second.version == bundled_migrations()[-1].version
    assert await tables(database_url) >= {
        *("bars_1min", "bars_5min", "bars_15min", "symbols", "shard_checkpoints"),
        "schema_migrations",
    }
    assert "nothing to apply" in str(second)
    assert "applied 0001_bars" in str(first)


async def test_bars_have_one_unique_index_with_all_that_readers_ask_for(
    migrated_url: str,
) -> None:
    rows = await query(migrated_url, "SELECT indexdef FROM pg_indexes WHERE tablename ~ '^bars_'")

    assert len(rows) == 3
    assert all("UNIQUE" in str(row[0]) for row in rows)
    assert all('(symbol, "time") INCLUDE (open, high, low, close' in str(row[0]) for row in rows)


async def test_with_timescaledb_bars_and_ticks_are_in_hypertables(timescaledb_url: str) -> None:
    report = await migrate(timescaledb_url)

    assert report.hypertable
    rows = await query(
        timescaledb_url,
        "SELECT hypertable_name, time_interval FROM timescaledb_information.dimensions ORDER BY 1",
    )
    assert rows == [
        ("bars_15min", timedelta(days=84)),
        ("bars_1min", timedelta(days=7)),
        ("bars_5min", timedelta(days=28)),
        ("tick_log", timedelta(days=1)),
    ]
    assert "hypertable" in str(report)


async def test_bars_of_the_first_version_move_to_the_table_of_their_timeframe(
    database_url: str,
) -> None:
    await migrate(database_url, migrations=bundled_migrations()[:1])
    await query_only(database_url, _FIRST_BARS)
    before = await query(database_url, "SELECT * FROM bars ORDER BY symbol, timeframe, time")

    report = await migrate(database_url)

    after = await query(database_url, "SELECT * FROM bars ORDER BY symbol, timeframe, time")
    assert after == before
    for timeframe, table in TABLES.items():
        minutes = [row[2] for row in before if row[:2] == ("SIM:A", timeframe.value)]
        stored = await query(database_url, f"SELECT time FROM {table} ORDER BY time")
        assert [time for (time,) in stored] == minutes
    assert len(before) == 12
    assert "bars_unsplit" not in await tables(database_url)
    assert report.applied == tuple(m.name for m in bundled_migrations()[1:])


async def test_a_plain_table_becomes_a_hypertable_when_the_extension_arrives(
    timescaledb_url: str,
) -> None:
    await migrate(timescaledb_url, migrations=[ONE])
    await query_only(timescaledb_url, "DROP EXTENSION timescaledb CASCADE")
    await query_only(
        timescaledb_url,
        "DROP TABLE IF EXISTS bars_5min; CREATE TABLE bars_5min (time timestamptz NOT NULL);"
        "INSERT INTO bars_5min SELECT '2024-01-01'::timestamptz + n * interval '28 days'"
        " FROM generate_series(0, 2) n",
    )

    report = await migrate(timescaledb_url, migrations=[ONE])

    assert report.hypertable
    assert await query(timescaledb_url, "SELECT count(*) FROM bars_5min") == [(3,)]
    assert await query(timescaledb_url, "SELECT count(*) FROM timescaledb_information.chunks") == [
        (3,)
    ]


async def test_without_the_extension_bars_are_a_plain_table(embedded_database_url: str) -> None:
    report = await migrate(embedded_database_url)

    assert not report.hypertable
    assert "a plain table" in str(report)


async def test_a_role_that_may_not_create_the_extension_gets_a_plain_table(
    timescaledb_url: str,
) -> None:
    await query_only(
        timescaledb_url,
        "DROP EXTENSION IF EXISTS timescaledb; CREATE SCHEMA app;"
        "DO $$ BEGIN CREATE ROLE tickgate_limited LOGIN PASSWORD 'x';"
        " EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        "GRANT ALL ON SCHEMA public, app TO tickgate_limited",
    )
    url = psycopg.conninfo.make_conninfo(timescaledb_url, user="tickgate_limited", password="x")

    report = await migrate(url)

    assert not report.hypertable
    assert "bars_1min" in await tables(url)


async def test_any_number_of_processes_may_migrate_at_once(database_url: str) -> None:
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(migrate(database_url)) for _ in range(6)]

    assert sorted(len(run.result().applied) for run in runs) == [0] * 5 + [
        len(bundled_migrations())
    ]
    assert len({run.result().hypertable for run in runs}) == 1


async def test_missing_migrations_are_applied_in_order_and_the_others_left(
    embedded_database_url: str,
) -> None:
    await migrate(embedded_database_url, migrations=[ONE])

    report = await migrate(embedded_database_url, migrations=[ONE, TWO])

    assert report.applied == ("0002_two",)
    assert await applied(embedded_database_url) == [1, 2]


async def test_when_one_fails_none_is_applied(embedded_database_url: str) -> None:
    with pytest.raises(psycopg.errors.UndefinedFunction):
        await migrate(embedded_database_url, migrations=[ONE, TWO, BROKEN])

    assert await tables(embedded_database_url) == set()


async def test_a_newer_database_is_refused_in_words(embedded_database_url: str) -> None:
    await migrate(embedded_database_url, migrations=[ONE, TWO])

    with pytest.raises(SchemaError, match="0002_two, newer than this program's 1; upgrade"):
        await migrate(embedded_database_url, migrations=[ONE])


async def test_a_migration_that_was_changed_afterwards_is_refused(
    embedded_database_url: str,
) -> None:
    await migrate(embedded_database_url, migrations=[ONE])

    with pytest.raises(SchemaError, match="0001_one was applied with other contents"):
        await migrate(embedded_database_url, migrations=[Migration(1, "0001_one", "SELECT 1")])


async def test_a_role_is_told_whether_the_schema_fits(embedded_database_url: str) -> None:
    database = Database(embedded_database_url)
    await database.open()
    try:
        with pytest.raises(SchemaError, match=r"migrations are missing \(0001_bars, .*\); run"):
            await check_schema(database)

        await migrate(embedded_database_url)
        await check_schema(database)

        newer = Migration(9999, "9999_future", "SELECT 1")
        await migrate(embedded_database_url, migrations=[*bundled_migrations(), newer])
        with pytest.raises(SchemaError, match="9999_future, newer"):
            await check_schema(database)
    finally:
        await database.close()


async def test_a_server_that_is_away_is_named(free_port: int) -> None:
    url = f"postgresql://user:secret@127.0.0.1:{free_port}/bars"

    with pytest.raises(DatabaseUnavailable) as caught:
        await migrate(url)

    assert f"127.0.0.1:{free_port}/bars" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_bundled_migrations_are_numbered_without_a_hole() -> None:
    versions = [migration.version for migration in bundled_migrations()]

    assert versions == list(range(1, len(versions) + 1))


def test_pending_is_what_was_not_applied() -> None:
    assert pending([ONE, TWO], {1: (ONE.name, ONE.checksum)}) == [TWO]
    assert pending([ONE], {1: (ONE.name, ONE.checksum)}) == []


async def query_only(url: str, sql: LiteralString) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql)
