"""A desk with an aggregator that runs: commands are given as in a shell, files lie in a folder."""

import asyncio
import contextlib
import io
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.market.bar import Bar
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from tests.integration.aggregator.rig import SHARDS, Rig
from tickgate import cli

HEADER = "symbol,trade_id,event_ns,side,price,size\n"
SIDES = {Side.UNKNOWN: "", Side.BUY: "buy", Side.SELL: "sell"}
ALL_TIME = ("--start", "1990-01-01", "--end", "2261-01-01")


@dataclass
class Desk:
    """Commands run in a thread of this process, as they have loops of their own."""

    rig: Rig
    folder: Path

    async def tickgate(self, *argv: str) -> tuple[int, str]:
        """Exit code, and what was said on either channel."""
        words = [*argv, "--database-url", self.rig.database_url, "--shards", str(SHARDS)]
        if argv[0] == "import":
            words += ["--redis-url", self.rig.redis_url, "--namespace", self.rig.namespace]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), _own_log():
            code = await asyncio.to_thread(cli.main, words)
        return code, said.getvalue()

    async def done(self, *argv: str) -> str:
        """As :meth:`tickgate`, of a command that must be right."""
        code, said = await self.tickgate(*argv)
        assert code == 0, said
        return said

    def file(self, name: str, text: str) -> str:
        """Write a file; its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def text(self, name: str) -> str:
        """What a file holds."""
        return (self.folder / name).read_text(encoding="utf-8")

    async def bars(self, *symbols: str) -> dict[tuple[str, Timeframe, int], Bar]:
        """What is stored of *symbols*."""
        stored = await self.rig.stored()
        return {(b.symbol, b.timeframe, b.start_ns): b for b in stored if b.symbol in symbols}


def replay_file(ticks: Sequence[Tick]) -> str:
    """*ticks* as a replay reads them."""
    rows = [
        f"{t.symbol.partition(':')[2]},{t.trade_id},{t.event_ns},{SIDES[t.side]},{t.price!r},{t.size!r}\n"
        for t in ticks
    ]
    return HEADER + "".join(rows)


def values(bars: Mapping[tuple[str, Timeframe, int], Bar]) -> dict[tuple[Timeframe, int], object]:
    """What must not change on the way through a file, exactly, by window."""
    return {
        (timeframe, start_ns): (b.open, b.high, b.low, b.close, b.volume, b.trades, b.vwap)
        for (_, timeframe, start_ns), b in bars.items()
    }


@contextlib.asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[None]:
    """An aggregator, as long as the block."""
    async with rig.store() as store, asyncio.TaskGroup() as group:
        service = rig.make_service(store)
        group.create_task(service.run())
        yield
        service.begin_drain()


@contextlib.contextmanager
def _own_log() -> Iterator[None]:
    """Commands set up the log of their process; it is left as it was."""
    root = logging.getLogger()
    handlers, level, environ = list(root.handlers), root.level, dict(os.environ)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        sys.excepthook = sys.__excepthook__
        assert dict(os.environ) == environ
