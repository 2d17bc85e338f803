"""A tickgate of three roles between two venues and the SDKs: one of stocks, and one of coins."""

import asyncio
import contextlib
import hashlib
import signal
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from core.market.bar import Bar, BarRow
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from storage.bars import BarStore, FlushBatch
from storage.database import Database
from storage.migrations import migrate
from tests.clocks import wall_ns
from tests.conftest import find_free_port
from tests.fakes.alpaca import KEY, SECRET, FakeAlpaca, cancel, correction, fake_alpaca, trade
from tests.integration.system.programs import running
from tests.integration.system.roles import Deployment, Role, alive
from tests.property.aggregator.harness import oracle

STEP_NS: Final = 4 * 10**9  # less than the 5 s that a trade may be ahead of feed time
STOCKS: Final = {"AAPL": Symbol("NASDAQ:AAPL"), "MSFT": Symbol("NASDAQ:MSFT")}
COINS: Final = {"BTC/USD": Symbol("COIN:BTC-USD"), "ETH/USD": Symbol("COIN:ETH-USD")}
PAST: Final = [f"PAST{number}" for number in range(3)]
PAST_NS: Final = 1_700_006_400 * 10**9 // DAY_NS * DAY_NS  # 2023-11-15
PAST_MINUTES: Final = 4_200  # of each: more bars than a page has, over three days


class Market:
    """What is fed in, and the means to feed it; ``ticks`` are all trades by symbol."""

    def __init__(self, deployment: Deployment, port: int) -> None:
        self.port = port
        self.ticks: dict[Symbol, list[Tick]] = {s: [] for s in (STOCKS | COINS).values()}
        self.stocks: FakeAlpaca
        self.coins: FakeAlpaca
        self.past = past_bars()
        self._deployment = deployment
        self.gateway: Role
        self.gateway_stack = AsyncExitStack()
        begin_ns = (wall_ns() - 30 * MINUTE_NS) // MINUTE_NS * MINUTE_NS
        self._at_ns = {True: begin_ns, False: begin_ns}  # of stocks, of coins
        self._told_ns = {True: 0, False: 0}  # when, by the monotonic clock
        self._ident = 9_007_199_254_740_993  # beyond what a float holds: ids are integers

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start_gateway(self) -> None:
        """Start it, and wait until it answers."""
        await self.begin_gateway()
        await up(self.gateway)

    async def begin_gateway(self) -> None:
        """Start it."""
        digest = hashlib.sha256(SECRET.encode()).hexdigest()
        arguments = (
            *("gateway", "--port", str(self.port), "--api-keys", f"{KEY}:{digest}"),
            *("--redis-url", self._deployment.redis_url),
            *("--database-url", self._deployment.database_url),
            *("--namespace", self._deployment.namespace, "--http-requests-per-min", "10000"),
        )
        self.gateway = await self.gateway_stack.enter_async_context(
            running(*arguments, program=Role)
        )
        self.gateway.url = self.http

    async def kill_gateway(self) -> None:
        """As the kernel does, without a word to its clients."""
        await self.gateway.stop(number=signal.SIGKILL)
        await self.gateway_stack.aclose()

    async def trade(self, name: str, *, late_ns: int = 0, step_ns: int = STEP_NS) -> Tick:
        """A trade on the venue of *name*, a step later than the one before it.

        Feed time goes on between them by the clock, so event time does, too.
        """
        self._ident += 1
        stocks, now_ns = name in STOCKS, time.monotonic_ns()
        passed_ns = now_ns - self._told_ns[stocks]
        if self._told_ns[stocks] and not late_ns:
            self._at_ns[stocks] += max(step_ns, passed_ns)
        self._told_ns[stocks] = now_ns
        symbol = (STOCKS | COINS)[name]
        size = 100.0 + self._ident % 7 if stocks else (1 + self._ident % 9) / 8
        side = Side.BUY if self._ident % 2 else Side.SELL
        at_ns = self._at_ns[stocks] + self._ident % 1_000_000 - late_ns
        tick = Tick(symbol, self._ident, 100 + self._ident % 11 / 8, size, at_ns, side, self._ident)
        self.ticks[symbol].append(tick)
        message = trade(name, tick.trade_id, price=tick.price, size=size, at_ns=at_ns)
        if not stocks:
            message |= {"tks": "B" if side is Side.BUY else "S"}
        await (self.stocks if stocks else self.coins).push(message)
        return tick

    async def correct(self, name: str, tick: Tick) -> Correction:
        """The price of *tick* was another."""
        self._ident += 1
        new = (self._ident, tick.price + 0.5, tick.size + 1)
        said = Correction(
            tick.symbol, self._at_ns[True], tick.trade_id, tick.price, tick.size, *new
        )
        old = (tick.trade_id, tick.price, tick.size)
        await self.stocks.push(correction(name, old, new, at_ns=self._at_ns[True]))
        some = self.ticks[tick.symbol]
        replaced = Tick(tick.symbol, new[0], new[1], new[2], tick.event_ns, tick.side, tick.seq)
        some[some.index(tick)] = replaced
        return said

    async def cancel(self, name: str, tick: Tick) -> Cancel:
        """*tick* never was."""
        said = Cancel(tick.symbol, self._at_ns[True], tick.trade_id, tick.price, tick.size)
        message = cancel(
            name, tick.trade_id, price=tick.price, size=tick.size, at_ns=self._at_ns[True]
        )
        await self.stocks.push(message)
        self.ticks[tick.symbol].remove(tick)
        return said

    def bars(self, symbol: Symbol) -> dict[int, Bar]:
        """The right 1-minute bars of what was fed in, by their start."""
        return {
            start_ns: Bar(symbol, timeframe, start_ns, *facts[:4], facts[5], facts[4], facts[6])
            for (_, timeframe, start_ns), facts in oracle(self.ticks[symbol]).items()
            if timeframe is Timeframe.MIN_1
        }


