"""An installation of a seed: real roles on real servers, each way between them through a proxy."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psycopg

from tests.conftest import find_free_port
from tests.faults import oracle
from tests.faults.checker import (
    Facts,
    Key,
    Verdict,
    check_agreement,
    check_bars,
    check_overlap,
    check_revisions,
    check_sequence,
)
from tests.faults.load import Trade, arrival_order, write_file
from tests.faults.proxy import Proxy
from tests.faults.roles import PLAIN, Role
from tests.faults.servers import Servers
from tests.faults.subscribers import Subscriber
from tests.integration.system.market import facts as facts_of
from tests.integration.system.market import history
from tests.redis_servers import Watched

INGEST, AGGREGATOR, GATEWAY, CLIENT = "ingest", "aggregator", "gateway", "client"
REDIS, DATABASE = "redis", "database"
POLL_S = 0.05
_CALLERS = 16  # connections at a time
_HISTORY_S = 15.0
_ON_ITS_WAY_S = 0.2  # what was sent before a fault may still come so much later
_ASK_S = 2.0  # bound of one question to the database
_TABLES = {"1Min": "bars_1min", "5Min": "bars_5min", "15Min": "bars_15min"}
_BARS_OF = """
    SELECT symbol, extract(epoch FROM time)::bigint * 1000000000,
           open, high, low, close, trades, volume, vwap
    FROM {}
