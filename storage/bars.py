"""BarStore: bars, checkpoints and symbols in PostgreSQL, with or without TimescaleDB."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from core.market.bar import Bar, BarRow, within
from core.market.bar_columns import BarColumns
from core.market.bar_range import BarRange
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, TIMEFRAMES, Timeframe
from storage.amendments import retell, write_amendments
from storage.bar_pages import BarPages
from storage.bar_queries import (
    DAY,
    LATEST,
    LOAD_ROWS,
    NEWEST_WINDOW,
)
from storage.bar_upsert import upsert_bars
from storage.database import Connection, Database
from storage.errors import StaleOwner
from storage.packed import bigints, blobs, integers
from storage.rebuilds import Rebuilds
from storage.retention import Retention
from storage.rows import (
    Checkpoint,
    FlushBatch,
    SymbolRow,
    bar_row_of,
    bars_of,
    newest_rows,
    symbol_row_of,
    to_datetime,
)
from storage.shard_leases import check_leases
from storage.symbol_table import write_symbols
from storage.tick_log import TickLog, write_log
from storage.trade_pages import TradePages

__all__ = ["BarStore", "Checkpoint", "FlushBatch", "SymbolRow"]

_UPSERT_CHECKPOINTS: Final = """
INSERT INTO shard_checkpoints AS stored (shard, token, flush, state, outbox)
SELECT * FROM unnest(%b::int[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[])
ON CONFLICT (shard) DO UPDATE SET
    token = excluded.token, flush = excluded.flush, state = excluded.state,
    outbox = excluded.outbox
WHERE (excluded.token, excluded.flush) >= (stored.token, stored.flush)
RETURNING shard
"""
_LOAD_CHECKPOINTS: Final = """
SELECT shard, token, flush, state, outbox FROM shard_checkpoints
WHERE shard = ANY(%s::int[]) ORDER BY shard
"""
_STORED_TOKENS: Final = "SELECT shard, token FROM shard_checkpoints WHERE shard = ANY(%s::int[])"


class BarStore:
    """What the aggregator writes and the gateway reads. Any number of tasks may share one."""

    def __init__(self, db: Database) -> None:
        """*db* stays the caller's, who opens and closes it."""
        self._db, self._pages = db, BarPages(db)

    def tick_log(self, *, shards: int) -> TickLog:
        """The log of the same database; *shards*: see there."""
        return TickLog(self._db, shards=shards)

    def trade_pages(self, *, shards: int) -> TradePages:
        """Pages of the logged trades of the same database; *shards*: see there."""
        return TradePages(self._db, shards=shards)

    def rebuilds(self, *, shards: int) -> Rebuilds:
        """Requests for rebuilds in the same database; *shards*: see there."""
        return Rebuilds(self._db, shards=shards)

    async def flush(self, batch: FlushBatch) -> None:
        """Write *batch* in one transaction: all of it or nothing.

        Repeating a flush changes nothing. A row with a smaller ``rev`` than the stored one, and
        an older last trade, leave what is stored.

        Raises:
            StaleOwner: other aggregators own some of the shards; nothing was written.
            DatabaseUnavailable: nothing was written, or (when the connection broke at the
                commit) all of it was: flush the same batch again.
        """
        rows = newest_rows(batch.rows)
        async with self._db.transaction("flush") as connection:
            if batch.checkpoints:
                await check_leases(connection, {c.shard: c.token for c in batch.checkpoints})
                await _write_checkpoints(connection, batch.checkpoints)
            await write_log(connection, batch.log, batch.covered)
            await write_amendments(connection, batch.amendments)
            await retell(connection, batch.retold)
            if rows:
                await upsert_bars(connection, rows)
            await write_symbols(connection, {row.bar.symbol for row in rows}, batch.last_trades)

    async def load_rows(self, keys: Sequence[tuple[Symbol, Timeframe, int]]) -> list[BarRow]:
        """The stored rows of the given windows (symbol, timeframe, start), in no order.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        if not keys:
            return []
        found: list[BarRow] = []
        for timeframe in TIMEFRAMES:
            some = [(symbol, to_datetime(start)) for symbol, of, start in keys if of == timeframe]
            if some:
                symbols, times = _columns(some)
                parameters = [symbols, times, min(times), max(times)]
                records = await self._db.fetch("load_rows", LOAD_ROWS[timeframe], parameters)
                found += [bar_row_of(record) for record in records]
        return found

    async def load_checkpoints(self, shards: Sequence[int]) -> list[Checkpoint]:
        """The checkpoints of those of *shards* that have one, by shard.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        records = await self._db.fetch("load_checkpoints", _LOAD_CHECKPOINTS, [list(shards)])
        return [Checkpoint(*record) for record in records]

    async def page(
        self, query: BarRange, *, running_ns: Mapping[Symbol, int] | None = None
    ) -> list[Bar]:
        """The bars that *query* asks for.

        *running_ns* is where the open window of a symbol starts, of which nothing is stored yet: a
        rolled bar that has a part in it, or after it, is left out.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        found = await self.columns(query, running_ns=running_ns)
        return found.bars(query.resolution.base)

    async def columns(
        self, query: BarRange, *, running_ns: Mapping[Symbol, int] | None = None
    ) -> BarColumns:
        """As :meth:`page`, in columns: what many bars are best read into and encoded from.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        return await self._pages.columns(query, running_ns=running_ns)

    async def closest_before(
        self, symbol: Symbol, resolution: Resolution, before_ns: int
    ) -> int | None:
        """Start of the newest bar that starts before *before_ns*; None where there is none.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        return await self._pages.closest_before(symbol, resolution, before_ns)

    async def closes_before(
        self, symbols: Sequence[Symbol], timeframe: Timeframe, before_ns: int
    ) -> dict[Symbol, float]:
        """The close of the newest bar that starts before *before_ns*, of symbols that have one.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        return await self._pages.closes_before(symbols, timeframe, before_ns)

    async def latest(self, symbols: Sequence[Symbol], timeframe: Timeframe) -> dict[Symbol, Bar]:
        """The newest stored bar of each symbol that has one.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        if not symbols:
            return {}
        records = await self._db.fetch("latest", LATEST[timeframe], [list(symbols)])
        return {bar.symbol: bar for bar in bars_of(records)}

    async def newest(
        self, symbols: Sequence[Symbol], resolution: Resolution
    ) -> dict[Symbol, list[Bar]]:
        """The stored bars of each symbol's newest window of that length: its parts, by time.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        return await self._pages.newest(symbols, resolution)

    async def newest_windows(self, symbols: Sequence[Symbol]) -> dict[Symbol, int]:
        """Where the newest stored 1-minute window of each symbol starts, for those with one.

        Windows whose trades were all cancelled, which are no bars any more, are among them.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        records = await self._db.fetch("newest_windows", NEWEST_WINDOW, [list(symbols)])
        return {Symbol(symbol): start_ns for symbol, start_ns in records}

    async def day_bars(
        self, symbols: Sequence[Symbol] | None, day_start_ns: int
    ) -> dict[Symbol, Bar]:
        """Each symbol's trading in the 24 hours from *day_start_ns*, rolled up from 1-minute bars.

        The bars carry ``timeframe`` 1Min, as there is no name for a day, and start at
        *day_start_ns*. None for *symbols* means all; symbols without trades are left out.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        first, end = to_datetime(day_start_ns), to_datetime(day_start_ns + DAY_NS)
        names = None if symbols is None else list(symbols)
        span = [first, end]
        parameters = [*span, names, names, day_start_ns, *span, *span]
        records = await self._db.fetch("day_bars", DAY, parameters)
        return {bar.symbol: _with_average_within(bar) for bar in bars_of(records)}

    async def symbols(self) -> list[SymbolRow]:
        """All symbols, sorted.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        records = await self._db.fetch(
            "symbols",
            "SELECT symbol, trade_id, price, size, event_ns, side, seq FROM symbols ORDER BY 1",
        )
        return [symbol_row_of(record) for record in records]

    async def drop_older(self, timeframe: Timeframe, keep_ns: int) -> int:
        """Delete each symbol's bars that start more than *keep_ns* before its newest bar.

        Returns how many. The clock plays no part: an old file's replay is kept like live trading.
        Of a hypertable whole chunks go, so that bars stay until all of their chunk may go.

        Raises:
            DatabaseUnavailable: it is away; what was deleted until then stays deleted.
        """
        return await Retention(self._db).drop_older(timeframe, keep_ns)

    async def prune(self, *, max_bytes: int) -> int:
        """Bring the database under *max_bytes* by deleting whole days, oldest first.

        1-minute bars go first, then 5, then 15; the newest day of each stays. The space is used
        again, though the file keeps its size. Of a hypertable whole chunks go, and leave the disk;
        its newest chunk stays.

        Returns:
            How many bars were deleted; 0 when the database is small enough, or nothing may go.

        Raises:
            DatabaseUnavailable: it is away; what was deleted until then stays deleted.
        """
        return await Retention(self._db).prune(max_bytes)

    async def vacuum(self) -> None:
        """Mark what was written since the last time as readable from the index alone; takes little.

        Autovacuum does it too, but not for the end of a chunk that has got its last bar.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        await Retention(self._db).vacuum()


async def _write_checkpoints(connection: Connection, checkpoints: Sequence[Checkpoint]) -> None:
    """Those that are not older than what is stored; the leases were looked at before."""
    ordered = sorted(checkpoints, key=lambda checkpoint: checkpoint.shard)
    columns = [
        integers([c.shard for c in ordered]),
        bigints([c.token for c in ordered]),
        bigints([c.flush for c in ordered]),
        blobs([c.state for c in ordered]),
        blobs([c.outbox for c in ordered]),
    ]
    cursor = await connection.execute(_UPSERT_CHECKPOINTS, columns)
    written = {shard for (shard,) in await cursor.fetchall()}
    refused = {c.shard: c.token for c in ordered if c.shard not in written}
    if refused:
        cursor = await connection.execute(_STORED_TOKENS, [list(refused)])
        raise StaleOwner({shard: (refused[shard], t) for shard, t in await cursor.fetchall()})


def _columns(values: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*values, strict=True)]


def _with_average_within(bar: Bar) -> Bar:
    vwap = within(bar.vwap, bar.low, bar.high)
    return bar if vwap == bar.vwap else msgspec.structs.replace(bar, vwap=vwap)
