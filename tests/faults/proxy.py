"""A TCP proxy before a server, which breaks the way in every manner that networks know."""

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fix_servers import url_through

_CHUNK = 1 << 16
_RST = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s; closing then resets
_HELD_CHUNKS = 1 << 12  # in one direction of a slow way; the sender waits when it is full
HOST = "127.0.0.2"  # not where other programs of the machine take their ports


@dataclass(eq=False)
class _Way:
    """One connection: both its halves."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    task: "asyncio.Task[None] | None" = None

    def reset(self) -> None:
        """End both halves with RST: what was on its way is lost."""
        for writer in (self.client, self.server):
            if writer is None or writer.transport.is_closing():
                continue
            sock = writer.get_extra_info("socket")
            if sock is not None and sock.family == socket.AF_INET:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            writer.transport.abort()


@dataclass(eq=False)
class Proxy:
    """Passes bytes on between its own port and a server's port or socket, until told otherwise.

    ``hits`` counts what it did to bytes and connections: ``reset`` connections, ``refused`` ones,
    ``held`` and ``delayed`` and ``slowed`` and ``cut`` bytes.
    """

    upstream_url: str
    host: str = HOST
    port: int = 0
    hits: "Counter[str]" = field(default_factory=Counter)
    _listener: asyncio.Server | None = None
    _ways: set[_Way] = field(default_factory=set)
    _passing: asyncio.Event = field(default_factory=asyncio.Event)
    _refusing: bool = False
    _delay_s: tuple[float, float] = (0.0, 0.0)
    _bytes_per_s: float = 0.0
    _cut_after: int | None = None
    _watched: "tuple[bytes, asyncio.Future[None], asyncio.Event] | None" = None

    @property
    def url(self) -> str:
        """The server's URL with the proxy's address in it."""
        return url_through(self.upstream_url, self.host, self.port)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Take connections; they end with the block."""
        self._passing.set()
        self._listener = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._listener.close()
            tasks = {way.task for way in self._ways if way.task is not None}
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    # -- what it can do

    def heal(self) -> None:
        """Pass on everything, also what was held."""
        self._refusing, self._delay_s, self._bytes_per_s = False, (0.0, 0.0), 0.0
        self._cut_after = None
        self._passing.set()
        self.release()

    def reset(self) -> None:
        """End all connections with RST; new ones are taken."""
        self.hits["reset"] += len(self._ways)
        for way in self._ways:
            way.reset()

    def refuse(self) -> None:
        """End all connections with RST, and each new one as soon as it is made."""
        self._refusing = True
        self.reset()

    def black_hole(self) -> None:
        """Go silent: bytes are taken, none arrive, no connection ends."""
        self._passing.clear()

    def delay(self, least_s: float, most_s: float) -> None:
        """Let each piece arrive later by something between, in order, both ways."""
        self._delay_s = (least_s, most_s)

    def slow_down(self, bytes_per_s: float) -> None:
        """Let so many bytes through a second, each way of each connection."""
        self._bytes_per_s = bytes_per_s

    def cut_reply(self, after_bytes: int) -> None:
        """Of the next piece of a reply pass on at most so many bytes, then reset the connection."""
        self._cut_after = after_bytes

    def hold_at(self, pattern: bytes) -> "asyncio.Future[None]":
        """Keep what a client sends with *pattern* in it; done when that comes. :meth:`release`."""
        self.release()
        seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watched = (pattern, seen, asyncio.Event())
        return seen

    def release(self) -> None:
        """Pass on what is kept by :meth:`hold_at`, and keep nothing more."""
        watched, self._watched = self._watched, None
        if watched is not None:
            watched[1].cancel()
            watched[2].set()

    # -- passing on

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = _Way(writer, task=asyncio.current_task())
        if self._refusing:
            self.hits["refused"] += 1
            way.reset()
            return
        self._ways.add(way)
        try:
            self._count_held(1)
            await self._passing.wait()
            up_reader, way.server = await self._connect()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, way.server, way, to_server=True))
                group.create_task(self._pump(up_reader, writer, way, to_server=False))
        except* OSError:
            pass
        except* asyncio.CancelledError:
            pass  # the proxy ends
        finally:
            self._ways.discard(way)
            for one in (way.client, way.server):
                if one is not None:
                    one.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.upstream_url)
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(unquote(parts.path))
        folder = parse_qs(parts.query).get("host", [""])[0]
        if folder:
            return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        return await asyncio.open_connection(parts.hostname, parts.port)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: _Way,
        *,
        to_server: bool,
    ) -> None:
        """Pass bytes on until one side ends, which ends the other, too."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_HELD_CHUNKS)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            passing = group.create_task(self._pass(queue, writer, way, to_server=to_server))
            try:
                while chunk := await reader.read(_CHUNK):
                    self._count_held(len(chunk))
                    await queue.put((loop.time() + self._late_s(len(chunk)), chunk))
                await queue.put((loop.time(), b""))
                await passing
            finally:
                passing.cancel()
        raise ConnectionResetError("one side closed")

    def _late_s(self, size: int) -> float:
        if not self._delay_s[1]:
            return 0.0
        self.hits["delayed"] += size
        return random.uniform(*self._delay_s)

    async def _pass(
        self,
        queue: "asyncio.Queue[tuple[float, bytes]]",
        writer: asyncio.StreamWriter,
        way: _Way,
        *,
        to_server: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, chunk = await queue.get()
            if due_s > loop.time():
                await asyncio.sleep(due_s - loop.time())
            await self._passing.wait()
            if not chunk:
                return
            if to_server:
                await self._keep_if_watched(chunk)
                await self._passing.wait()
            elif self._cut_after is not None:
                await self._cut(chunk, writer, way)
            await self._slowly(len(chunk))
            writer.write(chunk)
            await writer.drain()

    def _count_held(self, size: int) -> None:
        if not self._passing.is_set():
            self.hits["held"] += size

    async def _keep_if_watched(self, chunk: bytes) -> None:
        if self._watched is None or self._watched[0] not in chunk:
            return
        _, seen, released = self._watched
        self.hits["held"] += len(chunk)
        if not seen.done():
            seen.set_result(None)
        await released.wait()

    async def _cut(self, chunk: bytes, writer: asyncio.StreamWriter, way: _Way) -> None:
        after, self._cut_after = self._cut_after or 0, None
        kept = chunk[: min(after, len(chunk) - 1)]
        self.hits["cut"] += len(chunk) - len(kept)
        writer.write(kept)
        # RST would also take back what the other side has not read yet: close in order.
        way.client.close()
        if way.server is not None:
            way.server.transport.abort()
        raise ConnectionResetError("cut")

    async def _slowly(self, size: int) -> None:
        if self._bytes_per_s:
            self.hits["slowed"] += size
            await asyncio.sleep(size / self._bytes_per_s)
