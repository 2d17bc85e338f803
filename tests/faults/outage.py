"""The database slow or away for minutes under load: nothing lost, memory bounded, caught up fast.

``python -m tests.faults.outage --fault stop --minutes 10`` runs the real roles (a sim of 20,000
ticks/s on 500 symbols, the aggregator, a gateway) on servers of its own, takes the database away,
brings it back, and tells what that did: memory of every process, how much waited in the streams,
how long the backlog took and how fast that is, and whether every stored bar is the one that an
independent oracle makes of the streams, which it reads along. Exit code 1 if anything is wrong.

Faults: ``stop`` (SIGSTOP: connections stay, nothing answers), ``kill`` (SIGKILL), ``lock`` (another
session locks the tables), ``slow`` (a proxy passes few bytes a second).

`make faults` runs it with ``--minutes 1``; the full ten minutes take thirteen.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psycopg

from core.market.timeframe import TIMEFRAMES
from storage.bar_tables import TABLES
from storage.embedded import DataDir, PostgresServer, ValkeyServer
from storage.keys import StreamKeys
from storage.migrations import migrate
from storage.redis import command, connect
from tests.faults.outage_oracle import ALLOWED_VWAP, Bars, Oracle, Row
from tests.fix_servers import TcpProxy
from tests.integration.system.programs import Program
from tests.integration.system.roles import Deployment, Role

NAMESPACE = "outage"
SHARDS = 16
WARM_UP_S = 20.0
SETTLE_S = 60.0  # for the last bars to be stored after the end
CAUGHT_UP_S = 1.0  # the newest folded block is no older
MIB = 1 << 20
FAULTS = ("stop", "kill", "lock", "slow")


@dataclass(frozen=True)
class Sample:
    """The state of all at one moment; sizes in MiB, ``at_s`` from the begin of the fault."""

    at_s: float
    rss: dict[str, float]
    cpu_s: dict[str, float]
    redis_used: float
    published: int
    folded: int
    waiting_flushes: int
    lag_s: float
    ready: dict[str, str]  # role: what /readyz says that it waits for


@dataclass
class Figures:
    """What is told in the end."""

    fault: str
    outage_s: float
    rate: float
    symbols: int
    backlog_ticks: int = 0
    drained_s: float = 0.0
    drain_ticks_per_s: float = 0.0
    times_real_time: float = 0.0
    drain_ticks_per_cpu_s: float = 0.0  # of the aggregator: what a core of its own would do
    machine_load: float = 0.0  # processes that wanted to run, a minute's average
    first_fold_s: float = 0.0  # from the database's return to the first tick folded
    memory_mib: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    redis_mib: tuple[float, float, float] = (0.0, 0.0, 0.0)
    oracle_ticks: int = 0
    oracle_holes: int = 0
    lost_blocks: int = 0
    bars: int = 0
    wrong: list[str] = field(default_factory=list)
    noticed: dict[str, str] = field(default_factory=dict)


class SlowProxy(TcpProxy):
    """Passes everything until :meth:`slow` is called, then few bytes a second."""

    bytes_per_s = 0.0

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(int(min(1 << 16, (self.bytes_per_s or 1 << 20) / 10)) + 1):
            if self.bytes_per_s:
                await asyncio.sleep(len(chunk) / self.bytes_per_s)
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError("the other side closed")


class Rig:
    """The servers and the roles of one run, with their sizes."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.oracle = Oracle()
        self.samples: list[Sample] = []
        self.began_s = 0.0
        self._positions: dict[str, str] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Rig"]:
        with tempfile.TemporaryDirectory(prefix="outage-") as folder:
            data_dir = DataDir(Path(folder) / "data")
            data_dir.acquire()
            sockets, logs = data_dir.socket_folder(), data_dir.folder("log")
            self.valkey = ValkeyServer(data_dir.folder("valkey"), sockets=sockets, logs=logs)
            self.postgres = PostgresServer(data_dir.folder("pg"), sockets=sockets, logs=logs)
            try:
                await self.valkey.start()
                await self.postgres.start()
                await migrate(self.postgres.url)
                async with self._roles():
                    yield self
            finally:
                await self.postgres.stop()
                await self.valkey.stop()
                data_dir.remove_socket_folder()
                data_dir.release()

    @contextlib.asynccontextmanager
    async def _roles(self) -> AsyncIterator[None]:
        self.redis = connect(self.valkey.url, command_timeout_s=30.0)
        self.keys = StreamKeys(NAMESPACE, SHARDS)
        self.proxy = SlowProxy(self.postgres.url)
        await self.proxy.heal()
        slow = self.options.fault == "slow"
        deployment = Deployment(
            redis_url=self.valkey.url,
            database_url=self.proxy.url if slow else self.postgres.url,
            namespace=NAMESPACE,
        )
        feed = f"sim:?symbols={self.options.symbols}&rate={self.options.rate:g}"
        try:
            async with deployment.all_roles(feed) as roles, aiohttp.ClientSession() as self.http:
                self.roles: dict[str, Role] = dict(
                    zip(("ingest", "aggregator", "gateway"), roles, strict=True)
                )
                yield
        finally:
            await self.proxy.refuse()
            await self.redis.aclose()

    # -- the fault

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """The database is slow or away within the block."""
        self.began_s = time.monotonic()
        async with getattr(self, f"_{self.options.fault}")():
            yield

    @contextlib.asynccontextmanager
    async def _stop(self) -> AsyncIterator[None]:
        self.postgres.pause()
        yield
        self.postgres.resume()

    @contextlib.asynccontextmanager
    async def _kill(self) -> AsyncIterator[None]:
        await self.postgres.kill()
        yield
        await self.postgres.start()

    @contextlib.asynccontextmanager
    async def _lock(self) -> AsyncIterator[None]:
        async with await psycopg.AsyncConnection.connect(self.postgres.url) as holder:
            await holder.execute("LOCK TABLE bars_1min, shard_checkpoints IN EXCLUSIVE MODE")
            yield

    @contextlib.asynccontextmanager
    async def _slow(self) -> AsyncIterator[None]:
        self.proxy.bytes_per_s = self.options.bytes_per_s
        yield
        self.proxy.bytes_per_s = 0.0

    # -- watching

    async def watch(self) -> None:
        """Read the streams along and sample each second, for ever."""
        while True:
            await self.read_streams()
            self.samples.append(await self.sample())
            await asyncio.sleep(1.0)

    async def read_streams(self) -> None:
        """Give the oracle all that is on the tick streams by now."""
        registry = await command(self.redis, "HKEYS", self.keys.feeds)
        for feed in (name.decode() for name in registry):
            for shard in range(SHARDS):
                await self._read(self.keys.ticks(feed, shard))

    async def _read(self, key: str) -> None:
        while True:
            after = self._positions.get(key, "")
            low = f"({after}" if after else "-"
            entries = await command(self.redis, "XRANGE", key, low, "+", "COUNT", 500)
            for entry_id, fields in entries:
                self.oracle.add(fields[1])
                self._positions[key] = entry_id.decode()
            await asyncio.sleep(0)
            if len(entries) < 500:
                return

    async def sample(self) -> Sample:
        metrics = await self.metrics()
        memory = (await command(self.redis, "INFO", "memory")).decode()
        used = re.search(r"used_memory:(\d+)", memory)
        return Sample(
            at_s=round(time.monotonic() - self.began_s, 1) if self.began_s else -1.0,
            rss={name: rss_mib(role) for name, role in self.roles.items()},
            cpu_s={name: cpu_s(role) for name, role in self.roles.items()},
            redis_used=round(int(used[1]) / MIB, 1) if used else 0.0,
            published=self.oracle.ticks,
            folded=int(metrics("aggregator_ticks_total")),
            waiting_flushes=int(metrics("aggregator_handover_depth")),
            lag_s=metrics("aggregator_lag_seconds"),
            ready={name: await self._waits(role) for name, role in self.roles.items()},
        )

    async def metrics(self) -> Callable[[str], float]:
        """``value(name)`` of the aggregator now."""
        async with self.http.get(self.roles["aggregator"].url + "/metrics") as answer:
            text = await answer.text()

        def value(name: str) -> float:
            found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
            return float(found[1]) if found else 0.0

        return value

    async def _waits(self, role: Role) -> str:
        async with self.http.get(role.url + "/readyz") as answer:
            states = (await answer.json())["dependencies"]
        away = [f"{name}: {state['reason']}" for name, state in states.items() if not state["ok"]]
        return "; ".join(away)

    # -- the check

    async def stored(self) -> Bars:
        """All bars in the database by (symbol, minutes, start in s)."""
        found: Bars = {}
        async with await psycopg.AsyncConnection.connect(self.postgres.url) as connection:
            for timeframe in TIMEFRAMES:
                cursor = await connection.execute(
                    "SELECT symbol, extract(epoch FROM time)::bigint, open, high, low, close,"
                    f" trades, volume, vwap FROM {TABLES[timeframe]}"
                )
                for symbol, start_s, *values in await cursor.fetchall():
                    found[symbol, timeframe.minutes, start_s] = Row(*values)
        return found


