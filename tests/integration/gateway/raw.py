"""A client that can do what a well-behaved one does not: raw sockets, hand-made frames."""

import asyncio
import base64
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def upgrade_request(path: str = "/v1/stream", **headers: str) -> bytes:
    """A handshake request; *headers* come on top, with ``_`` for ``-``."""
    key = base64.b64encode(os.urandom(16)).decode()
    fields = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def client_frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True) -> bytes:
    """A frame as clients must send it, or not quite."""
    first = (0x80 if fin else 0) | opcode
    mask_bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", first, mask_bit | size)
    elif size < 65_536:
        head = struct.pack(">BBH", first, mask_bit | 126, size)
    else:
        head = struct.pack(">BBQ", first, mask_bit | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    repeated = (mask * (size // 4 + 1))[:size]
    xored = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + mask + xored.to_bytes(size, "big")


class RawClient:
    """A socket, and the frames that come out of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def head(self) -> tuple[int, bytes]:
        """Status and head of an HTTP answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        return int(head.split(b" ", 2)[1]), head

    async def body(self, head: bytes) -> Any:
        """The JSON that follows *head*."""
        size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return msgspec.json.decode(await asyncio.wait_for(self.reader.readexactly(size), 5))

    async def upgrade(self, path: str = "/v1/stream", **headers: str) -> None:
        """Shake hands and see the welcome."""
        self.writer.write(upgrade_request(path, **headers))
        status, _ = await self.head()
        assert status == 101
        assert await self.message() == [{"T": "success", "msg": "connected"}]

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        async with asyncio.timeout(5):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await self.reader.readexactly(8))
            return first & 0x0F, await self.reader.readexactly(size)

    async def message(self) -> Any:
        """The next data message, decoded."""
        opcode, payload = await self.frame()
        return (msgspec.msgpack if opcode == BINARY else msgspec.json).decode(payload)

    async def ended(self) -> tuple[list[dict[str, Any]], int]:
        """Messages up to the close frame, and its code; then the server must close the socket."""
        found: list[dict[str, Any]] = []
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                break
            if opcode in (TEXT, BINARY):
                found += (msgspec.msgpack if opcode == BINARY else msgspec.json).decode(payload)
        return found, struct.unpack(">H", payload[:2])[0]

    def pause(self) -> None:
        """Read no more: what comes stays in the kernel."""
        cast("asyncio.Transport", self.writer.transport).pause_reading()

    async def say(self, **message: Any) -> None:
        """Send one JSON message."""
        self.writer.write(client_frame(TEXT, msgspec.json.encode(message)))
        await self.writer.drain()


@asynccontextmanager
async def raw_client(port: int, *, receive_bytes: int = 0) -> AsyncIterator[RawClient]:
    """A connected socket; with *receive_bytes* its kernel takes little when nobody reads."""
    sock = socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()
