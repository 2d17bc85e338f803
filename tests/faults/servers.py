"""The servers of a lane: Valkey and PostgreSQL, started once, mended after each seed."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from storage.embedded import DataDir, PostgresServer, ValkeyServer
from storage.migrations import migrate
from tests.redis_servers import ask

_STREAM_MAX_BYTES = 256 << 20
_TEMPLATE = "empty_tickgate"
_DISK = "size=192m,mode=0700"


class NotPermitted(Exception):
    """This machine does not let this user do what the fault needs."""


@dataclass(eq=False)
class Servers:
    """One Valkey and one PostgreSQL; a lane's own, so that its faults hit nobody else."""

    valkey: ValkeyServer
    postgres: PostgresServer
    files: Path
    """Of PostgreSQL."""

    async def new_database(self, name: str) -> str:
        """URL of a database with the schema in place and nothing in it."""
        async with await self._admin() as admin:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return at_database(self.postgres.url, name)

    async def mend(self, database: str) -> None:
        """After a seed: everything runs, and what the seed stored is gone."""
        for server in (self.valkey, self.postgres):
            server.resume()
            if not server.running:
                await server.start()
        await ask(self.valkey.url, "FLUSHALL")
        async with await self._admin() as admin:
            await admin.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    async def prepare(self) -> None:
        """Make the database that others are copied from; once."""
        async with await self._admin() as admin:
            await admin.execute(f"CREATE DATABASE {_TEMPLATE}")
        await migrate(at_database(self.postgres.url, _TEMPLATE))

    async def _admin(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(self.postgres.url, autocommit=True)


@contextlib.asynccontextmanager
async def running_servers(*, small_disk: bool = False) -> AsyncIterator[Servers]:
    """A lane's servers; they end with the block, and with this process.

    With *small_disk* the files of PostgreSQL lie on a small disk of their own.

    Raises:
        NotPermitted: this user may not mount one.
    """
    root = Path(tempfile.mkdtemp(prefix="tickgate-faults-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        data_dir = DataDir(root / "data")
        data_dir.acquire()
        stack.callback(data_dir.release)
        files = data_dir.folder("postgres")
        if small_disk:
            files = _mount(data_dir.folder("disk"), stack) / "postgres"
            files.mkdir(mode=0o700)
        sockets, logs = data_dir.socket_folder(), data_dir.folder("log")
        stack.callback(data_dir.remove_socket_folder)
        valkey = ValkeyServer(
            data_dir.folder("valkey"),
            sockets=sockets,
            logs=logs,
            stream_max_bytes=_STREAM_MAX_BYTES,
        )
        servers = Servers(valkey, PostgresServer(files, sockets=sockets, logs=logs), files)
        try:
            await valkey.start()
            await servers.postgres.start()
            await servers.prepare()
            yield servers
        finally:
            valkey.resume()
            await valkey.stop()
            await servers.postgres.stop()


def _mount(folder: Path, stack: contextlib.ExitStack) -> Path:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", _DISK, "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        raise NotPermitted(f"mount of a small tmpfs: {done.stderr.decode().strip()}")
    stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=False)
    return folder


def at_database(server_url: str, name: str) -> str:
    """The server's URL with another database in it."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


class SmallMemory:
    """A control group in which a process gets no more memory than it has: the kernel kills it.

    Raises:
        NotPermitted: this user may make none.
    """

    def __init__(self, name: str) -> None:
        v1 = Path("/sys/fs/cgroup/memory")
        self._v1 = v1.is_dir()
        self._folder = (v1 if self._v1 else Path("/sys/fs/cgroup")) / name
        try:
            self._folder.mkdir()
        except OSError as exc:
            raise NotPermitted(f"a control group: {exc.strerror}") from exc

    def squeeze(self, pid: int, *, most_bytes: int) -> None:
        """Put *pid* into it; all that it asks for from now on counts, up to *most_bytes*.

        Raises:
            NotPermitted: memory is not controlled here.
        """
        limit = "memory.limit_in_bytes" if self._v1 else "memory.max"
        try:
            (self._folder / limit).write_text(str(most_bytes))
            (self._folder / "cgroup.procs").write_text(str(pid))
        except OSError as exc:
            raise NotPermitted(f"{limit} of a control group: {exc.strerror}") from exc

    def kills(self) -> int:
        """How many processes the kernel has killed in it for want of memory."""
        events = self._folder / ("memory.oom_control" if self._v1 else "memory.events")
        counts = dict(line.split() for line in events.read_text().splitlines())
        return int(counts.get("oom_kill", 0))

    async def remove(self) -> None:
        """Once nobody is in it any more; bounded."""
        for text in (self._folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(text), signal.SIGKILL)
        for _ in range(100):
            with contextlib.suppress(OSError):
                self._folder.rmdir()
                return
            await asyncio.sleep(0.02)