def rss_mib(program: Program) -> float:
    """Resident memory of a running program."""
    text = Path(f"/proc/{program.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return round(int(found[1]) / 1024, 1) if found else 0.0


def cpu_s(program: Program) -> float:
    """Processor time that a running program has used, in seconds."""
    fields = Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> float:
    """Wait for *condition*; returns the seconds that took."""
    started_s = time.monotonic()
    while not await condition():
        if time.monotonic() - started_s > timeout_s:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(0.25)
    return time.monotonic() - started_s


async def run(options: argparse.Namespace) -> Figures:
    figures = Figures(
        fault=options.fault,
        outage_s=options.minutes * 60,
        rate=options.rate,
        symbols=options.symbols,
    )
    async with Rig(options).running() as rig, asyncio.TaskGroup() as group:
        watching = group.create_task(rig.watch())
        await until(lambda: _caught_up(rig), 60, "the aggregator is up to date at the start")
        await asyncio.sleep(WARM_UP_S)
        async with rig.away():
            await _tell(rig, figures)
            folded = (await rig.metrics())("aggregator_ticks_total")
            backlog = rig.oracle.ticks - int(folded)
        await _drain(rig, figures, backlog)
        figures.noticed = _noticed(rig.samples, figures.outage_s)
        watching.cancel()
        await asyncio.wait([watching])
        await rig.roles["ingest"].stop()
        await _compare(rig, figures)
        _sum_up(rig, figures)
        if options.json:
            _write(Path(options.json), rig, figures)
    return figures


async def _tell(rig: Rig, figures: Figures) -> None:
    """Let the fault last, and say now and then how things stand."""
    end_s = time.monotonic() + figures.outage_s
    while (left_s := end_s - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, 15.0))
        last = rig.samples[-1]
        print(
            f"{last.at_s:6.0f} s: behind by {last.published - last.folded:,} ticks, "
            f"{last.waiting_flushes} flushes wait, RSS {last.rss}, Redis {last.redis_used:.0f} MiB",
            flush=True,
        )


