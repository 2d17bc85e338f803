"""BarStore: bars, checkpoints and symbols in PostgreSQL, with or without TimescaleDB."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from core.market.bar import Bar, BarRow
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, Timeframe
from storage.database import Connection, Database
from storage.errors import StaleOwner
from storage.retention import Retention
from storage.rows import (
    Checkpoint,
    FlushBatch,
    SymbolRow,
    bar_columns,
    bar_row_of,
    bars_of,
    newest_rows,
    newest_trades,
    symbol_row_of,
    to_datetime,
)

__all__ = ["BarStore", "Checkpoint", "FlushBatch", "SymbolRow"]

_UPSERT_BARS: Final = """
INSERT INTO bars AS stored (symbol, timeframe, time, open, high, low, close, volume, trades, vwap,
    rev, gap, open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts)
SELECT * FROM unnest(%b::text[], %b::text[], %b::timestamptz[], %b::float8[], %b::float8[],
    %b::float8[], %b::float8[], %b::float8[], %b::bigint[], %b::float8[], %b::int[], %b::bool[],
    %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[])
ON CONFLICT (symbol, timeframe, time) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, trades = excluded.trades, vwap = excluded.vwap, rev = excluded.rev,
    gap = excluded.gap, open_ns = excluded.open_ns, open_seq = excluded.open_seq,
    close_ns = excluded.close_ns, close_seq = excluded.close_seq,
    volume_parts = excluded.volume_parts, notional_parts = excluded.notional_parts
WHERE excluded.rev >= stored.rev
"""
_UPSERT_CHECKPOINTS: Final = """
INSERT INTO shard_checkpoints AS stored (shard, token, flush, state, outbox)
SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bytea[], %s::bytea[])
ON CONFLICT (shard) DO UPDATE SET
    token = excluded.token, flush = excluded.flush, state = excluded.state,
    outbox = excluded.outbox
WHERE (excluded.token, excluded.flush) >= (stored.token, stored.flush)
RETURNING shard
"""
_UPSERT_SYMBOLS: Final = """
INSERT INTO symbols AS stored (symbol, event_ns, seq, trade_id, price, size, side)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[],
    %s::float8[], %s::smallint[])
ON CONFLICT (symbol) DO UPDATE SET
    event_ns = excluded.event_ns, seq = excluded.seq, trade_id = excluded.trade_id,
    price = excluded.price, size = excluded.size, side = excluded.side
WHERE excluded.event_ns IS NOT NULL AND (stored.event_ns IS NULL
    OR (excluded.event_ns, excluded.seq) >= (stored.event_ns, stored.seq))
"""
_BAR: Final = """b.symbol, b.timeframe, date_part('epoch', b.time)::bigint * 1000000000, b.open,
    b.high, b.low, b.close, b.volume, b.trades, b.vwap, b.rev, true, b.gap"""
_LOAD_ROWS: Final = f"""
SELECT {_BAR}, b.open_ns, b.open_seq, b.close_ns, b.close_seq, b.volume_parts, b.notional_parts
FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS wanted (symbol, timeframe, time)
JOIN bars b USING (symbol, timeframe, time)
"""
# One index scan per symbol, in the order of the symbols, given up when the limit is reached: a
# lateral sub-query can only be joined by a nested loop, which keeps the order of its outer side.
_PAGE: Final = f"""
SELECT {_BAR} FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[])
    AS wanted (symbol, first, last)
CROSS JOIN LATERAL (
    SELECT * FROM bars WHERE bars.symbol = wanted.symbol AND bars.timeframe = %s
        AND bars.time >= %s AND bars.time <= %s
        AND bars.time >= wanted.first AND bars.time <= wanted.last
    ORDER BY bars.time ASC LIMIT %s
) b LIMIT %s
"""
_PAGE_DESCENDING: Final = _PAGE.replace("ASC", "DESC")
_LATEST: Final = f"""
SELECT {_BAR} FROM unnest(%s::text[]) AS wanted (symbol)
CROSS JOIN LATERAL (
    SELECT * FROM bars WHERE bars.symbol = wanted.symbol AND bars.timeframe = %s
    ORDER BY bars.time DESC LIMIT 1
) b
"""
_DAY: Final = """
WITH day AS (
    SELECT symbol, min(time) AS first, max(time) AS last, max(high) AS high, min(low) AS low,
        sum(volume) AS volume, sum(trades)::bigint AS trades, sum(vwap * volume) AS notional,
        bool_or(gap) AS gap
    FROM bars
    WHERE timeframe = '1Min' AND time >= %s AND time < %s
        AND (%s::text[] IS NULL OR symbol = ANY(%s::text[]))
    GROUP BY symbol
)
SELECT day.symbol, '1Min', %s::bigint, o.open, day.high, day.low, c.close, day.volume, day.trades,
    day.notional / day.volume, 0, true, day.gap
