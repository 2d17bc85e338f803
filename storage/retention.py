"""Retention: old bars go by age, or when the database outgrows its share of the disk."""

import logging
from typing import Final

from core.market.timeframe import DAY_NS, SECOND_NS, TIMEFRAMES, Timeframe
from storage.database import Database
from storage.rows import to_datetime

_LOG = logging.getLogger(__name__)
_VACUUM_S: Final = 600.0  # a table of some GB on a slow disk
_TARGET: Final = 0.9  # of the cap: pruning makes room for a while, not for a minute
_SYMBOLS_PER_STATEMENT: Final = 50  # so that no statement runs long
_ROUNDS: Final = 3  # each deletes by an estimate, then measures

_TIMESCALE: Final = """
SELECT to_regclass('timescaledb_information.hypertables') IS NOT NULL
"""
_IS_HYPERTABLE: Final = """
SELECT count(*) FROM timescaledb_information.hypertables
WHERE hypertable_schema = current_schema() AND hypertable_name = 'bars'
"""
# Chunks are files of their own and leave the disk when dropped. All but the newest may go.
_CHUNKS: Final = """
SELECT range_end FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = 'bars'
ORDER BY range_end
"""
_DATABASE_BYTES: Final = "SELECT pg_database_size(current_database())"
# What VACUUM has freed inside a table's file is used again but never leaves the file: it does not
# count. `reltuples` is set by VACUUM; 4 bytes per row are its line pointer.
_TABLE: Final = """
SELECT pg_relation_size('bars'), greatest(relpages, 0), greatest(reltuples, 0)::float8,
    (SELECT avg(pg_column_size(sample) + 4)::float8 FROM (SELECT * FROM bars LIMIT 1000) sample)
FROM pg_class WHERE oid = 'bars'::regclass
"""
_ENDS: Final = """
SELECT (min(date_part('epoch', o.time)))::bigint, (max(date_part('epoch', n.time)))::bigint
FROM symbols
CROSS JOIN LATERAL (SELECT time FROM bars WHERE bars.symbol = symbols.symbol AND timeframe = %s
    ORDER BY time ASC LIMIT 1) o
CROSS JOIN LATERAL (SELECT time FROM bars WHERE bars.symbol = symbols.symbol AND timeframe = %s
    ORDER BY time DESC LIMIT 1) n
"""
_DELETE: Final = """
WITH gone AS (
    DELETE FROM bars USING symbols
    WHERE bars.symbol = symbols.symbol AND bars.timeframe = %s AND bars.time < %s
    RETURNING 1
)
SELECT count(*) FROM gone
"""
_DELETE_OLDER: Final = """
WITH kept AS (
    SELECT symbol, (SELECT time FROM bars WHERE bars.symbol = symbols.symbol AND timeframe = %s
        ORDER BY time DESC LIMIT 1) AS newest
    FROM symbols WHERE symbol = ANY(%s::text[])
), gone AS (
    DELETE FROM bars USING kept
    WHERE bars.symbol = kept.symbol AND bars.timeframe = %s
        AND bars.time < kept.newest - make_interval(secs => %s)
    RETURNING 1
)
SELECT count(*) FROM gone
"""


