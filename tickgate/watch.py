"""`tickgate watch SYMBOL…`: a live table in the terminal, or lines into a pipe."""

import asyncio
import contextlib
import math
import os
import sys
import time
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from core.market.errors import TickgateError
from core.runtime.config import Loaded
from core.runtime.supervisor import StopRequest, stop_on_signals
from tickgate.arguments import Arguments, UsageError
from tickgate.board import Board
from tickgate.client import (
    AuthFailed,
    Backoff,
    Client,
    ClientError,
    Message,
    Stale,
    State,
    Stream,
    SymbolRefused,
    connect,
)
from tickgate.client import Refused as ClientRefused
from tickgate.client.address import shown
from tickgate.output import complain
from tickgate.settings import Settings

_REDRAW_S = 0.25
_BACKOFF = Backoff(first_s=0.5)
_HTTP_S = 3.0  # the end of the program may have to wait for it
_NO_KEY = 401
_NOT_PERMITTED = 409
_CHANNELS: Final = ("trades", "bars", "updated_bars", "running_bars")


class Refused(TickgateError):
    """The gateway does not accept what was asked of it."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(code, reason)

    def __str__(self) -> str:
        hint = "; give a key with --api-key" if self.code == _NO_KEY else ""
        return f"the gateway refused: {self.reason} (code {self.code}){hint}"


class NobodyReads(Exception):
    """The other end of the pipe on stdout was closed: ``tickgate watch … | head`` has enough."""


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Watch until Ctrl-C, or until nobody reads the pipe any more."""
    for word in arguments.words:
        if not word.isprintable():  # nor can it be sent, if it is no UTF-8
            raise UsageError(f"{word!r}: expected a symbol such as COINBASE:BTC-USD")
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
        self._settings = settings
        self._base = shown(settings.url).rstrip("/")
        self._key, _, self._secret = settings.api_key.partition(":")
        self._symbols = symbols
        self._is_new = asyncio.Event()  # there is a connection since somebody looked
        self._board = Board(symbols)
        self._status = f"connecting to {self._base}"
        self._limits = ""  # what the key does not permit, in words
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
                    tasks.append(group.create_task(self._refer(), name="refer"))
                await stop.wait()
                for task in tasks:
                    task.cancel()

    async def _follow(self) -> None:
        try:
            async with connect(
                self._settings.url,
                key=self._key,
                secret=self._secret,
                first_s=math.inf,
                backoff=_BACKOFF,
                heartbeat_s=self._settings.heartbeat_s,
                on_state=self._on_state,
            ) as stream:
                await self._subscribe(stream)
                async for message in stream:
                    self._take(message)
        except AuthFailed as exc:
            raise Refused(exc.code, exc.reason.removesuffix(f" (code {exc.code})")) from exc

    async def _subscribe(self, stream: Stream) -> None:
        """All channels; where the key does not permit them together, those that it does."""
        refusal = await self._ask(stream, *_CHANNELS)
        if refusal is None:
            return
        if refusal.code == _NOT_PERMITTED:
            left_out = [name for name in _CHANNELS if await self._ask(stream, name) is not None]
            if left_out != list(_CHANNELS):
                self._limits = f"not permitted to this key: {', '.join(left_out)}"
                if not self._live:
                    complain(f"tickgate watch: {self._limits}")
                return
        raise Refused(refusal.code, refusal.reason) from refusal

    async def _ask(self, stream: Stream, *channels: str) -> SymbolRefused | None:
        """Subscribe to *channels*; returns why they are refused, if they are."""
        wanted = dict.fromkeys(channels, self._symbols)
        while True:
            try:
                await stream.subscribe(snapshot=True, **wanted)
                return None
            except SymbolRefused as exc:
                return exc
            except ClientRefused as exc:  # it failed at the gateway, which is to be asked again
                self._tell(f"the gateway says: {exc.reason}")

    def _take(self, message: Message) -> None:
        if isinstance(message, Stale):
            news = self._board.hear(message)
            if not self._live:
                complain(f"tickgate watch: {news}")
        text = self._board.apply(message, time.time_ns() / 1e6)
        if text and not self._live:
            _print(text)

    def _on_state(self, state: State) -> None:
        if state.phase == "live":
            self._board.stale.clear()  # what is stale now is told
            self._is_new.set()
            self._tell(f"live from {self._base}", quiet=True)
        elif state.phase == "lost":
            self._tell(f"{self._base}: {state.reason}; trying again")

    async def _refer(self) -> None:
        """The day's opens, for the change; the table does without them when they cannot be had."""
        url, key, secret = self._settings.url, self._key, self._secret
        client = Client(url, key=key, secret=secret, timeout_s=_HTTP_S, retries=0)
        names = [symbol for symbol in self._symbols if symbol != "*"]
        while names:
            await self._is_new.wait()
            self._is_new.clear()
            with contextlib.suppress(ClientError):
                found = await asyncio.to_thread(client.snapshots, names)
                for name, snapshot in found.items():
                    if snapshot.daily_bar is not None:
                        self._board.refer(name, snapshot.daily_bar.open)

    async def _draw(self) -> None:
        console = Console()
        with Live(console=console, auto_refresh=False, screen=False) as live:
            while True:
                status = " · ".join(filter(None, (self._status, self._limits)))
                live.update(draw(self._board, status, console.width), refresh=True)
                await asyncio.sleep(_REDRAW_S)

    def _tell(self, status: str, *, quiet: bool = False) -> None:
        """Show *status* below the table; beside a pipe on stderr, once when it is new."""
        if status != self._status and not self._live and not quiet:
            complain(f"tickgate watch: {status}")
        self._status = status


def draw(board: Board, status: str, width: int) -> Table:
    """The table for a terminal of *width* characters, with *status* and what is stale below it."""
    caption = " · ".join((status, *board.stale.values()))
    table = Table(caption=caption, caption_justify="left", expand=False)
    columns, rows = board.table(width)
    for name in columns:
        table.add_column(name, justify="left" if name == "symbol" else "right", no_wrap=True)
    for line, row in zip(board.lines.values(), rows, strict=True):
        table.add_row(*row, style={1: "green", -1: "red"}.get(line.move, ""))
    return table


def _print(text: str) -> None:
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError as exc:  # as an OSError it would pass for a lost connection
        raise NobodyReads from exc
