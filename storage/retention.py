"""Retention: old bars go by age, or when the database outgrows its share of the disk.

Of a hypertable whole chunks are dropped, which takes a moment and gives their disk back; of a
plain table rows are deleted, in statements that never run long.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString

from core.market.timeframe import DAY_NS, SECOND_NS, TIMEFRAMES, Timeframe
from storage.bar_tables import TABLES
from storage.database import Database
from storage.log_retention import log_bytes
from storage.rows import to_datetime

_LOG = logging.getLogger(__name__)
_MAINTENANCE_S: Final = 600.0  # a table or a chunk of some GB on a slow disk
_TARGET: Final = 0.9  # of the cap: pruning makes room for a while, not for a minute
_SYMBOLS_PER_STATEMENT: Final = 50  # and a week: no statement runs long, and what is done stays
_SPAN: Final = timedelta(days=7)
_ROUNDS: Final = 3  # each deletes by an estimate, then measures

_TIMESCALE: Final = """
SELECT to_regclass('timescaledb_information.hypertables') IS NOT NULL
"""
_IS_HYPERTABLE: Final = """
SELECT count(*) FROM timescaledb_information.hypertables
WHERE hypertable_schema = current_schema() AND hypertable_name = %s
"""
_CHUNKS: Final = """
SELECT range_start, range_end FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = %s
ORDER BY range_end
"""
_DROP_CHUNK: Final = """
SELECT drop_chunks(%s::text::regclass, older_than => %s::timestamptz, newer_than => %s::timestamptz)
"""
_DATABASE_BYTES: Final = "SELECT pg_database_size(current_database())"


class Retention:
    """Deletes old bars. Any number may work at once; they only do the same work twice."""

    def __init__(self, db: Database) -> None:
        """*db* stays the caller's."""
        self._db = db

    async def drop_older(self, timeframe: Timeframe, keep_ns: int) -> int:
        """Delete each symbol's bars that start more than *keep_ns* before its newest bar.

        By the newest bar, not by the clock: the replay of an old file is kept like live trading.
        A chunk goes when all of its bars may; one that has bars to be kept loses the others.

        Raises:
            DatabaseUnavailable: it is away; what was deleted until then stays deleted.
        """
        keep = timedelta(microseconds=keep_ns // 1_000)
        kept_from = {
            symbol: newest - keep
            for symbol, newest in await self._db.fetch("newest bars", _newest(timeframe))
        }
        if not kept_from:
            return 0
        if not await self.is_hypertable(timeframe):
            return await self._delete_by_spans(timeframe, kept_from)
        deleted, horizon = 0, max(kept_from.values())
        for chunk in await self._chunks(timeframe, until=horizon):
            deleted += await self._clear(chunk, kept_from)
        return deleted

    async def prune(self, max_bytes: int) -> int:
        """Bring the database under *max_bytes*; returns how many bars that cost."""
        before = await self.used_bytes()
        if before <= max_bytes:
            return 0
        if await self.is_hypertable():
            deleted = await self._drop_chunks(max_bytes)
        else:
            deleted = await self._delete_days(max_bytes)
        after = await self.used_bytes()
        _LOG.warning(
            "the database was over its %d bytes with %d; deleting the oldest %d bars left %d",
            max_bytes,
            before,
            deleted,
            after,
        )
        return deleted

    async def vacuum(self, timeframes: Sequence[Timeframe] = TIMEFRAMES) -> None:
        """Free what was deleted, and mark pages that index-only scans need not look at."""
        for timeframe in timeframes:
            statement = f"VACUUM {TABLES[timeframe]}"
            await self._db.fetch("vacuum", statement, timeout_s=_MAINTENANCE_S)

    async def used_bytes(self) -> int:
        """Size of the database without the tick log and what is free inside the tables' files."""
        ((size,),) = await self._db.fetch("database size", _DATABASE_BYTES)
        return (
            int(size)
            - await log_bytes(self._db)
            - sum([await self._reusable_bytes(each) for each in TIMEFRAMES])
        )

    async def is_hypertable(self, timeframe: Timeframe = Timeframe.MIN_1) -> bool:
        """Whether a timeframe's bars live in a TimescaleDB hypertable."""
        ((timescale,),) = await self._db.fetch("has timescaledb", _TIMESCALE)
        if not timescale:
            return False
        ((count,),) = await self._db.fetch("is hypertable", _IS_HYPERTABLE, [TABLES[timeframe]])
        return bool(count)

    # -- by age

    async def _clear(self, chunk: "_Chunk", kept_from: dict[str, datetime]) -> int:
        """Drop *chunk*, or delete from it what is not kept."""
        keepers = {symbol: first for symbol, first in kept_from.items() if first < chunk.end}
        if await self._holds_any(chunk, keepers):
            deleted = 0
            for some in _batches(kept_from):
                deleted += await self._delete_older(chunk.timeframe, some, chunk.start, chunk.end)
            return deleted
        return await self._drop(chunk)

    async def _holds_any(self, chunk: "_Chunk", kept_from: dict[str, datetime]) -> bool:
        """Whether *chunk* has a bar that is to be kept."""
        parameters = [list(kept_from), list(kept_from.values()), chunk.start, chunk.end]
        ((found,),) = await self._db.fetch("kept bars", _holds(chunk.timeframe), parameters)
        return bool(found)

    async def _delete_by_spans(self, timeframe: Timeframe, kept_from: dict[str, datetime]) -> int:
        """Delete from a plain table what is not kept, oldest first."""
        deleted = 0
        for some in _batches(kept_from):
            start = to_datetime(0)
            while (oldest := await self._oldest(timeframe, some, start)) is not None:
                start = oldest + _SPAN
                deleted += await self._delete_older(timeframe, some, oldest, start)
        return deleted

    async def _oldest(
        self, timeframe: Timeframe, kept_from: dict[str, datetime], start: datetime
    ) -> datetime | None:
        """Start of the oldest bar from *start* on that is not kept."""
        parameters = [list(kept_from), list(kept_from.values()), start]
        ((oldest,),) = await self._db.fetch("oldest bar", _oldest(timeframe), parameters)
        return oldest  # type: ignore[no-any-return]  # timestamptz

    async def _delete_older(
        self, timeframe: Timeframe, kept_from: dict[str, datetime], start: datetime, end: datetime
    ) -> int:
        """Delete bars with a start in ``[start, end)`` that are not kept."""
        ((count,),) = await self._db.fetch(
            "delete old bars",
            _delete_older(timeframe),
            [list(kept_from), list(kept_from.values()), start, end],
            timeout_s=_MAINTENANCE_S,
        )
        return int(count)

    # -- by size: a hypertable

    async def _drop_chunks(self, max_bytes: int) -> int:
        """The oldest chunks, 1-minute bars first; that of each timeframe's newest bar stays."""
        deleted = 0
        for timeframe in TIMEFRAMES:
            ends = await self._ends(timeframe)  # not the last chunk, which may be empty by now
            newest = to_datetime(ends[1] if ends else 0)
            for chunk in await self._chunks(timeframe, until=newest):
                if await self.used_bytes() <= max_bytes * _TARGET:
                    return deleted
                deleted += await self._drop(chunk)
        return deleted

    async def _chunks(self, timeframe: Timeframe, *, until: datetime) -> "list[_Chunk]":
        """Those that end by *until*, oldest first."""
        rows = await self._db.fetch("chunks", _CHUNKS, [TABLES[timeframe]])
        return [_Chunk(timeframe, start, end) for start, end in rows if end <= until]

    async def _drop(self, chunk: "_Chunk") -> int:
        table = TABLES[chunk.timeframe]
        ((rows,),) = await self._db.fetch(
            "rows of a chunk",
            f"SELECT count(*) FROM {table} WHERE time >= %s AND time < %s",
            [chunk.start, chunk.end],
            timeout_s=_MAINTENANCE_S,
        )
        await self._db.fetch("drop chunk", _DROP_CHUNK, [table, chunk.end, chunk.start])
        return int(rows)

    # -- by size: plain tables

    async def _delete_days(self, max_bytes: int) -> int:
        deleted = 0
        await self.vacuum()  # the estimate of what is free comes from it
        for _ in range(_ROUNDS):
            excess = await self.used_bytes() - int(max_bytes * _TARGET)
            if excess <= max_bytes * (1 - _TARGET):
                break
            gone = await self._delete_bytes(excess)
            if not gone:
                break
            deleted += gone
        return deleted

    async def _delete_bytes(self, excess: int) -> int:
        """Whole days, oldest first, 1-minute bars first, until *excess* bytes are free.

        The newest day of each timeframe stays.
        """
        deleted, freed = 0, 0.0
        touched: list[Timeframe] = []
        for timeframe in TIMEFRAMES:
            row_bytes = await self._row_bytes(timeframe)
            while freed <= excess and (ends := await self._ends(timeframe)) is not None:
                next_day_ns = ends[0] - ends[0] % DAY_NS + DAY_NS
                if next_day_ns > ends[1]:
                    break
                count = await self._delete(timeframe, next_day_ns)
                deleted, freed = deleted + count, freed + count * row_bytes
                touched.append(timeframe)
        await self.vacuum(sorted(set(touched)))
        return deleted

    async def _ends(self, timeframe: Timeframe) -> tuple[int, int] | None:
        ((oldest_s, newest_s),) = await self._db.fetch("ends of bars", _ends(timeframe))
        return None if oldest_s is None else (oldest_s * SECOND_NS, newest_s * SECOND_NS)

    async def _delete(self, timeframe: Timeframe, before_ns: int) -> int:
        parameters = [to_datetime(before_ns)]
        ((count,),) = await self._db.fetch(
            "delete bars", _delete(timeframe), parameters, timeout_s=_MAINTENANCE_S
        )
        return int(count)

    async def _row_bytes(self, timeframe: Timeframe) -> float:
        """Bytes that a row takes in the table's file."""
        ((_, _, _, row_bytes),) = await self._db.fetch("table size", _size(timeframe))
        return float(row_bytes or 1.0)

    async def _reusable_bytes(self, timeframe: Timeframe) -> int:
        ((heap, pages, rows, row_bytes),) = await self._db.fetch("table size", _size(timeframe))
        if not pages:  # never vacuumed: nothing was freed
            return 0
        return max(0, int(heap - rows * (row_bytes or 0.0)))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Part of a hypertable: the bars of a timeframe with a start in ``[start, end)``."""

    timeframe: Timeframe
    start: datetime
    end: datetime


def _batches(kept_from: dict[str, datetime]) -> Iterator[dict[str, datetime]]:
    """As many symbols at a time as a statement may have."""
    names = sorted(kept_from)
    for at in range(0, len(names), _SYMBOLS_PER_STATEMENT):
        yield {name: kept_from[name] for name in names[at : at + _SYMBOLS_PER_STATEMENT]}


def _newest(timeframe: Timeframe) -> LiteralString:
    return f"""
SELECT symbols.symbol, n.time FROM symbols
CROSS JOIN LATERAL (SELECT time FROM {TABLES[timeframe]} stored
    WHERE stored.symbol = symbols.symbol ORDER BY time DESC LIMIT 1) n
"""


def _holds(timeframe: Timeframe) -> LiteralString:
    return f"""
SELECT EXISTS (
    SELECT 1 FROM unnest(%s::text[], %s::timestamptz[]) AS kept (symbol, first)
    JOIN {TABLES[timeframe]} stored ON stored.symbol = kept.symbol AND stored.time >= kept.first
    WHERE stored.time >= %s AND stored.time < %s
)
"""


def _oldest(timeframe: Timeframe) -> LiteralString:
    return f"""
SELECT min(o.time) FROM unnest(%s::text[], %s::timestamptz[]) AS kept (symbol, first)
CROSS JOIN LATERAL (SELECT time FROM {TABLES[timeframe]} stored
    WHERE stored.symbol = kept.symbol AND stored.time >= %s AND stored.time < kept.first
    ORDER BY time LIMIT 1) o
"""


def _delete_older(timeframe: Timeframe) -> LiteralString:
    return f"""
WITH gone AS (
    DELETE FROM {TABLES[timeframe]} stored
    USING unnest(%s::text[], %s::timestamptz[]) AS kept (symbol, first)
    WHERE stored.symbol = kept.symbol AND stored.time < kept.first
        AND stored.time >= %s AND stored.time < %s
    RETURNING 1
)
SELECT count(*) FROM gone
"""


def _ends(timeframe: Timeframe) -> LiteralString:
    table = TABLES[timeframe]
    return f"""
SELECT (min(date_part('epoch', o.time)))::bigint, (max(date_part('epoch', n.time)))::bigint
FROM symbols
CROSS JOIN LATERAL (SELECT time FROM {table} WHERE {table}.symbol = symbols.symbol
    ORDER BY time ASC LIMIT 1) o
CROSS JOIN LATERAL (SELECT time FROM {table} WHERE {table}.symbol = symbols.symbol
    ORDER BY time DESC LIMIT 1) n
"""


def _delete(timeframe: Timeframe) -> LiteralString:
    table = TABLES[timeframe]
    return f"""
WITH gone AS (
    DELETE FROM {table} USING symbols
    WHERE {table}.symbol = symbols.symbol AND {table}.time < %s
    RETURNING 1
)
SELECT count(*) FROM gone
"""


# What VACUUM has freed inside a table's file is used again but never leaves the file: it does not
# count. `reltuples` is set by VACUUM; 4 bytes per row are its line pointer.
def _size(timeframe: Timeframe) -> LiteralString:
    table = TABLES[timeframe]
    return f"""
SELECT pg_relation_size('{table}'), greatest(relpages, 0), greatest(reltuples, 0)::float8,
    (SELECT avg(pg_column_size(sample) + 4)::float8
        FROM (SELECT * FROM {table} LIMIT 1000) sample)
FROM pg_class WHERE oid = '{table}'::regclass
"""
