"""Database against real servers: bounded waits, one error type, and recovery without help."""

import asyncio
import logging
from typing import Any

import psycopg
import pytest

from storage.database import Database, server_of
from storage.embedded import PostgresServer
from storage.errors import DatabaseUnavailable, SchemaError


@pytest.fixture
async def db(embedded_database_url: str) -> Any:
    database = Database(
        embedded_database_url,
        min_size=1,
        max_size=2,
        acquire_timeout_s=0.5,
        statement_timeout_s=1.0,
        slow_query_s=0.3,
    )
    await database.open()
    yield database
    await database.close()


async def test_rows_come_back_and_a_statement_without_rows_gives_none(db: Database) -> None:
    await db.ping()

    assert await db.fetch("create", "CREATE TABLE t (a int)") == []
    await db.fetch("insert", "INSERT INTO t VALUES (%s), (%s)", [1, 2])
    assert await db.fetch("select", "SELECT a FROM t ORDER BY a") == [(1,), (2,)]


async def test_a_transaction_is_committed_or_rolled_back_whole(db: Database) -> None:
    await db.fetch("create", "CREATE TABLE t (a int)")
    async with db.transaction("good") as connection:
        await connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(psycopg.errors.DivisionByZero):
        await _insert_and_fail(db)

    assert await db.fetch("select", "SELECT a FROM t") == [(1,)]


async def _insert_and_fail(db: Database) -> None:
    async with db.transaction("bad") as connection:
        await connection.execute("INSERT INTO t VALUES (2)")
        await connection.execute("SELECT 1 / 0")


async def test_a_statement_that_takes_too_long_is_cancelled_on_the_server(
    db: Database, embedded_database_url: str, eventually: Any
) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"sleepy: "):
        await db.fetch("sleepy", "SELECT pg_sleep(30)")
    with pytest.raises(DatabaseUnavailable, match="sleepy: "):
        await _sleep_in_a_transaction(db)

    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(30)'"
    await eventually(lambda: _none_left(db, sleeping))
    await db.ping()


async def test_a_transaction_is_ended_by_the_server_when_its_process_is_paused(
    db: Database,
) -> None:
    limits = "SELECT current_setting('idle_in_transaction_session_timeout')"
    async with db.transaction("limits") as connection:
        assert await (await connection.execute(limits)).fetchone() == ("10s",)
    assert await db.fetch("limits", limits) == [("0",)]


async def _sleep_in_a_transaction(db: Database) -> None:
    async with db.transaction("sleepy") as connection:
        await connection.execute("SELECT pg_sleep(30)")


async def _none_left(db: Database, sql: Any) -> bool:
    return await db.fetch("left", sql + " AND state = 'active' AND pid <> pg_backend_pid()") == [
        (0,)
    ]


async def test_who_gets_no_connection_is_told_why_the_server_cannot_be_reached() -> None:
    database = Database("postgresql://127.0.0.1:1/x", min_size=1, acquire_timeout_s=0.3)
    await database.open()

    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/x: ping: .*refused") as error:
        await database.ping()

    await database.close()
    assert "\n" not in str(error.value)


async def test_a_limit_of_its_own_lets_maintenance_take_longer(db: Database) -> None:
    await db.fetch("slow", "SELECT pg_sleep(1.1)", timeout_s=5)


async def test_a_slow_statement_is_counted_and_logged_by_name(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "storage.database"):
        await db.fetch("quick", "SELECT 1")
        await db.fetch("tortoise", "SELECT pg_sleep(0.35)")

    assert db.slow == 1
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == [
        "tortoise"
    ]


async def test_the_log_of_what_was_slow_tells_its_rows_and_no_values(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "storage.database"):
        await db.fetch("read", "SELECT %s, pg_sleep(0.12) FROM generate_series(1, 3)", ["s3cret"])
        async with db.transaction("write") as connection:
            await connection.execute("CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1 AS a")
            await connection.execute("INSERT INTO t SELECT generate_series(1, 6)")
            await connection.execute("SELECT pg_sleep(0.35)")

    assert [(r.args[0], r.args[2]) for r in caplog.records if isinstance(r.args, tuple)] == [
        ("read", 3),
        ("write", 1 + 6 + 1),
    ]
    assert "s3cret" not in caplog.text


async def test_a_caller_waits_for_a_free_connection_only_so_long_and_is_told_who_has_them(
    db: Database,
) -> None:
    async with db.transaction("one"), db.transaction("two"):
        with pytest.raises(DatabaseUnavailable) as caught:
            await db.ping()

    assert caught.value.reason == (
        "ping: no connection within 0.5 s: all 2 of the pool (db_pool_max) are busy (1 one, 1 two)"
    )
    await db.ping()


async def test_a_missing_table_names_the_remedy(db: Database) -> None:
    with pytest.raises(SchemaError, match="run `tickgate migrate`"):
        await db.fetch("bars", "SELECT * FROM bars")


async def test_a_closed_database_says_so(db: Database) -> None:
    await db.close()

    with pytest.raises(DatabaseUnavailable, match="closed"):
        await db.ping()


async def test_a_server_that_is_away_is_told_quickly_and_found_when_it_comes(
    postgres: PostgresServer, eventually: Any
) -> None:
    url = postgres.url
    await postgres.stop()
    db = Database(url, acquire_timeout_s=0.2)
    await db.open()
    try:
        async with asyncio.timeout(2):
            with pytest.raises(DatabaseUnavailable):
                await db.ping()

        await postgres.start()

        await eventually(lambda: _answers(db), timeout_s=15)
    finally:
        await db.close()


async def test_a_restarted_server_fails_one_statement_at_most(postgres: PostgresServer) -> None:
    db = Database(postgres.url, min_size=4, max_size=4)
    await db.open()
    try:
        async with db.transaction("a"), db.transaction("b"), db.transaction("c"):
            await db.ping()
        await postgres.stop()
        await postgres.start()

        answers = [await _answers(db) for _ in range(8)]

        assert answers.count(False) <= 1
    finally:
        await db.close()


async def test_a_hanging_server_is_noticed(postgres: PostgresServer) -> None:
    db = Database(postgres.url, statement_timeout_s=1.0, acquire_timeout_s=1.0)
    await db.open()
    await db.ping()
    postgres.pause()
    try:
        async with asyncio.timeout(4):
            with pytest.raises(DatabaseUnavailable):
                await db.ping()
    finally:
        postgres.resume()
        await db.close()


async def _answers(db: Database) -> bool:
    try:
        await db.ping()
    except DatabaseUnavailable:
        return False
    return True


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("postgresql://u:p@h:1/d", "h:1/d"),
        ("host=h dbname=d password=p", "h:5432/d"),
        ("postgresql:///d", "localhost:5432/d"),
        ("no url = at all", "an ill-formed address"),
    ],
)
def test_a_server_is_named_without_secrets(url: str, server: str) -> None:
    assert server_of(url) == server
