"""A client that goes and comes back with its newest cursor, and keeps what it has for good."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from tests.integration.gateway.rig import Client, Rig


class Visitor:
    """Counts a message as received once a cursor came behind it."""

    def __init__(self, path: str = "", **subscribe: Any) -> None:
        self.log: list[dict[str, Any]] = []  # since the first subscription, with cursors and gaps
        self.reply: dict[str, Any] = {}  # to the newest subscribe
        self.client: Client | None = None
        self._path, self._subscribe = path, subscribe

    @property
    def cursor(self) -> str:
        """The newest."""
        return next((m["c"] for m in reversed(self.log) if m["T"] == "cursor"), "")

    @property
    def gaps(self) -> list[dict[str, Any]]:
        return [message for message in self.log if message["T"] == "gap"]

    def ids(self, spelling: str, kind: str = "t") -> list[int]:
        """Of the trades, or opens of the bars, under that spelling."""
        field = "i" if kind == "t" else "o"
        return [m[field] for m in self.log if m["T"] == kind and m["S"] == spelling]

    @asynccontextmanager
    async def visit(self, rig: Rig, **more: Any) -> AsyncIterator["Visitor"]:
        """Subscribed to *rig*, with the newest cursor if there is one; it is cut at the end."""
        resume = {"resume": self.cursor} if self.cursor else {}
        request = {"action": "subscribe", "cursor": True, **self._subscribe, **resume, **more}
        async with rig.client(self._path) as client, asyncio.TaskGroup() as group:
            self.client = client
            await client.connection.send(msgspec.json.encode(request).decode())
            (self.reply,) = await client.receive()
            reading = group.create_task(self._read(client))
            try:
                yield self
            finally:
                client.connection.transport.abort()
                reading.cancel()
                self._forget()

    async def _read(self, client: Client) -> None:
        with contextlib.suppress(Exception):  # it is cut, in the middle of anything
            while True:
                self.log += await client.receive(timeout_s=30)

    def _forget(self) -> None:
        """What came behind the last cursor will come again."""
        while self.log and self.log[-1]["T"] != "cursor":
            self.log.pop()
