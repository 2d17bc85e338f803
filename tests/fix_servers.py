"""Real servers for tests: Valkey, PostgreSQL, TimescaleDB and a TCP proxy that can break.

The servers of a session start when the first test asks for them, and die with pytest, whatever
kills it. Servers that a test may stop, kill or pause are its own.
"""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from storage.embedded import DataDir, PostgresServer, ValkeyServer

_SCRIPT = Path(__file__).parents[1] / "scripts" / "timescaledb.sh"
_STREAM_MAX_BYTES = 512 << 20
_TIMESCALEDB_START_S = 60


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey server for the session. Keep tests apart by the fixture ``namespace``."""
    with _folders(tmp_path_factory.mktemp("valkey")) as (data_dir, sockets):
        server = ValkeyServer(
            data_dir.folder("valkey"),
            sockets=sockets,
            logs=data_dir.folder("log"),
            stream_max_bytes=_STREAM_MAX_BYTES,
        )
        _run(server.start())
        yield server.url
        _run(server.stop())


@pytest.fixture
def namespace() -> str:
    """A namespace for keys that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """A running Valkey server of the test's own: ``url``; start, stop, kill, pause, resume."""
    with _folders(tmp_path / "valkey") as (data_dir, sockets):
        server = ValkeyServer(
            data_dir.folder("valkey"),
            sockets=sockets,
            logs=data_dir.folder("log"),
            stream_max_bytes=_STREAM_MAX_BYTES,
        )
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """A running PostgreSQL server of the test's own: ``url``; start, stop, kill, pause, resume."""
    with _folders(tmp_path / "postgres") as (data_dir, sockets):
        server = PostgresServer(
            data_dir.folder("postgres"), sockets=sockets, logs=data_dir.folder("log")
        )
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


@pytest.fixture(scope="session")
def embedded_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the session's embedded PostgreSQL server."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def timescaledb() -> Iterator[str]:
    """URL of the session's TimescaleDB server; a skip that says why without it, in CI a failure."""
    with running_timescaledb() as url:
        yield url


@contextlib.contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """URL of an embedded PostgreSQL server with its files below *folder*."""
    with _folders(folder) as (data_dir, sockets):
        server = PostgresServer(
            data_dir.folder("postgres"), sockets=sockets, logs=data_dir.folder("log")
        )
        _run(server.start())
        yield server.url
        _run(server.stop())