async def up(role: Role) -> None:
    """Wait until *role* answers; longer than others do, as five programs start at once."""
    for _ in range(2):
        with contextlib.suppress(TimeoutError):
            return await alive(role)
    return await alive(role)


def past_bars() -> dict[str, list[Bar]]:
    """Bars of three more stocks, of long ago; their prices tell which is which."""
    return {
        name: [
            Bar(
                symbol=Symbol(f"NASDAQ:{name}"),
                timeframe=Timeframe.MIN_1,
                start_ns=PAST_NS + minute * MINUTE_NS,
                open=100.0 + minute / 8,
                high=101.0 + minute / 8,
                low=99.0 + minute / 8,
                close=100.5 + minute / 8,
                volume=200.0 + number,
                trades=3,
                vwap=100.25 + minute / 8,
            )
            for minute in range(PAST_MINUTES)
        ]
        for number, name in enumerate(PAST)
    }


def rolled(parts: Sequence[Bar], timeframe: Timeframe = Timeframe.MIN_1) -> Bar:
    """One bar of what *parts* are the minutes of."""
    volume = sum(part.volume for part in parts)
    return Bar(
        symbol=parts[0].symbol,
        timeframe=timeframe,
        start_ns=parts[0].start_ns,
        open=parts[0].open,
        high=max(part.high for part in parts),
        low=min(part.low for part in parts),
        close=parts[-1].close,
        volume=volume,
        trades=sum(part.trades for part in parts),
        vwap=sum(part.vwap * part.volume for part in parts) / volume,
    )


async def store(database_url: str, bars: Iterable[Bar]) -> None:
    """Put *bars* where the aggregator would."""
    database = Database(database_url, min_size=1)
    await database.open()
    try:
        rows = [
            BarRow(bar, (0, 0), (0, 0), (bar.volume,), (bar.vwap * bar.volume,)) for bar in bars
        ]
        await BarStore(database).flush(FlushBatch(rows=rows, checkpoints=[], last_trades=[]))
    finally:
        await database.close()


@asynccontextmanager
async def opened(redis_url: str, database_url: str, namespace: str) -> AsyncIterator[Market]:
    """All of it, until the block ends."""
    await migrate(database_url)
    deployment = Deployment(redis_url=redis_url, database_url=database_url, namespace=namespace)
    market = Market(deployment, find_free_port())
    await store(database_url, [bar for bars in market.past.values() for bar in bars])
    first = market.past[PAST[0]]
    quarters = range(0, PAST_MINUTES, 15)
    await store(database_url, [rolled(first[at : at + 15], Timeframe.MIN_15) for at in quarters])
    async with AsyncExitStack() as stack:
        market.stocks = await stack.enter_async_context(fake_alpaca())
        market.coins = await stack.enter_async_context(fake_alpaca())
        login = f"key={KEY}&secret={SECRET}&encoding=msgpack"
        names = {"NASDAQ": ",".join(STOCKS), "COIN": ",".join(COINS)}
        ingest = await stack.enter_async_context(
            deployment.ingest(
                f"alpaca:{names['NASDAQ']}?venue=NASDAQ&class=stock&url={market.stocks.url}&{login}",
                f"alpaca:{names['COIN']}?venue=COIN&url={market.coins.url}&{login}",
            )
        )
        aggregate = await stack.enter_async_context(deployment.aggregate())
        stack.push_async_callback(market.gateway_stack.aclose)
        await market.begin_gateway()
        for role in (ingest, aggregate, market.gateway):
            await up(role)
        async with asyncio.timeout(60):
            while not (market.stocks.subscribed and market.coins.subscribed):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield market