async def _drain(rig: Rig, figures: Figures, backlog: int) -> None:
    """From the moment that the database is back until the aggregator is up to date."""
    figures.backlog_ticks = backlog
    before = int((await rig.metrics())("aggregator_ticks_total"))
    started_s, started_cpu_s = time.monotonic(), cpu_s(rig.roles["aggregator"])

    async def moves() -> bool:
        return int((await rig.metrics())("aggregator_ticks_total")) > before

    if backlog > figures.rate * CAUGHT_UP_S * 2:
        figures.first_fold_s = round(await until(moves, 200, "folding goes on"), 2)
    await until(lambda: _caught_up(rig), 1_200, "the backlog is folded")
    took_s = time.monotonic() - started_s
    folded = int((await rig.metrics())("aggregator_ticks_total")) - before
    figures.drained_s = round(took_s, 2)
    busy_s = max(0.1, took_s - figures.first_fold_s)
    figures.drain_ticks_per_s = round(folded / busy_s)
    figures.times_real_time = round(folded / busy_s / figures.rate, 1)
    used_s = max(0.01, cpu_s(rig.roles["aggregator"]) - started_cpu_s)
    figures.drain_ticks_per_cpu_s = round(folded / used_s)
    figures.machine_load = round(os.getloadavg()[0], 1)
    print(f"caught up after {took_s:.0f} s, {used_s:.0f} s of the aggregator's own", flush=True)