@contextlib.contextmanager
def running_timescaledb() -> Iterator[str]:
    """URL of a TimescaleDB server with an empty cluster, which does not wait for the disk."""
    command = ["bash", str(_SCRIPT), "serve", str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        try:
            yield _announced_url(server)
        finally:
            server.send_signal(signal.SIGINT)  # ends sessions; SIGTERM would wait for them


def _announced_url(server: "subprocess.Popen[bytes]") -> str:
    """The first line that the script prints, once the server takes connections."""
    assert server.stdout is not None
    assert server.stderr is not None
    heard, _, _ = select.select([server.stdout], [], [], _TIMESCALEDB_START_S)
    url = server.stdout.readline().decode().strip() if heard else ""
    if url:
        return url
    server.kill()
    reason = server.stderr.read().decode(errors="replace").strip() or "no answer in time"
    if os.environ.get("CI"):
        pytest.fail(f"TimescaleDB must run in CI: {reason}")
    pytest.skip(f"no TimescaleDB: {reason}")


@pytest.fixture(params=["embedded", "timescaledb"])
def kind_of_server(request: pytest.FixtureRequest) -> str:
    """The test runs on PostgreSQL and again on TimescaleDB."""
    kind: str = request.param
    return kind


@pytest.fixture
def database_url(kind_of_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new, empty database; the test runs on PostgreSQL and again on TimescaleDB."""
    server = {"embedded": "embedded_postgres", "timescaledb": "timescaledb"}[kind_of_server]
    with new_database(request.getfixturevalue(server)) as url:
        yield url


@pytest.fixture
def embedded_database_url(embedded_postgres: str) -> Iterator[str]:
    """A new, empty database, for tests where the kind of server makes no difference."""
    with new_database(embedded_postgres) as url:
        yield url


@pytest.fixture
def timescaledb_url(timescaledb: str) -> Iterator[str]:
    """A new, empty database on TimescaleDB alone."""
    with new_database(timescaledb) as url:
        yield url


@pytest.fixture
def migrated_url(kind_of_server: str, request: pytest.FixtureRequest) -> str:
    """As ``database_url``, with the schema in place: copied, which is faster than made."""
    url: str = request.getfixturevalue(f"{kind_of_server}_migrated_url")
    return url


@pytest.fixture(scope="session")
def embedded_databases(embedded_postgres: str) -> Iterator["Databases"]:
    """Databases of the session's PostgreSQL server with the schema in place, to be lent."""
    with lending(embedded_postgres) as databases:
        yield databases


@pytest.fixture(scope="session")
def timescaledb_databases(timescaledb: str) -> Iterator["Databases"]:
    """The same on TimescaleDB."""
    with lending(timescaledb) as databases:
        yield databases


@pytest.fixture
def embedded_migrated_url(embedded_databases: "Databases") -> Iterator[str]:
    """As ``embedded_database_url``, with the schema in place."""
    with embedded_databases.lent() as url:
        yield url


@pytest.fixture
def timescaledb_migrated_url(timescaledb_databases: "Databases") -> Iterator[str]:
    """As ``timescaledb_url``, with the schema in place."""
    with timescaledb_databases.lent() as url:
        yield url


def url_through(upstream_url: str, host: str, port: int) -> str:
    """A server's URL with a proxy's address in it; sockets of this machine are left out."""
    parts = urlsplit(upstream_url)
    user = parts.netloc.rpartition("@")[0]
    netloc = f"{user}@{host}:{port}" if user else f"{host}:{port}"
    if parts.scheme == "unix":
        return f"redis://{netloc}/0"
    return urlunsplit(parts._replace(netloc=netloc, query=""))


class TcpProxy:
    """A proxy on a free port of 127.0.0.1 before a server's socket or port; it can break.

    ``url`` replaces the server's URL. ``cut`` ends the connections there are; ``refuse`` takes
    no new ones either; ``black_hole`` keeps them and passes nothing on; ``heal`` mends all.
    """

    def __init__(self, upstream_url: str) -> None:
        self._upstream_url = upstream_url
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._passing = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        """The server's URL with the proxy's address in it."""
        return url_through(self._upstream_url, "127.0.0.1", self.port)

    async def heal(self) -> None:
        """Take connections and pass on everything."""
        self._passing.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End all connections; new ones are taken."""
        cut, self._connections = self._connections, set()
        for task in cut:
            task.cancel()
        if cut:
            await asyncio.wait(cut)

    async def refuse(self) -> None:
        """End all connections and refuse new ones."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self.cut()

    def black_hole(self) -> None:
        """Go silent: bytes are taken, none arrive, no connection ends."""
        self._passing.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._passing.wait()
            up_reader, up_writer = await self._connect()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, up_writer))
                    group.create_task(self._pump(up_reader, writer))
            except* OSError:
                pass
            finally:
                up_writer.transport.abort()
        writer.transport.abort()
        self._connections.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._upstream_url)
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(unquote(parts.path))
        folder = parse_qs(parts.query).get("host", [""])[0]
        if folder:
            return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        return await asyncio.open_connection(parts.hostname, parts.port)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on until one side ends, then end the other."""
        while chunk := await reader.read(1 << 16):
            await self._passing.wait()
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError("the other side closed")


@pytest.fixture
async def proxied() -> "AsyncIterator[Any]":
    """``proxy = await proxied(url)``: a :class:`TcpProxy` before the server of *url*."""
    proxies: list[TcpProxy] = []

    async def make(upstream_url: str) -> TcpProxy:
        proxy = TcpProxy(upstream_url)
        await proxy.heal()
        proxies.append(proxy)
        return proxy

    yield make
    for proxy in proxies:
        await proxy.refuse()


@contextlib.contextmanager
def _folders(path: Path) -> Iterator[tuple[DataDir, Path]]:
    data_dir = DataDir(path)
    data_dir.acquire()
    try:
        yield data_dir, data_dir.socket_folder()
    finally:
        data_dir.remove_socket_folder()
        data_dir.release()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run *work* on a loop of its own, which is not left behind as the current one."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(work)


@contextlib.contextmanager
def new_database(server_url: str, *, template: str = "template0") -> Iterator[str]:
    """URL of a new database on a server, empty but for what *template* has; dropped at the end."""
    # Not template1: workers of TimescaleDB look into it, and while one does it cannot be copied.
    name = f"test_{uuid.uuid4().hex[:12]}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class Databases:
    """Empty databases with the schema in place, lent to one test after the other.

    To empty one takes a quarter of the time that a new one takes. A test that changed more than
    rows gets no other into trouble: its database is not lent again.
    """

    def __init__(self, server_url: str, template: str, stack: contextlib.ExitStack) -> None:
        self._server_url = server_url
        self._template = template
        self._stack = stack
        self._returned: list[str] = []
        self._shape = ""

    def _new(self) -> str:
        """One that nobody has used."""
        url = self._stack.enter_context(new_database(self._server_url, template=self._template))
        if not self._shape:
            with psycopg.connect(url) as connection:
                self._shape = _shape(connection)
        return url

    @contextlib.contextmanager
    def lent(self) -> Iterator[str]:
        """One for as long as the context lasts; who is connected at its end is cut off."""
        url = self._returned.pop() if self._returned else self._new()
        yield url
        with psycopg.connect(url) as connection:
            connection.execute(_CUT_OTHERS)
            if _shape(connection) == self._shape:
                _empty(connection)
                self._returned.append(url)


_CUT_OTHERS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity  -- ms
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_SHAPE = """
SELECT md5(string_agg(what, ';' ORDER BY what)) FROM (
    SELECT concat_ws(' ', relname, relacl, reloptions, attname, atttypid, attnotnull)
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace AND attnum > 0
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT concat(tgrelid, tgname, tgenabled) FROM pg_trigger JOIN pg_class AS c
        ON c.oid = tgrelid WHERE relnamespace = 'public'::regnamespace AND NOT tgisinternal
    UNION ALL SELECT setconfig::text FROM pg_db_role_setting JOIN pg_database AS d
        ON d.oid = setdatabase WHERE datname = current_database()
) AS _(what)
"""
_TABLES = """
SELECT string_agg(format('DELETE FROM %I', tablename), ';') FROM pg_tables
WHERE schemaname = 'public' AND tablename NOT IN ('schema_migrations', 'api_keys_version')
"""


def _shape(connection: "psycopg.Connection[Any]") -> str:
    """What a database is made of, but for its rows."""
    (shape,) = connection.execute(_SHAPE).fetchone() or ("",)
    return str(shape)


def _empty(connection: "psycopg.Connection[Any]") -> None:
    """Delete all rows that migrations have not put there."""
    (deletes,) = connection.execute(_TABLES).fetchone() or ("",)
    connection.execute(str(deletes).encode())


@contextlib.contextmanager
def lending(server_url: str) -> Iterator[Databases]:
    """Databases of a server; they are dropped at the end."""
    with contextlib.ExitStack() as stack:
        template = stack.enter_context(_template(server_url))
        yield Databases(server_url, template, stack)


@contextlib.contextmanager
def _template(server_url: str) -> Iterator[str]:
    """Name of a new database with the schema in place, to which nobody can connect any more."""
    from storage.migrations import migrate

    async def prepare(url: str) -> None:
        await migrate(url)

    with new_database(server_url) as url:
        _run(prepare(url))
        name = urlsplit(url).path.removeprefix("/")
        with psycopg.connect(server_url, autocommit=True) as admin:
            # Workers of TimescaleDB do not ask; without them it can be copied.
            shut = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false")
            admin.execute(shut.format(sql.Identifier(name)))
            end = "SELECT pg_terminate_backend(pid, 10000)"  # ms
            admin.execute(f"{end} FROM pg_stat_activity WHERE datname = %s", [name])
        yield name