FROM day
JOIN bars o ON o.symbol = day.symbol AND o.timeframe = '1Min' AND o.time = day.first
JOIN bars c ON c.symbol = day.symbol AND c.timeframe = '1Min' AND c.time = day.last
"""


class BarStore:
    """What the aggregator writes and the gateway reads. Any number of tasks may share one."""

    def __init__(self, db: Database) -> None:
        """*db* stays the caller's, who opens and closes it."""
        self._db = db

    async def flush(self, batch: FlushBatch) -> None:
        """Write *batch* in one transaction: all of it or nothing.

        Repeating a flush changes nothing. A row with a smaller ``rev`` than the stored one, and
        an older last trade, leave what is stored.

        Raises:
            StaleOwner: a shard's stored checkpoint is newer; nothing was written.
            DatabaseUnavailable: nothing was written, or (when the connection broke at the
                commit) all of it was: flush the same batch again.
        """
        rows = newest_rows(batch.rows)
        async with self._db.transaction("flush") as connection:
            if batch.checkpoints:
                await _write_checkpoints(connection, batch.checkpoints)
            if rows:
                await connection.execute(_UPSERT_BARS, bar_columns(rows))
            symbols = _symbol_values(batch)
            if symbols:
                await connection.execute(_UPSERT_SYMBOLS, _columns(symbols))

    async def load_rows(self, keys: Sequence[tuple[Symbol, Timeframe, int]]) -> list[BarRow]:
        """The stored rows of the given windows (symbol, timeframe, start), in no order.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        if not keys:
            return []
        values = [
            (symbol, timeframe.value, to_datetime(start)) for symbol, timeframe, start in keys
        ]
        records = await self._db.fetch("load_rows", _LOAD_ROWS, _columns(values))
        return [bar_row_of(record) for record in records]

    async def load_checkpoints(self) -> list[Checkpoint]:
        """All shards' checkpoints, by shard.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        records = await self._db.fetch(
            "load_checkpoints",
            "SELECT shard, token, flush, state, outbox FROM shard_checkpoints ORDER BY shard",
        )
        return [Checkpoint(*record) for record in records]

    async def page(  # noqa: PLR0913 - one argument per query parameter
        self,
        *,
        symbols: Sequence[Symbol],
        timeframe: Timeframe,
        start_ns: int,
        end_ns: int,
        limit: int,
        descending: bool = False,
        after: tuple[Symbol, int] | None = None,
    ) -> list[Bar]:
        """Bars with a window start in ``[start_ns, end_ns]``, by symbol, then time.

        Args:
            symbols: whose; repeats count once. Sorted by code point, whatever their order here.
            timeframe: of the bars.
            start_ns: first window start, UNIX nanoseconds.
            end_ns: last window start.
            limit: at most so many bars in all, >= 1.
            descending: newest first within a symbol; symbols still ascend.
            after: symbol and window start of the last bar of the page before; that bar and those
                that precede it in the order are left out, also when it is gone meanwhile.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        wanted = sorted(s for s in set(symbols) if after is None or s >= after[0])
        if not wanted or end_ns < max(start_ns, 0):
            return []
        first, last = to_datetime(max(start_ns, 0) + 999), to_datetime(end_ns)
        bounds = [_bounds(symbol, start_ns, end_ns, descending, after) for symbol in wanted]
        sql = _PAGE_DESCENDING if descending else _PAGE
        parameters = [*_columns(bounds), timeframe.value, first, last, limit, limit]
        records = await self._db.fetch("page", sql, parameters)
        return bars_of(records)

    async def latest(self, symbols: Sequence[Symbol], timeframe: Timeframe) -> dict[Symbol, Bar]:
        """The newest stored bar of each symbol that has one.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        if not symbols:
            return {}
        records = await self._db.fetch("latest", _LATEST, [list(symbols), timeframe.value])
        return {bar.symbol: bar for bar in bars_of(records)}

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
        records = await self._db.fetch("day_bars", _DAY, [first, end, names, names, day_start_ns])
        return {bar.symbol: bar for bar in bars_of(records)}

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

        Raises:
            DatabaseUnavailable: it is away; what was deleted until then stays deleted.
        """
        return await Retention(self._db).drop_older(timeframe, keep_ns)

    async def prune(self, *, max_bytes: int) -> int:
        """Bring the database under *max_bytes* by deleting whole days, oldest first.

        1-minute bars go first, then 5, then 15; the newest day of each stays. The space is used
        again, though the file keeps its size. A hypertable drops whole chunks, of all timeframes.

        Returns:
            How many bars were deleted; 0 when the database is small enough, or nothing may go.

        Raises:
            DatabaseUnavailable: it is away; what was deleted until then stays deleted.
        """
        return await Retention(self._db).prune(max_bytes)


async def _write_checkpoints(connection: Connection, checkpoints: Sequence[Checkpoint]) -> None:
    ordered = sorted(checkpoints, key=lambda checkpoint: checkpoint.shard)
    values = [(c.shard, c.token, c.flush, c.state, c.outbox) for c in ordered]
    cursor = await connection.execute(_UPSERT_CHECKPOINTS, _columns(values))
    written = {shard for (shard,) in await cursor.fetchall()}
    for refused in (c for c in ordered if c.shard not in written):
        cursor = await connection.execute(
            "SELECT token FROM shard_checkpoints WHERE shard = %s", [refused.shard]
        )
        (stored_token,) = await cursor.fetchone() or (refused.token,)
        raise StaleOwner(refused.shard, token=refused.token, stored_token=stored_token)


def _symbol_values(batch: FlushBatch) -> list[tuple[Any, ...]]:
    trades = newest_trades(batch.last_trades)
    names = sorted({*trades, *(row.bar.symbol for row in batch.rows)})
    values: list[tuple[Any, ...]] = []
    for name in names:
        t = trades.get(name)
        values.append(
            (name, *([None] * 6))
            if t is None
            else (name, t.event_ns, t.seq, t.trade_id, t.price, t.size, int(t.side))
        )
    return values


def _bounds(
    symbol: Symbol, start_ns: int, end_ns: int, descending: bool, after: tuple[Symbol, int] | None
) -> tuple[Any, ...]:
    """First and last window start for one symbol: only the cursor's own is narrowed."""
    first_ns, last_ns = start_ns, end_ns
    if after is not None and after[0] == symbol:
        if descending:
            last_ns = min(end_ns, after[1] - 1)
        else:
            first_ns = max(start_ns, after[1] + 1)
    return (symbol, to_datetime(first_ns + 999), to_datetime(last_ns))


def _columns(values: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*values, strict=True)]
