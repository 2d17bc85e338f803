"""TickLog: the ticks that were folded into bars, each once, with or without TimescaleDB.

They are written in the transaction of their bars, so the log has exactly what the bars have.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, NamedTuple

from core.market.amended import Word
from core.market.block import Ticks
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS
from core.runtime.logs import RateLimited
from storage.amendments import amendments_of
from storage.database import Connection, Database
from storage.keys import shard_of
from storage.packed import bigints, blobs, integers, times
from storage.rows import MAX_NS, LoggedTicks, to_datetime
from storage.tick_codec import SLOT_NS, decode_symbol

_LOG = logging.getLogger(__name__)
_WARN_S: Final = 3_600.0
_FEW_ROWS: Final = 16  # fetched first; each has the ticks of one flush, 10 bytes a tick
_MOST_ROWS: Final = 256  # fetched at a time, if those before were small
_PAGE_BYTES: Final = 1 << 20  # of payload, as far as those before tell
_TURN_BYTES: Final = 1 << 17  # unpacked in one go, 2 ms; then it is the turn of others
NEAR_NS: Final = MINUTE_NS
"""Feeds of one venue tell a trade's time to the nanosecond or to the second, at times from
different clocks; they do not differ by a minute."""

_INSERT: Final = """
INSERT INTO tick_log (shard, time, token, flush, from_ns, to_ns, ticks, payload)
SELECT * FROM unnest(%b::int[], %b::timestamptz[], %b::bigint[], %b::bigint[], %b::bigint[],
    %b::bigint[], %b::int[], %b::bytea[])
ON CONFLICT DO NOTHING
"""
_COVER: Final = """
INSERT INTO tick_log_cover (shard, from_ns) SELECT * FROM unnest(%s::int[], %s::bigint[])
ON CONFLICT DO NOTHING
"""
_UNCOVER: Final = "DELETE FROM tick_log_cover WHERE shard = ANY (%s::int[])"
_COVERED_FROM: Final = "SELECT from_ns FROM tick_log_cover WHERE shard = %s"
_PAGE_OF_ROWS: Final = """
SELECT time, token, flush, payload FROM tick_log
WHERE shard = %s AND time >= %s AND time <= %s AND to_ns >= %s AND from_ns < %s
    AND (time, token, flush) > (%s, %s, %s)
