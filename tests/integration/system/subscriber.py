"""A WebSocket client that keeps everything it is sent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Message = Mapping[str, Any]


class Subscriber:
    """``messages`` are all there were, in order; the times of bars are text in both codecs."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.messages: list[Message] = []
        self.close_code: int | None = None

    async def collect(self) -> None:
        """Until the gateway closes, which ``close_code`` then tells."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.messages += _decode(await self._socket.recv())
        self.close_code = self._socket.close_code

    async def ask(self, **request: Any) -> Message:
        """Send a request in the session's codec; the answer. Before :meth:`collect` only."""
        await self._socket.send(msgspec.json.encode(request).decode())
        (answer,) = _decode(await self._socket.recv())
        return answer

    def of(self, kind: str, **fields: Any) -> list[Message]:
        """The messages with ``T`` *kind* and these values."""
        return [
            message
            for message in self.messages
            if message["T"] == kind and fields.items() <= message.items()
        ]

    def ids(self) -> dict[str, list[int]]:
        """The trade ids by spelling, in the order they came."""
        found: dict[str, list[int]] = {}
        for message in self.of("t"):
            found.setdefault(message["S"], []).append(message["i"])
        return found


@contextlib.asynccontextmanager
async def subscribed(
    address: str, *, encoding: str = "json", **subscription: Any
) -> AsyncIterator[Subscriber]:
    """Connect, subscribe, and collect from then on; the answer is the first message."""
    url = f"{address.replace('http', 'ws', 1)}/v1/stream?encoding={encoding}"
    async with connect(url, max_size=None, compression=None) as socket:
        client = Subscriber(socket)
        assert _decode(await socket.recv()) == [{"T": "success", "msg": "connected"}]
        answer = await client.ask(action="subscribe", **subscription)
        assert answer["T"] == "subscription", answer
        client.messages.append(answer)
        async with asyncio.TaskGroup() as group:
            collecting = group.create_task(client.collect())
            yield client
            collecting.cancel()


def _decode(frame: str | bytes) -> list[Message]:
    if isinstance(frame, str):
        decoded: list[Message] = msgspec.json.decode(frame)
        return decoded
    return [
        {name: _text(value) for name, value in message.items()}
        for message in msgspec.msgpack.decode(frame)
    ]


def _text(value: Any) -> Any:
    """Whole seconds as JSON has them."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value
