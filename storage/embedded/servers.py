"""Both servers over one data directory, as `tickgate dev` runs them."""

import asyncio
import logging
import random
from pathlib import Path
from types import TracebackType
from typing import Self

from core.runtime.children import Backoff, describe_exit
from core.runtime.witness import Crash, Nobody, Witness
from storage.embedded.data_dir import DataDir
from storage.embedded.errors import EmbeddedError
from storage.embedded.postgres import PostgresServer
from storage.embedded.process import truncate_log
from storage.embedded.server import EmbeddedServer
from storage.embedded.valkey import ValkeyServer

log = logging.getLogger(__name__)

_WATCH_S = 0.5  # how soon a server that ended is noticed
_RESTART_CAP_S = 30.0  # everything waits for it


class EmbeddedServers:
    """Valkey and PostgreSQL over one data directory, which no other program may use meanwhile.

    They die with this process, whatever kills it; what a killed run left is cleared up at the
    next start. Use it in the main thread, as an async context manager or by start and stop.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        redis: bool = True,
        postgres: bool = True,
        stream_max_bytes: int = 1 << 30,
    ) -> None:
        """Starts nothing yet; *stream_max_bytes* sets Valkey's bound on memory and disk."""
        self.data_dir = DataDir(data_dir)
        self._wants_redis, self._wants_postgres = redis, postgres
        self._stream_max_bytes = stream_max_bytes
        self.valkey: ValkeyServer | None = None
        self.postgres: PostgresServer | None = None
        self.witness: Witness = Nobody()
        """Told of servers that end by themselves; set it before :meth:`keep_running`."""

    @property
    def redis_url(self) -> str:
        """For redis-py; the same over restarts of the server."""
        if self.valkey is None:
            raise RuntimeError("no embedded Valkey was started")
        return self.valkey.url

    @property
    def database_url(self) -> str:
        """For libpq and psycopg; the same over restarts of the server."""
        if self.postgres is None:
            raise RuntimeError("no embedded PostgreSQL was started")
        return self.postgres.url

    async def start(self) -> None:
        """Lock the directory and start the servers side by side; returns when all are ready.

        Raises:
            EmbeddedError: one of its kinds; nothing is left running then.
        """
        self.data_dir.acquire()
        try:
            self._set_up()
            await self._start_all()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the servers side by side, in bounded time, and give the directory free."""
        async with asyncio.TaskGroup() as group:
            for server in self._servers():
                group.create_task(server.stop(), name=f"stop {server.name}")
        if self.valkey is not None or self.postgres is not None:
            self.data_dir.remove_socket_folder()
        self.valkey = self.postgres = None
        self.data_dir.release()

    async def keep_running(self) -> None:
        """Start a server again that ended by itself, and bound the logs; until cancelled."""
        async with asyncio.TaskGroup() as group:
            for server in self._servers():
                group.create_task(_keep_running(server, self.witness), name=f"keep {server.name}")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _set_up(self) -> None:
        logs = self.data_dir.folder("log")
        sockets = self.data_dir.socket_folder()
        if self._wants_redis:
            self.valkey = ValkeyServer(
                self.data_dir.folder("valkey"),
                sockets=sockets,
                logs=logs,
                stream_max_bytes=self._stream_max_bytes,
            )
        if self._wants_postgres:
            self.postgres = PostgresServer(
                self.data_dir.folder("postgres"), sockets=sockets, logs=logs
            )

    async def _start_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for server in self._servers():
                    group.create_task(server.start(), name=f"start {server.name}")
        except BaseExceptionGroup as failures:
            known, unknown = failures.split(EmbeddedError)
            if known is None or unknown is not None:
                raise
            raise known.exceptions[0] from None

    def _servers(self) -> list[EmbeddedServer]:
        return [server for server in (self.valkey, self.postgres) if server is not None]


async def _keep_running(server: EmbeddedServer, witness: Witness) -> None:
    loop = asyncio.get_running_loop()
    backoff = Backoff(uniform=random.uniform, cap_s=_RESTART_CAP_S)
    started_s = loop.time()
    while True:
        await asyncio.sleep(_WATCH_S)
        truncate_log(server.log_path)
        ran_s = loop.time() - started_s
        if server.running:
            if backoff.failures and ran_s >= backoff.stable_s:
                backoff.forget()
                witness.lasted(server.name)
            continue
        await _start_again(server, witness, backoff, ran_s=ran_s)
        started_s = loop.time()


async def _start_again(
    server: EmbeddedServer, witness: Witness, backoff: Backoff, *, ran_s: float
) -> None:
    how = describe_exit(server.exit_code) if server.exit_code is not None else "was stopped"
    wait_s = backoff.next_s(ran_s)
    log.error("%s %s; starting it again in %.1f s", server.name, how, wait_s)
    if backoff.is_loop:
        log.error("CRASH LOOP: %s ended %d times in a row", server.name, backoff.failures)
    witness.crashed(Crash(server.name, how, backoff.failures, wait_s, backoff.is_loop))
    await asyncio.sleep(wait_s)
    try:
        await server.start()
    except EmbeddedError as exc:
        log.error("%s", exc)
