"""Bar tables: which table holds a timeframe's bars, and the statements that write one. Pure."""

from typing import Final, LiteralString

from core.market.timeframe import DAY_NS, Timeframe

TABLES: Final[dict[Timeframe, LiteralString]] = {
    Timeframe.MIN_1: "bars_1min",
    Timeframe.MIN_5: "bars_5min",
    Timeframe.MIN_15: "bars_15min",
}
CHUNK_NS: Final[dict[Timeframe, int]] = {
    Timeframe.MIN_1: 7 * DAY_NS,
    Timeframe.MIN_5: 28 * DAY_NS,
    Timeframe.MIN_15: 84 * DAY_NS,
}
"""Span of a hypertable's chunk. Planning takes 0.1 ms per chunk that a query's range meets, so 400
days of 1-minute bars must not be 400 chunks; 500 bars are in one or two. See docs/storage.md."""

_COLUMNS: Final = """symbol, time, open, high, low, close, volume, trades, vwap, rev, gap, open_ns,
    open_seq, close_ns, close_seq, volume_parts, notional_parts"""


def copy_sql(timeframe: Timeframe) -> LiteralString:
    """Takes what :func:`storage.binary_copy.encode_rows` makes; fails on a bar that is there."""
    return f"COPY {TABLES[timeframe]} ({_COLUMNS}) FROM STDIN (FORMAT binary)"


def upsert_sql(timeframe: Timeframe) -> LiteralString:
    """Takes :func:`storage.rows.bar_columns`; a stored row stays if its ``rev`` is larger."""
    return f"""
INSERT INTO {TABLES[timeframe]} AS stored ({_COLUMNS})
SELECT * FROM unnest(%b::text[], %b::timestamptz[], %b::float8[], %b::float8[],
    %b::float8[], %b::float8[], %b::float8[], %b::bigint[], %b::float8[], %b::int[], %b::bool[],
    %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[])
ON CONFLICT (symbol, time) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, trades = excluded.trades, vwap = excluded.vwap, rev = excluded.rev,
    gap = excluded.gap, open_ns = excluded.open_ns, open_seq = excluded.open_seq,
    close_ns = excluded.close_ns, close_seq = excluded.close_seq,
    volume_parts = excluded.volume_parts, notional_parts = excluded.notional_parts
WHERE excluded.rev >= stored.rev
"""
