"""Database: a bounded pool of PostgreSQL connections; statements that end in time or raise."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString, Self

import psycopg
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from storage.errors import DatabaseUnavailable, SchemaError
from storage.packed import PackedArray

_LOG = logging.getLogger(__name__)
_CONNECT_S: Final = 3
_CLOSE_S: Final = 2.0
_CHECK_S: Final = 1.0
_ABANDON_S: Final = 2.0
# The pool's own attempts to connect come ever more rarely, up to minutes apart: it shall give them
# up soon, so that the next who asks for a connection makes it try at once.
_RECONNECT_S: Final = 2.0
_PING_S: Final = 3.0  # a server that answers a ping no sooner hangs
_IDLE_S: Final = 10.0  # a process that was paused within a transaction keeps its locks no longer

_LIMITS: Final = """
SELECT set_config('statement_timeout', %s, true),
    set_config('idle_in_transaction_session_timeout', %s, true)
"""

# Includes a server that fails over (read-only for a while) and a full disk.
AWAY: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
)
_SHUTDOWN: Final = "57P"  # SQLSTATEs of a server that stops or starts

CONNECT_OPTIONS: Final[dict[str, Any]] = {
    "autocommit": True,
    "prepare_threshold": None,  # PgBouncer in transaction mode has no session to keep them in
    "connect_timeout": _CONNECT_S,
    "tcp_user_timeout": 10_000,  # ms until unacknowledged data means that the server is gone
    "application_name": "tickgate",
}


def server_of(url: str) -> str:
    """Host, port and database of *url* without its secrets, for messages."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "an ill-formed address"
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    return f"{host}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"