async def _caught_up(rig: Rig) -> bool:
    value = await rig.metrics()
    behind = rig.oracle.ticks - int(value("aggregator_ticks_total"))
    return (
        value("aggregator_ticks_total") > 0
        and value("aggregator_lag_seconds") < CAUGHT_UP_S
        and behind < rig.options.rate * CAUGHT_UP_S * 2
    )


async def _compare(rig: Rig, figures: Figures) -> None:
    """Every window that is over must be stored as the oracle has it, and no other."""
    await rig.read_streams()
    expected = rig.oracle.closed_bars()
    wrong: list[str] = []

    async def same() -> bool:
        nonlocal wrong
        wrong = differences(expected, await rig.stored())
        return not wrong

    with contextlib.suppress(TimeoutError):
        await until(same, SETTLE_S, "the last bars are stored")
    figures.bars, figures.wrong = len(expected), wrong
    figures.oracle_ticks, figures.oracle_holes = rig.oracle.ticks, rig.oracle.holes
    figures.lost_blocks = int((await rig.metrics())("aggregator_lost_blocks_total"))


def differences(expected: Bars, stored: Bars) -> list[str]:
    """What is missing, wrong or too much, in words."""
    found = [f"{key}: not stored" for key in expected.keys() - stored.keys()]
    found += [f"{key}: stored, but not due" for key in stored.keys() - expected.keys()]
    for key in expected.keys() & stored.keys():
        one, other = expected[key], stored[key]
        if one[:-1] != other[:-1] or abs(one.vwap - other.vwap) > ALLOWED_VWAP * one.vwap:
            found.append(f"{key}: {other}, expected {one}")
    return found


def _noticed(samples: list[Sample], outage_s: float) -> dict[str, str]:
    """What each role's /readyz said in the last quarter of the fault, or an empty string."""
    late = [s for s in samples if 0.75 * outage_s < s.at_s < outage_s]
    return {name: late[-1].ready[name] for name in late[-1].ready} if late else {}


def _sum_up(rig: Rig, figures: Figures) -> None:
    before = [s for s in rig.samples if s.at_s < 0]
    during = [s for s in rig.samples if s.at_s >= 0]
    for name in rig.roles:
        sizes = [s.rss[name] for s in during]
        figures.memory_mib[name] = (before[-1].rss[name], max(sizes), sizes[-1])
    used = [s.redis_used for s in during]
    figures.redis_mib = (before[-1].redis_used, max(used), used[-1])


def _write(path: Path, rig: Rig, figures: Figures) -> None:
    answer: dict[str, Any] = dataclasses.asdict(figures)
    answer["samples"] = [dataclasses.asdict(sample) for sample in rig.samples]
    path.write_text(json.dumps(answer, indent=1))


def problems(figures: Figures) -> list[str]:
    """Why this run is a failure; empty when it is none."""
    found = [f"wrong bar {text}" for text in figures.wrong[:20]]
    if figures.oracle_holes:
        found.append(f"{figures.oracle_holes} trade ids are missing on the streams")
    if figures.lost_blocks:
        found.append(f"{figures.lost_blocks} blocks were trimmed before they were folded")
    if not figures.bars:
        found.append("no window was over: too short to prove anything")
    if figures.fault in ("stop", "kill", "lock") and not figures.noticed.get("aggregator"):
        found.append("the fault did not hit: the aggregator's /readyz never said so")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fault", choices=FAULTS, default="stop")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=20_000.0, help="ticks/s")
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--bytes-per-s", type=float, default=2_000.0, help="of the fault slow")
    parser.add_argument("--json", default="", help="file for the figures and all samples")
    figures = asyncio.run(run(parser.parse_args()))
    for name, value in dataclasses.asdict(figures).items():
        if name != "wrong":
            print(f"{name:>18}: {value}")
    failures = problems(figures)
    for text in failures:
        print(f"WRONG: {text}")
    print("every bar is exact, nothing was lost" if not failures else f"{len(failures)} problems")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
