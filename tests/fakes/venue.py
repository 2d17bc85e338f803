"""Fake venues: real WebSocket servers that speak a venue's protocol and misbehave on demand.

Held to the real venues by `tests/contract/ingest/test_fake_venues.py`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from tests.fakes.server import FakeServer


class Made(NamedTuple):
    """A trade that took place, whether it was pushed or not."""

    trade_id: int
    price: float
    size: float
    at_ns: int


class FakeVenue(FakeServer):
    """One venue on a free port of 127.0.0.1.

    ``trade`` pushes a live trade to every connection; ``push`` any frame. ``mute`` makes it
    answer nothing but WebSocket pings; ``half_frame``, ``drip`` and ``garbage`` break the wire;
    ``hang_up`` closes all connections; ``refuse`` closes the door, ``listen`` opens it (again).
    """

    def __init__(self, feed: str) -> None:
        super().__init__()
        self.feed = feed
        self.mute = False
        self.unknown: set[str] = set()  # symbols that a subscription is refused for
        self.made: dict[str, list[Made]] = {}  # by symbol
        self._trade_ids: dict[str, int] = {}
        self._live: set[ServerConnection] = set()
        self._stuck: set[ServerConnection] = set()  # in the middle of a frame

    def _subscribers(self) -> Collection[ServerConnection]:
        return self._live

    def push(self, *frames: str | bytes) -> None:
        """Send frames to every subscribed connection, in one write."""
        for connection in self._live:
            for frame in frames:
                if isinstance(frame, str):
                    connection.protocol.send_text(frame.encode())
                else:
                    connection.protocol.send_binary(frame)
            connection.send_data()

    def raw(self, wire: bytes) -> None:
        """Put bytes on the wire as they are."""
        for connection in self._live:
            if connection.state is State.OPEN:
                connection.transport.write(wire)

    def half_frame(self) -> None:
        """The head of a frame of 500 bytes and a tenth of it; no more will come."""
        self._stuck |= self._live
        self.raw(b"\x81\x7e\x01\xf4" + b"x" * 50)

    async def drip(self, frame: str, *, pause_s: float) -> None:
        """One frame (of fewer than 126 bytes), byte by byte, to those who are there now."""
        victims = set(self._live)
        self._stuck |= victims
        for byte in bytes([0x81, len(frame)]) + frame.encode():
            for connection in victims & self._live:
                if connection.state is State.OPEN:  # the other side may hang up meanwhile
                    connection.transport.write(bytes([byte]))
            await asyncio.sleep(pause_s)

    def trade(
        self,
        symbol: str,
        *,
        price: float = 10.0,
        size: float = 1.0,
        at_ns: int,
        pushed: bool = True,
    ) -> int:
        """A trade; returns its id, which counts from 1 per symbol. Not *pushed*: nobody hears."""
        trade_id = self._trade_ids[symbol] = self._trade_ids.get(symbol, 0) + 1
        self.made.setdefault(symbol, []).append(Made(trade_id, price, size, at_ns))
        if pushed:
            self.again(symbol, trade_id)
        return trade_id

    def again(self, symbol: str, trade_id: int) -> None:
        """Push a trade that took place: late, or once more."""
        made = self.made[symbol][trade_id - 1]
        self.push(trade_frame(self.feed, symbol, **made._asdict()))

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        try:
            async with asyncio.TaskGroup() as group:
                beat = group.create_task(self._beat(connection))
                await self._converse(connection)
                beat.cancel()
        except* ConnectionClosed:
            pass
        finally:
            self._live.discard(connection)
            self._stuck.discard(connection)

    async def _converse(self, connection: ServerConnection) -> None:
        async for frame in connection:
            request = json.loads(frame)
            self.received.append(request)
            if not self.mute:
                for answer in self._answers(request):
                    await connection.send(answer)
                self._live.add(connection)

    async def _beat(self, connection: ServerConnection) -> None:
        """What Coinbase and Kraken send once a second, ten times as often; Binance nothing."""
        beats = {
            "coinbase": '{"type":"heartbeat","sequence":1,"last_trade_id":0,"product_id":"A-B",'
            '"time":"2021-04-17T16:43:37.000000Z"}',
            "kraken": '{"channel":"heartbeat"}',
        }
        while self.feed in beats:
            await asyncio.sleep(0.1)
            if connection in self._live - self._stuck and not self.mute:
                await connection.send(beats[self.feed])

    def _answers(self, request: dict[str, Any]) -> Iterable[str]:
        answers: dict[str, Callable[[dict[str, Any]], Iterable[str]]] = {
            "coinbase": self._coinbase,
            "binance": self._binance,
            "kraken": self._kraken,
        }
        return answers[self.feed](request)

    def _coinbase(self, request: dict[str, Any]) -> Iterable[str]:
        names = request["product_ids"]
        if unknown := self.unknown.intersection(names):
            reason = f"{min(unknown)} is not a valid product"
            yield json.dumps({"type": "error", "message": "Failed to subscribe", "reason": reason})
            return
        channels = [{"name": name, "product_ids": names} for name in request["channels"]]
        yield json.dumps({"type": "subscriptions", "channels": channels})
        for name in names:
            last = self._trade_ids.get(name, 0)
            yield trade_frame("coinbase", name, last, at_ns=10**18, history=True)

    def _binance(self, request: dict[str, Any]) -> Iterable[str]:
        if request["method"] == "LIST_SUBSCRIPTIONS":
            yield json.dumps({"result": ["any@trade"], "id": request["id"]})
        else:
            yield json.dumps({"result": None, "id": request["id"]})

    def _kraken(self, request: dict[str, Any]) -> Iterable[str]:
        if request["method"] == "ping":
            yield json.dumps({"method": "pong", "time_in": "x", "time_out": "y"})
            return
        for name in request["params"]["symbol"]:
            if name in self.unknown:
                yield json.dumps({
                    "error": f"Currency pair not supported {name}", "method": "subscribe",
                    "success": False, "symbol": name, "time_in": "x", "time_out": "y",
                })  # fmt: skip
                continue
            result = {"channel": "trade", "snapshot": True, "symbol": name}
            yield json.dumps({"method": "subscribe", "result": result, "success": True})
            yield trade_frame("kraken", name, 1, at_ns=10**18, history=True)


@asynccontextmanager
async def fake_venue(feed: str) -> AsyncIterator[FakeVenue]:
    """A listening fake venue, gone with the block."""
    venue = FakeVenue(feed)
    await venue.listen()
    try:
        yield venue
    finally:
        await venue.refuse()


def trade_frame(
    feed: str,
    symbol: str,
    trade_id: int,
    *,
    at_ns: int,
    price: float = 10.0,
    size: float = 1.0,
    history: bool = False,
) -> str:
    """The frame of one taker's buy, as the venue writes it."""
    if feed == "coinbase":
        return json.dumps({
            "type": "last_match" if history else "match", "trade_id": trade_id,
            "maker_order_id": "27fff20b-af29-4f45-8744-56dd1ef57dc0",
            "taker_order_id": "1da6ce16-c8da-4732-9f71-6049f4c6aaf8",
            "side": "sell", "size": str(size), "price": str(price), "product_id": symbol,
            "sequence": trade_id + 1000, "time": stamp(at_ns),
        })  # fmt: skip
    if feed == "binance":
        event = {
            "e": "trade", "E": at_ns // 10**6, "s": symbol, "t": trade_id, "p": str(price),
            "q": str(size), "T": at_ns // 10**6, "m": False, "M": True,
        }  # fmt: skip
        return json.dumps({"stream": f"{symbol.lower()}@trade", "data": event})
    trade = {
        "symbol": symbol, "side": "buy", "price": price, "qty": size, "ord_type": "market",
        "trade_id": trade_id, "timestamp": stamp(at_ns),
    }  # fmt: skip
    kind = "snapshot" if history else "update"
    return json.dumps({"channel": "trade", "type": kind, "data": [trade]})


def stamp(at_ns: int) -> str:
    """RFC 3339 with microseconds."""
    import datetime as dt

    whole = dt.datetime.fromtimestamp(at_ns // 10**9, dt.UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ns % 10**9 // 1000:06d}Z"
