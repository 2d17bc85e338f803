"""A desk with an aggregator that runs: commands are given as in a shell, files lie in a folder."""

import asyncio
import contextlib
import io
import math
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.market.bar import Bar
from core.market.bar_range import BarRange
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from storage.bars import BarStore
from tests.integration.aggregator.rig import SHARDS, Rig
from tests.own_log import own_log
from tickgate import cli

Key = tuple[Symbol, Timeframe, int]
HEADER = "symbol,trade_id,event_ns,side,price,size\n"
SIDES = {Side.UNKNOWN: "", Side.BUY: "buy", Side.SELL: "sell"}
ALL_TIME = ("--start", "1990-01-01", "--end", "2261-01-01")


@dataclass
class Desk:
    """Commands run in a thread of this process, as they have loops of their own."""

    rig: Rig
    store: BarStore
    folder: Path

    async def tickgate(self, *argv: str) -> tuple[int, str]:
        """Exit code, and what was said on either channel."""
        words = [*argv, "--database-url", self.rig.database_url, "--shards", str(SHARDS)]
        if argv[0] == "import":
            words += ["--redis-url", self.rig.redis_url, "--namespace", self.rig.namespace]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), _unchanged():
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

    async def bars(self, *symbols: Symbol) -> dict[Key, Bar]:
        """What is stored of *symbols*."""
        span = {"start_ns": 0, "end_ns": 2**62, "limit": 10_000}
        found = [
            bar
            for timeframe in Timeframe
            for bar in await self.store.page(
                BarRange(symbols=symbols, resolution=Resolution.of(timeframe), **span)
            )
        ]
        return {(bar.symbol, bar.timeframe, bar.start_ns): bar for bar in found}

    async def logged(self, *symbols: Symbol) -> int:
        """How many ticks of *symbols* are logged."""
        log = self.store.tick_log(shards=SHARDS)
        return sum([1 for symbol in symbols async for _ in log.ticks(symbol, 0, 2**62)])


def replay_file(ticks: Sequence[Tick]) -> str:
    """*ticks* as a replay reads them."""
    rows = [
        f"{t.symbol.partition(':')[2]},{t.trade_id},{t.event_ns},{SIDES[t.side]},{t.price!r},{t.size!r}\n"
        for t in ticks
    ]
    return HEADER + "".join(rows)


def are_alike(these: Mapping[Key, Bar], those: Mapping[Key, Bar]) -> bool:
    """Do two symbols have the same bars: minutes to the last bit, longer ones but for rounding?

    These are made from the sums of minutes, which are rounded in a file.
    """
    one, other = ({key[1:]: bar for key, bar in bars.items()} for bars in (these, those))
    return one.keys() == other.keys() and all(
        _are_alike(bar, other[window]) for window, bar in one.items()
    )


def _are_alike(one: Bar, other: Bar) -> bool:
    plain = [(bar.open, bar.high, bar.low, bar.close, bar.trades) for bar in (one, other)]
    slack = 0.0 if one.timeframe is Timeframe.MIN_1 else 1e-12
    return plain[0] == plain[1] and all(
        math.isclose(mine, yours, rel_tol=slack)
        for mine, yours in ((one.volume, other.volume), (one.vwap, other.vwap))
    )


@contextlib.asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[BarStore]:
    """An aggregator, as long as the block, and its store."""
    async with rig.store() as store, asyncio.TaskGroup() as group:
        service = rig.make_service(store)
        group.create_task(service.run())
        yield store
        service.begin_drain()


@contextlib.contextmanager
def _unchanged() -> Iterator[None]:
    """Commands set up the log of their process; that and the environment are left as they were."""
    environ = dict(os.environ)
    with own_log():
        yield
    assert dict(os.environ) == environ