ORDER BY time, token, flush LIMIT %s
"""


class FlushId(NamedTuple):
    """A flush of a shard, growing in order of arrival."""

    token: int
    flush: int


async def write_log(
    connection: Connection, log: Sequence[LoggedTicks], covered: Mapping[int, int | None]
) -> None:
    """Log ticks within the transaction of *connection*; again changes nothing."""
    if log:
        await connection.execute(
            _INSERT,
            [
                integers([part.shard for part in log]),
                times(part.slot.slot_ns for part in log),
                bigints([part.token for part in log]),
                bigints([part.flush for part in log]),
                bigints([part.slot.from_ns for part in log]),
                bigints([part.slot.to_ns for part in log]),
                integers([part.slot.ticks for part in log]),
                blobs([part.slot.payload for part in log]),
            ],
        )
    begun = {shard: from_ns for shard, from_ns in covered.items() if from_ns is not None}
    if begun:
        await connection.execute(_COVER, [list(begun), list(begun.values())])
    if len(begun) < len(covered):
        await connection.execute(_UNCOVER, [[shard for shard in covered if shard not in begun]])


class TickLog:
    """Reads the log. Any number of tasks may share one."""

    def __init__(self, db: Database, *, shards: int) -> None:
        """*db* stays the caller's; *shards* as the aggregator that wrote it."""
        self._db, self._shards = db, shards
        self._warnings = RateLimited(_LOG, time.monotonic_ns, interval_s=_WARN_S)

    async def ticks(self, symbol: Symbol, start_ns: int, end_ns: int) -> AsyncIterator[Tick]:
        """Ticks with an event time in ``[start_ns, end_ns)``: by (event time, seq), then arrival.

        Holds the symbol's ticks of five minutes at a time. What is logged meanwhile may be there
        or not; each tick comes once.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
            TickLogError: a newer program wrote what is there.
        """
        async for part in self.slots(symbol, start_ns, end_ns):
            for tick in sorted(part, key=_order_of):  # stable
                yield tick

    async def slots(
        self,
        symbol: Symbol,
        start_ns: int,
        end_ns: int,
        *,
        without: frozenset[FlushId] = frozenset(),
    ) -> AsyncIterator[list[Tick]]:
        """The same in lists of at most five minutes (epoch-aligned), each in order of arrival.

        Those of the flushes *without* are left out.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
            TickLogError: a newer program wrote what is there.
        """
        slot_ns, found = 0, list[Tick]()
        async for part in self.parts(symbol, start_ns, end_ns, without=without):
            of_ns = int(part.event_ns[0]) // SLOT_NS
            if of_ns != slot_ns and found:
                yield found
                found = []
            slot_ns = of_ns
            found += part.ticks()
        if found:
            yield found

    async def parts(
        self,
        symbol: Symbol,
        start_ns: int,
        end_ns: int,
        *,
        without: frozenset[FlushId] = frozenset(),
    ) -> AsyncIterator[Ticks]:
        """The same in columns, as they were flushed: by five minutes, then in order of arrival.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
            TickLogError: a newer program wrote what is there.
        """
        unpacked = 0
        async for row in self._rows(shard_of(symbol, self._shards), start_ns, end_ns):
            unpacked += len(row.payload)
            if unpacked > _TURN_BYTES:
                await asyncio.sleep(0)
                unpacked = 0
            some = None if row.flush_id in without else decode_symbol(row.payload, symbol)
            found = None if some is None else some.between(start_ns, end_ns)
            if found is not None and len(found):
                yield found

    async def covered_from(self, symbol: Symbol) -> int | None:
        """From which event time on the log has every tick of *symbol* that was ever folded.

        None: from none on, as nothing is logged (``tick_log_days`` 0), or nothing was folded yet.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        shard = shard_of(symbol, self._shards)
        rows = await self._db.fetch("log cover", _COVERED_FROM, [shard])
        return int(rows[0][0]) if rows else None

    async def amendments(self, symbol: Symbol) -> list[Word]:
        """The corrections and cancels that were applied to ticks of *symbol*, in no order.

        Sightings of their trades are among them. Of very many the newest, and a warning is logged.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
            TickLogError: a newer program wrote one, or it is damaged.
        """
        return await amendments_of(self._db, symbol, warnings=self._warnings)

    async def _rows(self, shard: int, start_ns: int, end_ns: int) -> "AsyncIterator[_LogRow]":
        """Payloads with ticks in the range, by slot, then in order of arrival."""
        start_ns, end_ns = max(start_ns, 0), min(end_ns, MAX_NS)
        if end_ns <= start_ns:
            return
        first, last = to_datetime(start_ns - start_ns % SLOT_NS), to_datetime(end_ns - 1)
        after, limit = (first, -1, -1), _FEW_ROWS
        while True:
            parameters = [shard, first, last, start_ns, end_ns, *after, limit]
            rows = await self._db.fetch("tick log", _PAGE_OF_ROWS, parameters)
            for _, token, flush, payload in rows:
                yield _LogRow(FlushId(token, flush), payload)
            if len(rows) < limit:
                return
            after = rows[-1][:3]
            size = sum(len(payload) for *_, payload in rows) // len(rows)
            limit = max(_FEW_ROWS, min(_MOST_ROWS, _PAGE_BYTES // max(size, 1)))


class _LogRow(NamedTuple):
    flush_id: FlushId
    payload: bytes


def _order_of(tick: Tick) -> tuple[int, int]:
    return tick.event_ns, tick.seq
