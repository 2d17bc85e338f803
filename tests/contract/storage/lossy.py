"""A proxy that ends its connections at a chosen byte: half a request, or a reply that is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

_End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LossyProxy:
    """Before a Redis server. Set ``requests_left`` or ``replies_left`` to a number of bytes: so
    many still pass in that direction, then all connections end, once, and later ones work.
    """

    def __init__(self, upstream_url: str) -> None:
        self.requests_left: int | None = None
        self.replies_left: int | None = None
        self.cuts = 0
        self._upstream_url = upstream_url
        self._connections: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["LossyProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            if self._connections:
                await asyncio.wait(self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self._upstream_url)
        up_reader, up_writer = await (
            asyncio.open_unix_connection(unquote(parts.path))
            if parts.scheme == "unix"
            else asyncio.open_connection(parts.hostname, parts.port)
        )
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # asyncio would log it
                await self._pass_on((reader, writer), (up_reader, up_writer))
        finally:
            writer.transport.abort()
            up_writer.transport.abort()
            self._connections.discard(task)

    async def _pass_on(self, client: _End, server: _End) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(client[0], server[1], "requests_left"))
                group.create_task(self._pump(server[0], client[1], "replies_left"))
        except* OSError:
            pass

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bound: str
    ) -> None:
        while chunk := await reader.read(1 << 16):
            left: int | None = getattr(self, bound)
            writer.write(chunk if left is None else chunk[:left])
            await writer.drain()
            if left is not None:
                setattr(self, bound, left - len(chunk) if left > len(chunk) else None)
                if left <= len(chunk):
                    await self._flush_and_cut(writer)
        raise ConnectionResetError("the other side closed")

    async def _flush_and_cut(self, writer: asyncio.StreamWriter) -> None:
        """The bytes that were let pass arrive: a close in order, not a reset."""
        self.cuts += 1
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        raise ConnectionResetError("cut")
