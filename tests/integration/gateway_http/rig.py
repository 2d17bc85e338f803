"""The gateway's HTTP half on a real port, over a real database and a real Valkey server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from core.market.bar import Bar, BarRow
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from core.runtime.readiness import Readiness
from core.runtime.restarts import Restarts
from gateway.access.admission import Access
from gateway.http.app import build_app
from gateway.http.caching import Caching
from gateway.http.fast_path import FAST_PATH
from gateway.http.page import Page
from gateway.http.protocol import http_protocols
from gateway.keys import ApiKeys
from gateway.market import MarketState
from gateway.silence import Silence
from storage.bars import BarStore, FlushBatch
from storage.database import Database
from storage.keys import StreamKeys
from storage.redis import connect
from storage.roles import RoleBoard
from tests.access import access_of
from tests.clocks import wall_ns

DAY = 1_625_270_400_000_000_000  # 2021-07-03
NOON = DAY + 12 * 3_600_000_000_000


@cache
def installed_page() -> Page:
    """The page as it is installed: read and packed once for all rigs."""
    return Page.installed()


@dataclass(kw_only=True)
class Rig:
    """One gateway; ``now_ns`` stands still unless a test moves it."""

    database: Database
    store: BarStore
    board: RoleBoard
    market: MarketState = field(default_factory=MarketState)
    silence: Silence = field(default_factory=Silence)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    now_ns: int = NOON
    monotonic_offset_ns: int = 0
    base: str = ""
    app: web.Application = field(init=False)
    fast: str = ""  # the same application, answered by the fast path where that can
    server: web.Server = field(init=False)
    session: aiohttp.ClientSession = field(init=False)
    readiness: Readiness = field(init=False)
    restarts: list[Restarts] = field(default_factory=list)  # of the processes beside it

    async def get(self, path: str, **params: str) -> tuple[int, Any]:
        """Status and JSON of an answer; every answer of the API is JSON."""
        async with self.session.get(self.base + path, params=params) as response:
            assert response.content_type == "application/json"
            return response.status, await response.json()

    async def save(self, *bars: Bar) -> None:
        """Store *bars*, and let the gateway know their symbols as its start-up would."""
        rows = [BarRow(bar, (0, 0), (0, 0), (bar.volume,), (bar.vwap,)) for bar in bars]
        await self.store.flush(FlushBatch(rows=rows, checkpoints=[], last_trades=[]))
        self.market.add_symbols([bar.symbol for bar in bars])

    def pass_s(self, seconds: float) -> None:
        """Let the monotonic clock jump, so that what is cached gets old."""
        self.monotonic_offset_ns += int(seconds * 1e9)


@asynccontextmanager
async def running(
    *,
    database_url: str,
    redis_url: str,
    namespace: str,
    keys: str = "",
    page: Page | None = None,
    timeout_s: float = 30.0,
    requests_per_minute: int = 100,
    acquire_timeout_s: float = 5.0,
    access: Access | None = None,
    caching: Caching | None = None,
) -> AsyncIterator[Rig]:
    """A gateway that listens on a free port until the block ends."""
    database = Database(database_url, min_size=1, acquire_timeout_s=acquire_timeout_s)
    await database.open()
    redis = connect(redis_url)
    board = RoleBoard(redis, StreamKeys(namespace), now_ns=wall_ns)
    rig = Rig(database=database, store=BarStore(database), board=board)
    rig.market.complete = True  # as the start-up has read all that is stored: nothing
    rig.readiness = Readiness(lambda: rig.now_ns, "redis", "database")

    def monotonic_ns() -> int:
        return time.monotonic_ns() + rig.monotonic_offset_ns

    if access is None:
        access = access_of(
            ApiKeys.parse(keys), requests_per_minute=requests_per_minute, monotonic_ns=monotonic_ns
        )
    app = build_app(
        market=rig.market,
        bars=rig.store,
        trades=rig.store.trade_pages(shards=16),
        board=board,
        readiness=rig.readiness,
        silence=rig.silence,
        registry=rig.registry,
        access=access,
        now_ns=lambda: rig.now_ns,
        monotonic_ns=monotonic_ns,
        version="1.2.3",
        timeout_s=timeout_s,
        page=page or installed_page(),
        restarts=lambda: rig.restarts,
        caching=caching,
    )
    rig.app = app
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    listener = await asyncio.get_running_loop().create_server(
        http_protocols(runner.server), "127.0.0.1", 0
    )
    rig.base = "http://{}:{}".format(*listener.sockets[0].getsockname())
    rig.server = runner.server
    fast = await asyncio.get_running_loop().create_server(
        http_protocols(runner.server, app.get(FAST_PATH)), "127.0.0.1", 0
    )
    rig.fast = "http://{}:{}".format(*fast.sockets[0].getsockname())
    try:
        async with aiohttp.ClientSession() as rig.session:
            yield rig
    finally:
        listener.close()
        fast.close()
        await runner.cleanup()
        await redis.aclose()
        await database.close()


def bar(symbol: str, minute: int, *, timeframe: Timeframe = Timeframe.MIN_1, **fields: Any) -> Bar:
    """A bar that starts *minute* minutes into 2021-07-03; its price tells which one it is."""
    price = 100.0 + minute
    values: dict[str, Any] = {
        "open": price,
        "high": price + 1,
        "low": price - 1,
        "close": price + 0.5,
        "volume": 2.0,
        "trades": 3,
        "vwap": price,
    }
    start_ns = DAY + minute * 60_000_000_000
    return Bar(Symbol(symbol), timeframe, start_ns, **(values | fields))
