"""`tickgate watch SYMBOL…`: a live table in the terminal, or lines into a pipe."""

import asyncio
import contextlib
import os
import random
import sys
import time
from typing import Any

import aiohttp
import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from core.market.errors import TickgateError
from core.runtime.config import Loaded
from core.runtime.supervisor import StopRequest, stop_on_signals
from tickgate.arguments import Arguments
from tickgate.board import Board, cells
from tickgate.output import complain
from tickgate.settings import Settings

_COLUMNS = ("symbol", "last", "change", "open", "high", "low", "close", "volume", "trades", "delay")
_REDRAW_S = 0.25
_FIRST_RETRY_S, _RETRY_CAP_S = 0.5, 10.0
_HTTP_S = 5.0
_MAX_MESSAGE = 4 << 20
_WITHOUT_KEY = frozenset({401, 402})
_FATAL = frozenset({400, 401, 402, 405, 406, 410})  # the same request will not fare better


class Refused(TickgateError):
    """The gateway does not accept what was asked of it."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(code, reason)

    def __str__(self) -> str:
        hint = "; give a key with --api-key" if self.code in _WITHOUT_KEY else ""
        return f"the gateway refused: {self.reason} (code {self.code}){hint}"


class NobodyReads(Exception):
    """The other end of the pipe on stdout was closed: ``tickgate watch … | head`` has enough."""


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Watch until Ctrl-C, or until nobody reads the pipe any more."""
    symbols = tuple(word.upper() for word in arguments.words)
    watch = Watch(loaded.values, symbols)
    try:
        asyncio.run(watch.run())
    except ExceptionGroup as failures:
        refused, others = failures.split(Refused)
        if refused is not None:
            raise refused.exceptions[0] from None
        _, others = others.split(NobodyReads) if others is not None else (None, None)
        if others is not None:
            raise
        # What is still in the buffer must not fail when the interpreter flushes it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


class Watch:
    """One terminal's view of a gateway; connects again for as long as it runs."""

    def __init__(self, settings: Settings, symbols: tuple[str, ...]) -> None:
        self._base = settings.url.rstrip("/")
        self._key, _, self._secret = settings.api_key.partition(":")
        self._symbols = symbols
        self._board = Board(symbols)
        self._status = f"connecting to {self._base}"
        self._live = sys.stdout.isatty()

    async def run(self) -> None:
        """Until a signal.

        Raises:
            ExceptionGroup: of :class:`Refused`, or of :class:`NobodyReads`.
        """
        stop = StopRequest()
        with stop_on_signals(stop):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._follow(), name="follow")]
                if self._live:
                    tasks.append(group.create_task(self._draw(), name="draw"))
                await stop.wait()
                for task in tasks:
                    task.cancel()

    async def _follow(self) -> None:
        """Keep a connection; full-jitter back-off between attempts, anew after a good one."""
        attempt = 0
        while True:
            try:
                async with self._connect() as socket:
                    attempt = 0
                    await self._session(socket)
                reason = "the gateway closed the connection"
            except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as exc:
                reason = str(exc) or type(exc).__name__
            attempt += 1
            self._tell(f"{self._base}: {reason}; trying again")
            longest_s = min(_RETRY_CAP_S, _FIRST_RETRY_S * 2 ** min(attempt, 10))
            await asyncio.sleep(random.uniform(0.1, longest_s))

    def _connect(self) -> connect:
        return connect(
            self._base.replace("http", "ws", 1) + "/v1/stream",
            max_size=_MAX_MESSAGE,
            proxy=None,
            open_timeout=_HTTP_S,
        )

    async def _session(self, socket: ClientConnection) -> None:
        if self._key:
            await _send(socket, {"action": "auth", "key": self._key, "secret": self._secret})
        channels = ("trades", "bars", "updatedBars", "runningBars")
        request = dict.fromkeys(channels, self._symbols)
        await _send(socket, {"action": "subscribe", **request, "snapshot": True})
        await self._take_references()
        self._board.stale.clear()  # what is stale now is told
        self._tell(f"live from {self._base}", quiet=True)
        async for payload in socket:
            now_ms = time.time_ns() / 1e6
            for message in msgspec.json.decode(payload):
                self._take(message, now_ms)

    def _take(self, message: dict[str, Any], now_ms: float) -> None:
        if message.get("T") == "error":
            code, reason = message.get("code", 0), message.get("msg", "")
            if code in _FATAL:
                raise Refused(code, reason)
            self._tell(f"the gateway says: {reason}")
        elif message.get("T") == "stale":
            news = self._board.hear(message)
            if not self._live:
                complain(f"tickgate watch: {news}")
        text = self._board.apply(message, now_ms)
        if text and not self._live:
            _print(text)

    async def _take_references(self) -> None:
        """The day's opens, for the change; the table does without them when they cannot be had."""
        names = [symbol for symbol in self._symbols if symbol != "*"]
        if not names or not self._live:
            return
        headers = {"Authorization": f"Bearer {self._key}:{self._secret}"} if self._key else {}
        timeout = aiohttp.ClientTimeout(total=_HTTP_S)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
            async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
                params = {"symbols": ",".join(names)}
                async with session.get(self._base + "/v1/snapshots", params=params) as answer:
                    found = msgspec.json.decode(await answer.read())
            for name, snapshot in found.get("snapshots", {}).items():
                if day := (snapshot or {}).get("dailyBar"):
                    self._board.refer(name, day["o"])

    async def _draw(self) -> None:
        with Live(console=Console(), auto_refresh=False, screen=False) as live:
            while True:
                live.update(self._table(), refresh=True)
                await asyncio.sleep(_REDRAW_S)

    def _table(self) -> Table:
        caption = " · ".join((self._status, *self._board.stale.values()))
        table = Table(caption=caption, caption_justify="left", expand=False)
        for name in _COLUMNS:
            table.add_column(name, justify="left" if name == "symbol" else "right", no_wrap=True)
        for line in list(self._board.lines.values()):
            style = {1: "green", -1: "red"}.get(line.move, "")
            table.add_row(*cells(line), style=style)
        return table

    def _tell(self, status: str, *, quiet: bool = False) -> None:
        """Show *status* below the table; beside a pipe on stderr, once when it is new."""
        if status != self._status and not self._live and not quiet:
            complain(f"tickgate watch: {status}")
        self._status = status


def _print(text: str) -> None:
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError as exc:  # as an OSError it would pass for a lost connection
        raise NobodyReads from exc


async def _send(socket: ClientConnection, message: dict[str, Any]) -> None:
    await socket.send(msgspec.json.encode(message), text=True)
