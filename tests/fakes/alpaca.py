"""A fake venue that speaks the Alpaca market-data protocol, in its stock shapes.

The messages are those of docs.alpaca.markets, Real-time Stock Data, field by field.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec.msgpack import Ext
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tests.fakes.server import FakeServer
from tests.fakes.venue import stamp

KEY, SECRET = "PK1", "s3cret"


class FakeAlpaca(FakeServer):
    """Welcomes, asks for the key, and then sends what it is told to, in the client's codec."""

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[ServerConnection, bool] = {}  # with whether it wants msgpack

    def _subscribers(self) -> Collection[ServerConnection]:
        return self._live

    async def push(self, *messages: Mapping[str, Any]) -> None:
        """Send *messages* to all who subscribed, as one array."""
        for connection, binary in list(self._live.items()):
            await connection.send(framed(messages, binary=binary))

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        assert connection.request is not None
        binary = connection.request.headers.get("Content-Type") == "application/msgpack"
        try:
            await connection.send(framed([success("connected")], binary=binary))
            async for frame in connection:
                request = _decoded(frame)
                self.received.append(request)
                await connection.send(framed([self._answer(request)], binary=binary))
                if request["action"] == "subscribe":
                    self._live[connection] = binary
        except ConnectionClosed:
            pass
        finally:
            self._live.pop(connection, None)

    def _answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request["action"] == "auth":
            if (request["key"], request["secret"]) == (KEY, SECRET):
                return success("authenticated")
            return {"T": "error", "code": 402, "msg": "auth failed"}
        names = request["trades"]
        return {
            "T": "subscription", "trades": names, "quotes": [], "bars": [], "updatedBars": [],
            "dailyBars": [], "statuses": [], "lulds": [], "corrections": names,
            "cancelErrors": names,
        }  # fmt: skip


def _decoded(frame: str | bytes) -> dict[str, Any]:
    decode = msgspec.json.decode if isinstance(frame, str) else msgspec.msgpack.decode
    return decode(frame, type=dict[str, Any])


def success(text: str) -> dict[str, Any]:
    return {"T": "success", "msg": text}


def trade(symbol: str, trade_id: int, *, price: float, size: float, at_ns: int) -> dict[str, Any]:
    return {
        "T": "t", "S": symbol, "i": trade_id, "x": "D", "p": price, "s": size, "c": ["@", "I"],
        "z": "C", "t": at_ns,
    }  # fmt: skip


def correction(  # the original's and the corrected one's id, price and size
    symbol: str, old: tuple[int, float, float], new: tuple[int, float, float], *, at_ns: int
) -> dict[str, Any]:
    return {
        "T": "c", "S": symbol, "x": "M", "oi": old[0], "op": old[1], "os": old[2],
        "oc": ["7", " "], "ci": new[0], "cp": new[1], "cs": new[2], "cc": ["7"], "z": "B",
        "t": at_ns,
    }  # fmt: skip


def cancel(
    symbol: str, trade_id: int, *, price: float, size: float, at_ns: int, action: str = "C"
) -> dict[str, Any]:
    return {
        "T": "x", "S": symbol, "i": trade_id, "x": "D", "p": price, "s": size, "a": action,
        "z": "C", "t": at_ns,
    }  # fmt: skip


def framed(messages: Any, *, binary: bool) -> str | bytes:
    """An array of messages, their times as each codec writes them."""
    if not binary:
        return msgspec.json.encode(
            [{**m, "t": stamp(m["t"])} if "t" in m else m for m in messages]
        ).decode()
    return msgspec.msgpack.encode(
        [{**m, "t": Ext(-1, _timestamp(m["t"]))} if "t" in m else m for m in messages]
    )


def _timestamp(at_ns: int) -> bytes:
    """Source: MessagePack specification, timestamp 64."""
    return (at_ns % 10**9 << 34 | at_ns // 10**9).to_bytes(8, "big")


@asynccontextmanager
async def fake_alpaca() -> AsyncIterator[FakeAlpaca]:
    """A listening fake venue, gone with the block."""
    venue = FakeAlpaca()
    await venue.listen()
    try:
        yield venue
    finally:
        await asyncio.shield(venue.refuse())
