"""Retention of the tick log: old ticks go by age, or when the log outgrows its share of the disk.

What went is no longer covered: the log says from which event time on it is complete.
"""

import logging
from datetime import datetime, timedelta
from typing import Final

from core.market.timeframe import DAY_NS
from storage.amendments import drop_amendments
from storage.chores import Chores, in_turn
from storage.database import Database

_LOG = logging.getLogger(__name__)
CHUNK_NS: Final = DAY_NS
"""Span of a chunk of the log, where it is a hypertable: what goes at a time."""

_DAY_S: Final = 86_400.0
_PRUNE_S: Final = 50.0  # callers ask each minute: a little less, so that no turn is missed
_MAINTENANCE_S: Final = 600.0  # a day of a busy log on a slow disk
_TARGET: Final = 0.8  # of the cap: pruning makes room for a while, not for a minute
_ROW_BYTES: Final = 200  # of a row beside its payload, with its part of the index

_BYTES: Final = """
SELECT (pg_total_relation_size('tick_log') + coalesce(sum(pg_total_relation_size(inhrelid)), 0))
    ::bigint FROM pg_inherits WHERE inhparent = 'tick_log'::regclass
"""
_NEWEST: Final = """
SELECT max(newest.time) FROM tick_log_cover
CROSS JOIN LATERAL (SELECT time FROM tick_log logged WHERE logged.shard = tick_log_cover.shard
    ORDER BY time DESC LIMIT 1) newest
"""
_LIVE: Final = f"""
SELECT time, sum(octet_length(payload) + {_ROW_BYTES})::bigint FROM tick_log
GROUP BY time ORDER BY time DESC
"""
_UNCOVER: Final = """
UPDATE tick_log_cover SET from_ns = greatest(from_ns, (date_part('epoch', %s::timestamptz) * 1e6)
    ::bigint * 1000)
"""
_CHUNKS: Final = """
SELECT count(*) FROM pg_inherits WHERE inhparent = 'tick_log'::regclass
"""
_DROP_CHUNKS: Final = "SELECT drop_chunks('tick_log', older_than => %s::timestamptz)"
_DELETE: Final = "DELETE FROM tick_log WHERE time < %s"


async def log_bytes(db: Database) -> int:
    """What the tick log takes of the disk.

    Raises:
        DatabaseUnavailable: it is away, or too slow.
    """
    ((size,),) = await db.fetch("size of the tick log", _BYTES)
    return int(size)


class LogRetention:
    """Deletes logged ticks. Any number may work at once; they only do the same work twice."""

    def __init__(self, db: Database) -> None:
        """*db* stays the caller's."""
        self._db = db

    async def drop_older(self, keep_ns: int) -> None:
        """Delete ticks of more than *keep_ns* before the newest; 0: all.

        By the newest tick, not by the clock. Of a hypertable whole chunks go, so that ticks stay
        up to a day longer.

        Raises:
            DatabaseUnavailable: it is away; the log is not cut, or not all the way.
        """
        if not keep_ns:
            await self._db.fetch(
                "empty the tick log", "TRUNCATE tick_log, tick_log_cover, amendments"
            )
            return
        ((newest,),) = await self._db.fetch("newest of the tick log", _NEWEST)
        if newest is not None:
            await self._cut(newest - timedelta(microseconds=keep_ns // 1_000), by_rows=False)

    async def prune(self, max_bytes: int) -> None:
        """Bring the log under *max_bytes* by deleting the oldest ticks; the newest slot stays.

        Space within the table's file is used again, though the file keeps its size.

        Raises:
            DatabaseUnavailable: it is away; the log is not cut, or not all the way.
        """
        if await log_bytes(self._db) <= max_bytes:
            return
        slots = await self._db.fetch("slots of the tick log", _LIVE, timeout_s=_MAINTENANCE_S)
        live = sum(size for _, size in slots)
        if live <= max_bytes:
            return
        horizon, kept = slots[0][0], 0
        for time, size in slots:
            kept += size
            if kept > max_bytes * _TARGET:
                break
            horizon = time
        await self._cut(horizon, by_rows=True)
        _LOG.warning("the tick log was over its %d bytes with %d: it begins at %s now",
                     max_bytes, live, horizon)  # fmt: skip

    async def _cut(self, horizon: datetime, *, by_rows: bool) -> None:
        """Delete what is before *horizon*; of a hypertable only whole chunks, or rows too."""
        await self._db.fetch("cut the tick log", _UNCOVER, [horizon])
        await drop_amendments(self._db, int(horizon.timestamp()) * 10**9)
        ((chunks,),) = await self._db.fetch("chunks of the tick log", _CHUNKS)
        if chunks:
            await self._db.fetch("drop ticks", _DROP_CHUNKS, [horizon], timeout_s=_MAINTENANCE_S)
        if by_rows or not chunks:
            await self._db.fetch("delete ticks", _DELETE, [horizon], timeout_s=_MAINTENANCE_S)
            await self._db.fetch("vacuum", "VACUUM tick_log", timeout_s=_MAINTENANCE_S)


async def tend_log(
    retention: LogRetention, chores: Chores, *, keep_ns: int, max_bytes: int
) -> None:
    """Do what is due and nobody else does; to be called each minute, by any number of processes.

    Args:
        retention: of the log.
        chores: of the same database.
        keep_ns: how far the log reaches back from its newest tick; 0: none is kept.
        max_bytes: size above which the oldest ticks go; 0: none go.

    Raises:
        DatabaseUnavailable: it is away, or too slow; what was not done is due at the next call.
    """

    async def drop_old() -> None:
        async with chores.claim("tend tick log", every_s=_DAY_S) as mine:
            if mine:
                await retention.drop_older(keep_ns)

    async def make_room() -> None:
        if keep_ns and max_bytes:
            async with chores.claim("prune tick log", every_s=_PRUNE_S) as mine:
                if mine:
                    await retention.prune(max_bytes)

    await in_turn(drop_old, make_room)
