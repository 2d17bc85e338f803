"""Migrations: bring the schema of a database to this version, once, whoever else tries it too."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, LiteralString

import psycopg

from core.market.timeframe import SECOND_NS
from storage.bar_tables import CHUNK_NS, TABLES
from storage.database import CONNECT_OPTIONS, Database, one_line, server_of
from storage.errors import DatabaseUnavailable, SchemaError
from storage.log_retention import CHUNK_NS as LOG_CHUNK_NS

_LOG = logging.getLogger(__name__)
_LOCK: Final = 0x7469636B67617465  # "tickgate": the advisory lock of all migrating processes
_MIGRATE_S: Final = 1800.0  # bound of all migrations together; they may rewrite tables

_APPLIED: Final = "SELECT version, name, checksum FROM schema_migrations ORDER BY version"
_HAS_SCHEMA: Final = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_HYPERTABLES: Final = """
SELECT hypertable_name FROM timescaledb_information.hypertables
WHERE hypertable_schema = current_schema()
"""
_MAKE_HYPERTABLE: Final = """
SELECT create_hypertable(%s::text::regclass, 'time', create_default_indexes => false,
    chunk_time_interval => make_interval(secs => %s), migrate_data => true)
"""

_Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of ``storage/schema``."""

    version: int
    name: str
    sql: LiteralString

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What :func:`migrate` did: the files it applied, and the kind of table bars are in."""

    server: str
    applied: tuple[str, ...]
    version: int
    hypertable: bool

    def __str__(self) -> str:
        done = f"applied {', '.join(self.applied)}" if self.applied else "nothing to apply"
        kind = "a TimescaleDB hypertable" if self.hypertable else "a plain table"
        return f"{self.server}: {done}; schema version {self.version}, bars in {kind}"


def bundled_migrations() -> tuple[Migration, ...]:
    """The migrations that came with this program, by version."""
    found = [
        Migration(int(entry.name[:4]), entry.name.removesuffix(".sql"), entry.read_text("utf-8"))
        for entry in files("storage.schema").iterdir()
        if entry.name.endswith(".sql")
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


def pending(
    bundled: Sequence[Migration], applied: Mapping[int, tuple[str, str]]
) -> list[Migration]:
    """Those of *bundled* that are not *applied* (version to name and checksum).

    Raises:
        SchemaError: the database is newer, or a file was changed after it had been applied.
    """
    known = {migration.version: migration for migration in bundled}
    for version, (name, checksum) in sorted(applied.items()):
        if version not in known:
            raise SchemaError(
                f"it has migration {name}, newer than this program's {max(known)}; upgrade tickgate"
            )
        if checksum != known[version].checksum:
            raise SchemaError(
                f"migration {name} was applied with other contents than this program has; use "
                "the version of tickgate that created the database, or a fresh database"
            )
    return [migration for migration in bundled if migration.version not in applied]


async def migrate(url: str, *, migrations: Sequence[Migration] | None = None) -> MigrationReport:
    """Apply what is missing: all of it or, after an error, nothing.

    TimescaleDB is used where the server has it and lets us: bars then live in a hypertable, also
    when the extension arrives later. Safe to run from any number of processes at once.

    Args:
        url: of the database.
        migrations: other ones than came with the program, for tests.

    Raises:
        SchemaError: the database is newer than this program, or its history was changed.
        DatabaseUnavailable: it is away, or the migrations took longer than half an hour.
    """
    bundled = bundled_migrations() if migrations is None else migrations
    try:
        async with asyncio.timeout(_MIGRATE_S):
            extension = await _ensure_extension(url)
            async with await _connect(url) as connection, connection.transaction():
                await _lock(connection)
                return await _apply(connection, bundled, extension, server_of(url))
    except psycopg.errors.InsufficientPrivilege as exc:
        reason = f"{one_line(exc)}; the user needs CREATE on the schema, and to own its tables"
        raise SchemaError(reason) from exc
    except psycopg.OperationalError as exc:
        raise DatabaseUnavailable(server_of(url), one_line(exc)) from exc
    except TimeoutError as exc:
        raise DatabaseUnavailable(server_of(url), f"migrate: over {_MIGRATE_S:g} s") from exc


async def check_schema(database: Database) -> None:
    """Return when the schema is the one of this program.

    Raises:
        SchemaError: migrations are missing (run ``tickgate migrate``), or it is newer.
        DatabaseUnavailable: it is away.
    """
    ((known,),) = await database.fetch("has schema", _HAS_SCHEMA)
    rows = await database.fetch("check schema", _APPLIED) if known else []
    applied = {version: (name, checksum) for version, name, checksum in rows}
    missing = pending(bundled_migrations(), applied)
    if missing:
        names = ", ".join(migration.name for migration in missing)
        raise SchemaError(f"migrations are missing ({names}); run `tickgate migrate`")


async def _apply(
    connection: _Connection, bundled: Sequence[Migration], extension: bool, server: str
) -> MigrationReport:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY,"
        " name text NOT NULL, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await (await connection.execute(_APPLIED)).fetchall()
    missing = pending(bundled, {version: (name, checksum) for version, name, checksum in rows})
    for migration in missing:
        if extension:  # before a later migration fills the tables
            await _ensure_hypertables(connection)
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
            [migration.version, migration.name, migration.checksum],
        )
    hypertable = extension and await _ensure_hypertables(connection)
    report = MigrationReport(
        server, tuple(m.name for m in missing), bundled[-1].version, hypertable
    )
    _LOG.info("%s", report)
    return report


async def _ensure_hypertables(connection: _Connection) -> bool:
    """Make the tables of bars and ticks that there are hypertables, unless they are."""
    known = {name for (name,) in await (await connection.execute(_HYPERTABLES)).fetchall()}
    spans_ns = {table: CHUNK_NS[timeframe] for timeframe, table in TABLES.items()}
    for table, span_ns in {**spans_ns, "tick_log": LOG_CHUNK_NS}.items():
        if table not in known and await _scalar(connection, "SELECT to_regclass(%s)", [table]):
            await connection.execute(_MAKE_HYPERTABLE, [table, span_ns // SECOND_NS])
    return True


async def _ensure_extension(url: str) -> bool:
    """Whether TimescaleDB is in the database, after creating it where that is possible.

    On a connection of its own: a server that has the files but does not preload the library ends
    the connection that tries.
    """
    try:
        async with await _connect(url) as connection, connection.transaction():
            await _lock(connection)
            if await _scalar(
                connection, "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"
            ):
                return True
            if not await _scalar(
                connection,
                "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'",
            ):
                return False
            await connection.execute("CREATE EXTENSION timescaledb")
            return True
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState) as e:
        _LOG.warning("TimescaleDB is installed but cannot be created, using a plain table: %s", e)
        return False


async def _connect(url: str) -> _Connection:
    return await psycopg.AsyncConnection.connect(url, **CONNECT_OPTIONS)


async def _lock(connection: _Connection) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


async def _scalar(
    connection: _Connection, sql: LiteralString, parameters: Sequence[Any] = ()
) -> Any:
    row = await (await connection.execute(sql, parameters)).fetchone()
    return row[0] if row else None
