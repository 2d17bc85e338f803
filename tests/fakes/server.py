"""What fake venues that speak WebSocket have in common: they listen, refuse and hang up."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve


class FakeServer(ABC):
    """Listens on a free port of 127.0.0.1, and on the same one when it listens again."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.connections = 0
        self._server: Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    @property
    def subscribed(self) -> int:
        """Connections that have subscribed and are still there."""
        return len(self._subscribers())

    async def listen(self) -> None:
        self._server = await serve(
            self._serve, "127.0.0.1", self._port, ping_interval=None, close_timeout=0.1
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def refuse(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def hang_up(self) -> None:
        for connection in list(self._subscribers()):
            await connection.close(1012, "restart")

    @abstractmethod
    def _subscribers(self) -> Collection[ServerConnection]: ...

    @abstractmethod
    async def _serve(self, connection: ServerConnection) -> None: ...
