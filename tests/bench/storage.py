"""`make bench-storage`: bar rows a second into the database, ways to write them taking turns.

Each way writes into a database of its own, in transactions of so many rows: bars that are new,
bars that are stored already (a repeated flush), and revisions. PostgreSQL comes embedded;
TimescaleDB is Debian's (`make timescaledb`). The server, the writer and the disk share a machine.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from core.market.bar import Bar, BarRow
from core.market.symbol import Symbol
from core.market.timeframe import MINUTE_NS, TIMEFRAMES, Timeframe
from storage.bar_tables import TABLES, copy_sql, upsert_sql
from storage.bar_upsert import upsert_bars
from storage.binary_copy import encode_rows
from storage.database import Connection, Database
from storage.migrations import bundled_migrations, migrate
from storage.packed import texts
from storage.rows import bar_columns, newest_rows
from tests.bench.section import table
from tests.fix_servers import new_database, running_postgres, running_timescaledb

_SIZES: Final = (1, 4, 10, 20, 50, 100, 500, 5_000)
_WORK: Final = ("new", "repeated", "revised")
_START_NS: Final = 1_767_225_600 * 10**9
_SYMBOLS: Final = tuple(Symbol(f"SIM:S{n:03}-USD") for n in range(500))

Way = Callable[[Connection, Sequence[BarRow]], Awaitable[None]]

_FIRST_HYPERTABLE: Final = """
SELECT create_hypertable('bars', 'time', chunk_time_interval => interval '1 day',
    create_default_indexes => false)
"""


def main(argv: Sequence[str]) -> int:
    """Print a table for each server."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.storage", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of which the median is told")
    parser.add_argument("--sizes", type=int, nargs="*", default=_SIZES, help="rows a transaction")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        servers = {
            "PostgreSQL 18 (embedded)": running_postgres(Path(folder)),
            "TimescaleDB (fsync off)": running_timescaledb(),
        }
        for name, running in servers.items():
            try:
                with running as server:
                    print(f"\n{name}: bar rows/s, median of {asked.rounds} rounds\n")
                    print(asyncio.run(_measure(server, asked.sizes, asked.rounds)), flush=True)
            except pytest.skip.Exception as exc:
                print(f"\n{name}: left out, {exc.msg}")
    return 0


async def _measure(server: str, sizes: Sequence[int], rounds: int) -> str:
    speeds: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        databases = {way: await _database(stack, server, way) for way in WAYS}
        minutes = count()
        for round_number in range(rounds + 1):  # the first one makes the chunks
            for size in sizes:
                for work, rows in _works(size, minutes):
                    for way, database in databases.items():
                        took_s = await _write(database, WAYS[way], rows)
                        if round_number:
                            speeds[work, size, way].append(size / took_s)
    return table(
        ("bars", "rows", *WAYS),
        [
            (work, f"{size:,}", *(f"{statistics.median(speeds[work, size, w]):,.0f}" for w in WAYS))
            for work in _WORK
            for size in sizes
        ],
    )


async def _write(database: Database, way: Way, rows: Sequence[BarRow]) -> float:
    began_s = time.perf_counter()
    async with database.transaction("bench") as connection:
        await way(connection, rows)
    return time.perf_counter() - began_s


async def _database(stack: AsyncExitStack, server: str, way: str) -> Database:
    url = stack.enter_context(new_database(server))
    await migrate(url, migrations=bundled_migrations()[:1] if way == "before" else None)
    database = Database(url, min_size=1, max_size=1, slow_query_s=60)
    await database.open()
    stack.push_async_callback(database.close)
    has_timescale = await database.fetch(
        "extension", "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"
    )
    if way == "before" and has_timescale:
        await database.fetch("hypertable", _FIRST_HYPERTABLE)
    return database


# -- ways


async def _before(connection: Connection, rows: Sequence[BarRow]) -> None:
    """Arrays into one table of all timeframes, with the timeframe in its index: version 0.1.0."""
    columns: list[Any] = bar_columns(rows)
    columns.insert(1, texts(row.bar.timeframe.value for row in rows))
    await connection.execute(_UPSERT_BEFORE, columns)


async def _arrays(connection: Connection, rows: Sequence[BarRow]) -> None:
    """Arrays into the tables of today."""
    for timeframe, some in _by_timeframe(rows):
        await connection.execute(upsert_sql(timeframe), bar_columns(some))


async def _staged(connection: Connection, rows: Sequence[BarRow]) -> None:
    """Binary COPY into a temporary table, and from there."""
    for timeframe, some in _by_timeframe(rows):
        name = TABLES[timeframe]
        await connection.execute(f"CREATE TEMP TABLE staged_{name} (LIKE {name}) ON COMMIT DROP")
        copy_into = copy_sql(timeframe).replace(name, f"staged_{name}")
        async with connection.cursor().copy(copy_into) as copy:
            await copy.write(encode_rows(some))
        upsert = upsert_sql(timeframe)
        head, tail = upsert[: upsert.index("SELECT *")], upsert[upsert.index("ON CONFLICT") :]
        columns = head[head.index("(") + 1 : head.rindex(")")]
        await connection.execute(f"{head} SELECT {columns} FROM staged_{name} {tail}")


def _by_timeframe(rows: Sequence[BarRow]) -> Iterator[tuple[Timeframe, list[BarRow]]]:
    for timeframe in TIMEFRAMES:
        if some := [row for row in rows if row.bar.timeframe is timeframe]:
            yield timeframe, some


WAYS: Final[dict[str, Way]] = {
    "before": _before,
    "arrays": _arrays,
    "staged": _staged,
    "now": upsert_bars,
}
_UPSERT_BEFORE: Final = (
    upsert_sql(Timeframe.MIN_1)
    .replace("bars_1min", "bars")
    .replace("(symbol, time", "(symbol, timeframe, time")
    .replace("%b::text[], %b::timestamptz[]", "%b::text[], %b::text[], %b::timestamptz[]")
)


# -- bars


def _works(size: int, minutes: Iterator[int]) -> Iterator[tuple[str, list[BarRow]]]:
    rows = newest_rows(islice(_bars(minutes), size))
    revised = [
        msgspec.structs.replace(row, bar=msgspec.structs.replace(row.bar, rev=1)) for row in rows
    ]
    return zip(_WORK, (rows, rows, revised), strict=True)


def _bars(minutes: Iterator[int]) -> Iterator[BarRow]:
    """What 500 symbols make: a bar each minute, two every fifth, three every fifteenth."""
    for minute in minutes:
        end_ns = _START_NS + (minute + 1) * MINUTE_NS
        for timeframe in TIMEFRAMES:
            if end_ns % timeframe.ns == 0:
                for n, symbol in enumerate(_SYMBOLS):
                    yield _row(symbol, timeframe, end_ns - timeframe.ns, 100.0 + n)


def _row(symbol: Symbol, timeframe: Timeframe, start_ns: int, price: float) -> BarRow:
    bar = Bar(symbol, timeframe, start_ns, price, price + 1, price - 1, price, 3.3, 12, price)
    return BarRow(bar, (start_ns + 1, 1), (start_ns + 2, 12), (3.3,), (3.3 * price, 1e-13))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