class Retention:
    """Deletes old bars, a day at a time, so that no statement runs long."""

    def __init__(self, db: Database) -> None:
        """*db* stays the caller's."""
        self._db = db

    async def drop_older(self, timeframe: Timeframe, keep_ns: int) -> int:
        """Delete each symbol's bars that start more than *keep_ns* before its newest bar.

        By the newest bar, not by the clock: the replay of an old file is kept like live trading.

        Raises:
            DatabaseUnavailable: it is away; what was deleted until then stays deleted.
        """
        names = [name for (name,) in await self._db.fetch("symbols", "SELECT symbol FROM symbols")]
        deleted = 0
        for start in range(0, len(names), _SYMBOLS_PER_STATEMENT):
            some = names[start : start + _SYMBOLS_PER_STATEMENT]
            parameters = [timeframe.value, some, timeframe.value, keep_ns / SECOND_NS]
            ((count,),) = await self._db.fetch("delete old bars", _DELETE_OLDER, parameters)
            deleted += int(count)
        return deleted

    async def prune(self, max_bytes: int) -> int:
        """Bring the database under *max_bytes*; returns how many bars that cost."""
        if await self.used_bytes() <= max_bytes:
            return 0
        before = await self.used_bytes()
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

    async def used_bytes(self) -> int:
        """Size of the database without what is free for new bars inside the table's file."""
        ((size,),) = await self._db.fetch("database size", _DATABASE_BYTES)
        return int(size) - await self._reusable_bytes()

    async def is_hypertable(self) -> bool:
        """Whether bars live in a TimescaleDB hypertable."""
        ((timescale,),) = await self._db.fetch("has timescaledb", _TIMESCALE)
        if not timescale:
            return False
        ((count,),) = await self._db.fetch("is hypertable", _IS_HYPERTABLE)
        return bool(count)

    async def _delete_days(self, max_bytes: int) -> int:
        deleted = 0
        await self._vacuum()  # the estimate of what is free comes from it
        for _ in range(_ROUNDS):
            excess = await self.used_bytes() - int(max_bytes * _TARGET)
            if excess <= max_bytes * (1 - _TARGET):
                break
            gone = await self._delete_rows(int(excess / await self._row_bytes()) + 1)
            if not gone:
                break
            deleted += gone
            await self._vacuum()
        return deleted

    async def _delete_rows(self, count: int) -> int:
        """Whole days, oldest first, 1-minute bars first, until *count* are gone.

        The newest day of each timeframe stays.
        """
        deleted = 0
        for timeframe in TIMEFRAMES:
            while deleted < count and (ends := await self._ends(timeframe)) is not None:
                next_day_ns = ends[0] - ends[0] % DAY_NS + DAY_NS
                if next_day_ns > ends[1]:
                    break
                deleted += await self._delete(timeframe, next_day_ns)
        return deleted

    async def _drop_chunks(self, max_bytes: int) -> int:
        """Whole days of all timeframes: dropping a chunk gives its disk back at once."""
        deleted = 0
        chunks = [end for (end,) in await self._db.fetch("chunks", _CHUNKS)]
        for end in chunks[:-1]:
            if await self.used_bytes() <= max_bytes * _TARGET:
                break
            ((rows,),) = await self._db.fetch(
                "rows of a chunk", "SELECT count(*) FROM bars WHERE time < %s", [end]
            )
            await self._db.fetch(
                "drop chunk", "SELECT drop_chunks('bars', older_than => %s::timestamptz)", [end]
            )
            deleted += rows
        return deleted

    async def _ends(self, timeframe: Timeframe) -> tuple[int, int] | None:
        name = timeframe.value
        ((oldest_s, newest_s),) = await self._db.fetch("ends of bars", _ENDS, [name, name])
        return None if oldest_s is None else (oldest_s * 10**9, newest_s * 10**9)

    async def _delete(self, timeframe: Timeframe, before_ns: int) -> int:
        parameters = [timeframe.value, to_datetime(before_ns)]
        ((count,),) = await self._db.fetch("delete bars", _DELETE, parameters)
        return int(count)

    async def _vacuum(self) -> None:
        await self._db.fetch("vacuum", "VACUUM bars", timeout_s=_VACUUM_S)

    async def _row_bytes(self) -> float:
        """Bytes that a row takes in the table's file."""
        ((_, _, _, row_bytes),) = await self._db.fetch("table size", _TABLE)
        return float(row_bytes or 1.0)

    async def _reusable_bytes(self) -> int:
        ((heap, pages, rows, row_bytes),) = await self._db.fetch("table size", _TABLE)
        if not pages:  # never vacuumed: nothing was freed
            return 0
        return max(0, int(heap - rows * (row_bytes or 0.0)))