def url_problem(url: str) -> str:
    """Why no server can be looked for at *url*, or an empty string; connects to nothing."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as exc:
        return one_line(exc)
    hosts = str(parts.get("host") or "").split(",")
    if any("@" in host[1:] for host in hosts if not host.startswith("/")):
        return "there is an @ in the host"  # the second one of a password, as libpq reads it
    return ""


class Connection(psycopg.AsyncConnection[Any]):
    """Counts rows, for the log of slow statements, and tells why it could not be made.

    The pool keeps the latter to itself, and times out later.
    """

    rows = 0
    """Rows read or written since it was taken from the pool; what is copied adds itself."""

    async def execute(self, *args: Any, **options: Any) -> psycopg.AsyncCursor[Any]:
        cursor = await super().execute(*args, **options)
        self.rows += max(cursor.rowcount, 0)
        return cursor

    @classmethod
    async def connect(  # type: ignore[override]  # one argument more
        cls, conninfo: str = "", *, on_outcome: Callable[[str], None], **options: Any
    ) -> Self:
        try:
            made = await super().connect(conninfo, **options)
        except psycopg.Error as exc:
            on_outcome(one_line(exc))
            raise
        on_outcome("")
        return made


class Database:
    """The pool of one process. No statement relies on a session, so PgBouncer may be between.

    When all connections are busy a caller waits, at most ``acquire_timeout_s``. A statement that
    takes longer than ``statement_timeout_s`` is cancelled on the server. What is slower than
    ``slow_query_s`` is logged: its name, time and rows, never its text or parameters.
    """

    def __init__(  # noqa: PLR0913 - the limits of design 10
        self,
        url: str,
        *,
        min_size: int = 2,
        max_size: int = 10,
        acquire_timeout_s: float = 5.0,
        statement_timeout_s: float = 30.0,
        slow_query_s: float = 0.2,
        session: str = "",
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Does nothing but remember; *url* is a ``postgresql://`` URL or ``key=value`` pairs.

        *session* names the connections for those who look at the server.
        """
        self.server = server_of(url)
        self.slow = 0  # statements slower than slow_query_s
        self.acquire_timeout_s, self._max_size = acquire_timeout_s, max_size
        self._statement_timeout_s, self._slow_query_s = statement_timeout_s, slow_query_s
        self._monotonic_s = monotonic_s
        self._why_no_connection = ""
        self._busy: list[str] = []  # names of what holds a connection
        options = CONNECT_OPTIONS | ({"application_name": session} if session else {})
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            open=False,
            min_size=min_size,
            max_size=max_size,
            timeout=acquire_timeout_s,
            max_waiting=1_000,
            max_idle=60.0,
            reconnect_timeout=_RECONNECT_S,
            connection_class=Connection,
            kwargs={**options, "on_outcome": self._note_outcome},
            name="tickgate",
            configure=_configure,
        )

    async def open(self) -> None:
        """Begin to connect in the background; the server need not be up."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections; statements under way fail."""
        await self._pool.close(timeout=_CLOSE_S)

    async def ping(self) -> None:
        """Make one round trip.

        Raises:
            DatabaseUnavailable: it failed.
        """
        limit_s = min(_PING_S, self._statement_timeout_s)
        await self.fetch("ping", "SELECT 1", timeout_s=limit_s)

    async def fetch(
        self,
        name: LiteralString,
        sql: LiteralString,
        parameters: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run one statement on its own and read its rows.

        Args:
            name: names the statement in the log.
            sql: with ``%s`` for each parameter.
            parameters: of the statement.
            timeout_s: instead of the usual limit, for maintenance.

        Raises:
            DatabaseUnavailable: the server is away, or too slow.
            SchemaError: a table is missing.
        """
        async with self._connection(name, timeout_s) as connection:
            cursor = await connection.execute(sql, parameters, binary=True)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def transaction(self, name: LiteralString) -> AsyncIterator[Connection]:
        """A connection within a transaction: committed at the end, rolled back by an error.

        Raises:
            DatabaseUnavailable: the server is away, or too slow. When that happens at the
                commit itself, it is unknown whether it was carried out.
        """
        async with self._connection(name) as connection, connection.transaction():
            limits_ms = [str(int(s * 1000)) for s in (self._statement_timeout_s, _IDLE_S)]
            await connection.execute(_LIMITS, limits_ms)
            connection.rows = 0  # without the setting's own
            yield connection

    @asynccontextmanager
    async def _connection(
        self, name: LiteralString, timeout_s: float | None = None
    ) -> AsyncIterator[Connection]:
        limit_s = self._statement_timeout_s if timeout_s is None else timeout_s
        try:
            async with self._pool.connection() as connection:
                started_s, connection.rows = self._monotonic_s(), 0
                self._busy.append(name)
                try:
                    # The first timeout has the statement cancelled on the server; when the server
                    # does not answer to that either, the second ends the connection.
                    async with asyncio.timeout(limit_s + _ABANDON_S), asyncio.timeout(limit_s):
                        yield connection
                finally:
                    self._busy.remove(name)
                self._note_duration(name, self._monotonic_s() - started_s, connection.rows)
        except (PoolTimeout, PoolClosed, TooManyRequests) as exc:
            raise DatabaseUnavailable(self.server, f"{name}: {self._no_connection(exc)}") from exc
        except AWAY as exc:
            await self._drop_broken(exc)
            raise DatabaseUnavailable(self.server, f"{name}: {one_line(exc)}") from exc
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as exc:
            raise SchemaError(f"{one_line(exc)}; run `tickgate migrate`") from exc
        except psycopg.errors.InsufficientPrivilege as exc:
            raise SchemaError(f"{one_line(exc)}; grant it, or use the user that migrated") from exc
        except TimeoutError as exc:
            reason = f"{name}: no answer within {limit_s:g} s"
            raise DatabaseUnavailable(self.server, reason) from exc

    def _note_outcome(self, failure: str) -> None:
        self._why_no_connection = failure

    def _no_connection(self, error: Exception) -> str:
        """What was waited for in vain: a server that cannot be reached, or one of the pool."""
        if not isinstance(error, PoolTimeout):
            return str(error)
        waited = f"no connection within {self.acquire_timeout_s:g} s"
        if self._why_no_connection:
            return f"{waited}: {self._why_no_connection}"
        busy = ", ".join(f"{n} {name}" for name, n in sorted(Counter(self._busy).items()))
        return f"{waited}: all {self._max_size} of the pool (db_pool_max) are busy ({busy})"

    def _note_duration(self, name: str, took_s: float, rows: int) -> None:
        if took_s > self._slow_query_s:
            self.slow += 1
            _LOG.warning("slow query %s took %.0f ms, %d rows", name, took_s * 1000, rows)

    async def _drop_broken(self, error: psycopg.Error) -> None:
        """A restart of the server broke every idle connection, not only the one that failed."""
        if error.sqlstate is not None and not error.sqlstate.startswith(_SHUTDOWN):
            return
        try:
            async with asyncio.timeout(_CHECK_S):
                await self._pool.check()
        except (TimeoutError, psycopg.Error, PoolTimeout, PoolClosed):
            _LOG.debug("connections to %s could not be checked", self.server)


class _PackedDumper(Dumper):
    """Hands packed arrays over as they are; the statement's cast tells their type."""

    format = Format.BINARY

    def dump(self, obj: PackedArray) -> bytes:
        return obj.binary


async def _configure(connection: Connection) -> None:
    connection.adapters.register_dumper(PackedArray, _PackedDumper)


def one_line(error: Exception) -> str:
    """*error* without line breaks, and without libpq's question whether the server runs."""
    text = " ".join(str(error).split()).partition(" Is the server running ")[0]
    return text or type(error).__name__
