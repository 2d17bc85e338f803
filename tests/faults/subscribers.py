"""Subscribers that come back: each keeps what it was sent up to its newest cursor, and goes on."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from tests.faults.checker import Facts, Heard, Key

_SILENT_S = 2.5  # without a message: the gateway's heartbeats come each second
_CONNECT_S = 3.0
_AGAIN_S = 0.05
_DRAINED = 1012
_SECOND_NS = 10**9
Message = Mapping[str, Any]


@dataclass(eq=False)
class Subscriber:
    """One client: connects, resumes where its newest cursor stands, and again, until stopped.

    What came behind the newest cursor of a connection that broke is dropped: it comes again.
    """

    name: str
    address: str
    subscription: Mapping[str, Any]
    encoding: str = "json"
    connections: int = 0
    told: list[str] = field(default_factory=list)
    """Errors and gaps, in words."""
    heard: dict[str, list[int]] = field(default_factory=dict)
    bars: dict[Key, Facts] = field(default_factory=dict)
    published: list[tuple[Key, int]] = field(default_factory=list)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    _gaps: dict[str, set[int]] = field(default_factory=dict)
    _cursor: str | None = None
    _pending: list[Message] = field(default_factory=list)
    _ended: bool = False

    @property
    def count(self) -> int:
        """Trades it has got."""
        return sum(len(numbers) for numbers in self.heard.values())

    @property
    def gapped(self) -> set[str]:
        """Symbols, or `*`, of which it was told that something is lost."""
        return set(self._gaps)

    def of(self, symbol: str) -> Heard:
        """What it got of *symbol*."""
        gaps = self._gaps.get(symbol, set()) | self._gaps.get("*", set())
        return Heard(self.heard.get(symbol, []), frozenset(gaps))

    async def run(self) -> None:
        """Until the gateway has drained after :meth:`expect_end`, or it is cancelled."""
        while not self._ended:
            try:
                await self._session()
            except (OSError, WebSocketException, TimeoutError, EOFError):
                self._pending.clear()
            await asyncio.sleep(_AGAIN_S)

    def expect_end(self) -> None:
        """The next drain is the last: what was sent before it counts, cursor or not."""
        self._ended = True

    async def _session(self) -> None:
        url = f"{self.address}/v1/stream?encoding={self.encoding}"
        async with connect(
            url,
            max_size=None,
            compression=None,
            open_timeout=_CONNECT_S,
            close_timeout=0.2,
            ping_interval=None,
        ) as socket:
            self.connections += 1
            await self._receive(socket)  # connected
            resume = {"resume": self._cursor} if self._cursor else {}
            request = {"action": "subscribe", "cursor": True, **self.subscription, **resume}
            await socket.send(json.dumps(request))
            while True:
                try:
                    messages = await self._receive(socket)
                except WebSocketException:
                    if self._ended and socket.close_code == _DRAINED:
                        self._commit()
                        return
                    raise
                for message in messages:
                    self._take(message)

    async def _receive(self, socket: ClientConnection) -> Sequence[Message]:
        async with asyncio.timeout(_SILENT_S):
            frame = await socket.recv()
        if isinstance(frame, str):
            return msgspec.json.decode(frame)  # type: ignore[no-any-return]
        return msgspec.msgpack.decode(frame)  # type: ignore[no-any-return]

    def _take(self, message: Message) -> None:
        kind = message["T"]
        if kind == "cursor":
            self._commit()
            self._cursor = message["c"]
            self.subscribed.set()
        elif kind == "error":
            self.told.append(f"error {message['code']}: {message['msg']}")
            if message["code"] == 400:  # the cursor is refused: all that is left is to begin anew
                self._cursor = None
            raise InvalidHandshake("refused")
        elif kind in ("t", "b", "u", "gap"):
            self._pending.append(message)

    def _commit(self) -> None:
        pending, self._pending = self._pending, []
        for message in pending:
            kind = message["T"]
            if kind == "t":
                self.heard.setdefault(message["S"], []).append(message["i"])
            elif kind == "gap":
                self._note_gap(message)
            else:
                self._keep_bar(message)

    def _note_gap(self, message: Message) -> None:
        if message.get("state") != "lost":
            return
        self.told.append(f"gap {dict(message)}")
        spelled = message["S"]
        for symbol in self.heard if spelled == "*" else [spelled]:
            self._gaps.setdefault(symbol, set()).add(len(self.heard.get(symbol, [])))
        if spelled == "*":
            self._gaps.setdefault("*", set())

    def _keep_bar(self, bar: Message) -> None:
        if not bar.get("final", True):
            return
        key = (bar["S"], bar.get("tf", "1Min"), _start_ns(bar["t"]))
        self.published.append((key, bar.get("rev", 0)))
        self.bars[key] = (bar["o"], bar["h"], bar["l"], bar["c"], bar["n"], bar["v"], bar["vw"])


def _start_ns(time: str | datetime) -> int:
    """The start of a bar, which is a whole second."""
    at = datetime.fromisoformat(time) if isinstance(time, str) else time
    return int(at.astimezone(UTC).timestamp()) * _SECOND_NS