"""
_TOTALS = " UNION ALL ".join(
    f"SELECT count(*), coalesce(sum(trades), 0) FROM {table}" for table in _TABLES.values()
)


@dataclass(kw_only=True)
class Plan:
    """What a fault may change before the roles start."""

    folder: Path
    load: list[Trade]
    delivered: list[Trade] | None = None
    """What the file says, where that is not :attr:`load`."""
    load_s: float = 4.0
    feeds: int = 1
    ingests: int = 1
    aggregators: int = 1
    workers: int = 1
    module: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by role
    arguments: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by role


@dataclass(eq=False)
class Installation:
    """The roles of one seed, what a fault may do to them, and what came out."""

    plan: Plan
    servers: Servers
    database_url: str
    namespace: str
    watched: Watched | None
    hits: "Counter[str]" = field(default_factory=Counter)
    links: dict[str, Proxy] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    readers: list[Subscriber] = field(default_factory=list)
    lifted_s: float | None = None
    """When what stood in the way was gone, or, where nothing has to go, when the fault struck."""
    _recovered_s: float | None = None
    _longest_s: float = 0.0
    _truth: dict[Key, Facts] = field(default_factory=dict)
    _asking: "psycopg.AsyncConnection | None" = None
    _totals: tuple[int, int] = (0, 0)  # bars and trades in them, as last seen in the database

    # -- for faults

    def hit(self, what: str, count: int = 1) -> None:
        """Take down that the fault really happened."""
        self.hits[what] += count

    def lifted(self) -> None:
        """From now on nothing stands in the way; of several times the longest recovery counts."""
        self._longest_s = max(self._longest_s, self._recovered_s or 0.0)
        self.lifted_s, self._recovered_s = asyncio.get_running_loop().time(), None

    @property
    def recovered_s(self) -> float | None:
        """How long it took until trades and bars flowed again; None while they do not."""
        return None if self._recovered_s is None else max(self._longest_s, self._recovered_s)

    async def reaches(self, share: float) -> None:
        """Wait until a subscriber has got so much of the trades."""
        wanted = share * self._unique
        await self.until(lambda: self.readers[0].count >= wanted, timeout_s=20)

    @contextlib.asynccontextmanager
    async def callers(self) -> AsyncIterator[None]:
        """Connections that come and go, and ask the gateway for something large."""
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._ask_on(), name="callers")
            yield
            asking.cancel()

    async def _ask_on(self) -> None:
        while True:
            writers: list[asyncio.StreamWriter] = []
            for _ in range(_CALLERS):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self._gateway_port)
                    writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    writers.append(writer)
            await asyncio.sleep(POLL_S)
            for writer in writers:
                writer.close()

    async def until(self, condition: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait for what cannot be awaited itself.

        Raises:
            TimeoutError: it did not come.
        """
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - other processes set no event
                await asyncio.sleep(POLL_S)

    def links_to(self, *ends: str) -> list[Proxy]:
        """The ways that have one of *ends* as an end."""
        return [link for name, link in self.links.items() if {*name.split("-")} & {*ends}]

    # -- life

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start all, the feed once all subscribers are there."""
        self._truth = oracle.bars(self.plan.load)
        self._unique = len(set(self.plan.load))
        delivered = self.plan.delivered or self.plan.load
        span_s = (max(t.time_ns for t in delivered) - delivered[0].time_ns) / 1e9
        path = write_file(self.plan.folder / "trades.csv", delivered)
        feed = f"replay:{path}?speed={span_s / self.plan.load_s:.3f}&start=subscribed"
        async with contextlib.AsyncExitStack() as stack:
            await self._open_links(stack)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            self._make_roles(feed)
            feeding = {name for name in self.roles if name.startswith(INGEST)}
            tasks = [
                group.create_task(role.run())
                for name, role in self.roles.items()
                if name not in feeding
            ]
            self._make_readers()
            tasks += [group.create_task(reader.run()) for reader in self.readers]
            tasks.append(group.create_task(self._watch()))
            try:
                for reader in self.readers:
                    async with asyncio.timeout(30):
                        await reader.subscribed.wait()
                tasks += [group.create_task(self.roles[name].run()) for name in sorted(feeding)]
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await self._hang_up()

    async def _open_links(self, stack: contextlib.AsyncExitStack) -> None:
        aggregators = [_numbered(AGGREGATOR, n) for n in range(self.plan.aggregators)]
        ways = {f"{role}-{DATABASE}": self.database_url for role in (*aggregators, GATEWAY)}
        if self.watched is None:
            for role in (INGEST, AGGREGATOR, GATEWAY):
                ways[f"{role}-{REDIS}"] = self.servers.valkey.url
        self._gateway_port = find_free_port()
        ways[f"{CLIENT}-{GATEWAY}"] = f"http://127.0.0.1:{self._gateway_port}"
        for name, url in ways.items():
            self.links[name] = await stack.enter_async_context(Proxy(url).running())

    def _make_roles(self, feed: str) -> None:
        feeds = [word for _ in range(self.plan.feeds) for word in ("--feed", feed)]
        workers = ["--workers", str(self.plan.workers)]
        for n in range(self.plan.ingests):
            self._add(INGEST, n, "ingest", *feeds)
        for n in range(self.plan.aggregators):
            words = self._database(_numbered(AGGREGATOR, n))
            self._add(AGGREGATOR, n, "aggregate", *words)
        port = str(self._gateway_port)
        words = ("--port", port, "--heartbeat-s", "1", *workers, *self._database(GATEWAY))
        self._add(GATEWAY, 0, "gateway", *words)

    def _add(self, role: str, n: int, command: str, *words: str) -> None:
        name = _numbered(role, n)
        link = self.links.get(f"{role}-{REDIS}")
        url = self.watched.url if self.watched is not None else link.url if link else ""
        more = self.plan.arguments.get(role, ())
        self.roles[name] = Role(
            name,
            (command, "--redis-url", url, "--namespace", self.namespace, *words, *more),
            self.plan.folder / f"{name}.log",
            self.plan.module.get(role, PLAIN),
        )

    def _database(self, role: str) -> tuple[str, ...]:
        url = self.links[f"{role}-{DATABASE}"].url
        return ("--database-url", url, "--db-acquire-timeout-s", "1")

    def _make_readers(self) -> None:
        port = self.links[f"{CLIENT}-{GATEWAY}"]
        address = f"ws://{port.host}:{port.port}"
        bars = {f"{kind}{tf}": ["*"] for kind in ("bars", "updatedBars")
                for tf in ("", "5Min", "15Min")}  # fmt: skip
        some = sorted({trade.symbol for trade in self.plan.load})[:3]
        self.readers = [
            Subscriber("all trades", address, {"trades": ["*"]}),
            Subscriber("all bars", address, {"trades": some, **bars}, encoding="msgpack"),
        ]
        self._named = some

    # -- watching

    async def _watch(self) -> None:
        """Follow the totals in the database; tell when trades and bars flow again."""
        steps = Counter[str]()
        before = {"trades": 0, "bars": 0}
        while True:
            await asyncio.sleep(POLL_S)
            await self._ask_totals()
            now = {"trades": self.readers[0].count, "bars": self._totals[1]}
            now_s = asyncio.get_running_loop().time()
            waits = self.lifted_s is not None and self._recovered_s is None
            if not waits or now_s - self.lifted_s < _ON_ITS_WAY_S:
                before, steps = now, Counter[str]()
                continue
            steps.update(name for name in now if now[name] != before[name])
            before = now
            if min(steps["trades"], steps["bars"]) >= 2 or self._all_there():
                self._recovered_s = now_s - self.lifted_s

    async def _ask_totals(self) -> None:
        try:
            async with asyncio.timeout(_ASK_S):
                if self._asking is None or self._asking.closed:
                    self._asking = await psycopg.AsyncConnection.connect(
                        self.database_url, autocommit=True
                    )
                rows = await (await self._asking.execute(_TOTALS)).fetchall()
        except (psycopg.Error, OSError, TimeoutError):
            await self._hang_up()
        else:
            self._totals = sum(row[0] for row in rows), int(sum(row[1] for row in rows))

    async def _hang_up(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            await asking.close()

    def _all_there(self) -> bool:
        right = (len(self._truth), sum(bar[4] for bar in self._truth.values()))
        trades, bars = self.readers
        return (
            self._totals == right
            and (trades.count >= self._unique or bool(trades.gapped))
            and (len(bars.bars) == right[0] or bool(bars.gapped))
            and (sum(bar[4] for bar in bars.bars.values()) == right[1] or bool(bars.gapped))
        )

    async def complete(self, *, timeout_s: float) -> bool:
        """Wait until everything is there; False when it did not come."""
        try:
            await self.until(self._all_there, timeout_s=timeout_s)
        except TimeoutError:
            return False
        if self.lifted_s is not None and self._recovered_s is None:
            self._recovered_s = asyncio.get_running_loop().time() - self.lifted_s
        return True

    # -- judging

    async def judge(self) -> Verdict:
        """Drain all roles, then hold what is stored and was sent against what is true."""
        verdict = Verdict()
        told = await self._history()
        for reader in self.readers:
            reader.expect_end()
        for role in self.roles.values():
            await role.stop()
        await asyncio.sleep(POLL_S)  # the last frames are read
        stored = await self._stored_bars()
        check_bars(self._truth, stored, verdict)
        served = {key: facts_of(bar) for key, bar in told.items()}
        check_agreement("the history", stored, served, verdict)
        self._judge_readers(stored, verdict)
        return verdict

    async def _history(self) -> dict[Key, Any]:
        """What `/v1/bars` tells, once a gateway that was just killed is there again."""
        link = self.links[f"{CLIENT}-{GATEWAY}"]
        address = f"http://{link.host}:{link.port}"
        symbols = sorted({trade.symbol for trade in self.plan.load})
        async with asyncio.timeout(_HISTORY_S):
            while True:
                try:
                    return await history(address, symbols)
                except (aiohttp.ClientError, OSError, AssertionError):
                    await asyncio.sleep(POLL_S)

    def _judge_readers(self, stored: dict[Key, Facts], verdict: Verdict) -> None:
        right = arrival_order(self.plan.delivered or self.plan.load)
        trades, bars = self.readers
        for reader, symbols in ((trades, list(right)), (bars, self._named)):
            for symbol in symbols:
                heard = reader.of(symbol)
                if self.plan.feeds > 1:
                    check_overlap(reader.name, symbol, right[symbol], heard, verdict)
                else:
                    check_sequence(reader.name, symbol, right[symbol], heard, verdict)
        check_agreement(bars.name, stored, bars.bars, verdict, excused=bars.gapped)
        check_revisions(bars.name, bars.published, verdict)

    async def _stored_bars(self) -> dict[Key, Facts]:
        found: dict[Key, Facts] = {}
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            for name, table in _TABLES.items():
                cursor = await connection.execute(_BARS_OF.format(table))
                for symbol, start_ns, *values in await cursor.fetchall():
                    found[symbol, name, int(start_ns)] = tuple(values)  # type: ignore[assignment]
        return found


def _numbered(role: str, n: int) -> str:
    """The name of the process *n* of a role."""
    return f"{role}-{n + 1}" if n else role
