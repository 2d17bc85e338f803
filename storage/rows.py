"""Rows: how bars look in the database's columns. Pure."""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from core.market.bar import Bar, BarRow
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe

MAX_NS: Final = 2**63 - 1  # 2262-04-11; int64 nanoseconds end there
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Checkpoint(msgspec.Struct, frozen=True):
    """Where a shard of the aggregator goes on: its state and its unpublished bars, encoded."""

    shard: int
    token: int
    flush: int
    state: bytes
    outbox: bytes


class FlushBatch(msgspec.Struct, frozen=True):
    """What one flush writes, in one transaction."""

    rows: Sequence[BarRow] = ()
    checkpoints: Sequence[Checkpoint] = ()
    last_trades: Sequence[Tick] = ()


class SymbolRow(msgspec.Struct, frozen=True):
    """A symbol that has been traded, and its newest trade where one is known."""

    symbol: Symbol
    last_trade: Tick | None = None


def to_datetime(time_ns: int) -> datetime:
    """The moment of *time_ns*, to the microsecond, rounded down.

    Times outside 1970 to 2262 (int64 nanoseconds) are taken as those limits: nothing is stored
    beyond them, so a range query means the same.
    """
    return _EPOCH + timedelta(microseconds=min(max(time_ns, 0), MAX_NS) // 1_000)


def pack_parts(parts: Iterable[float]) -> bytes:
    """Unrounded sums as little-endian float64."""
    values = tuple(parts)
    return struct.pack(f"<{len(values)}d", *values)


def unpack_parts(packed: bytes) -> tuple[float, ...]:
    """Read :func:`pack_parts`."""
    return struct.unpack(f"<{len(packed) // 8}d", packed)


def newest_rows(rows: Iterable[BarRow]) -> list[BarRow]:
    """One row per bar, the one with the largest ``rev`` (the later one of equals), by key.

    Sorted, so that two transactions lock rows in the same order, and index pages are met once.
    """
    best: dict[tuple[str, str, int], BarRow] = {}
    for row in rows:
        key = (row.bar.symbol, row.bar.timeframe.value, row.bar.start_ns)
        known = best.get(key)
        if known is None or row.bar.rev >= known.bar.rev:
            best[key] = row
    return [best[key] for key in sorted(best)]


def newest_trades(ticks: Iterable[Tick]) -> dict[Symbol, Tick]:
    """By symbol the newest of *ticks*, by (event time, sequence), the later one of equals."""
    newest: dict[Symbol, Tick] = {}
    for tick in ticks:
        known = newest.get(tick.symbol)
        if known is None or (tick.event_ns, tick.seq) >= (known.event_ns, known.seq):
            newest[tick.symbol] = tick
    return newest


def bar_of(record: Sequence[Any]) -> Bar:
    """A bar from ``(symbol, timeframe, start in s, o, h, l, c, v, trades, vwap, rev, gap)``."""
    symbol, timeframe, start_s, o, h, low, c, volume, trades, vwap, rev, gap = record
    return Bar(
        Symbol(symbol),
        Timeframe(timeframe),
        start_s * 1_000_000_000,
        o,
        h,
        low,
        c,
        volume,
        trades,
        vwap,
        rev=rev,
        gap=gap,
    )


def bar_row_of(record: Sequence[Any]) -> BarRow:
    """A stored row from the fields of :func:`bar_of`, the order keys and the packed parts."""
    open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts = record[12:]
    return BarRow(
        bar_of(record[:12]),
        (open_ns, open_seq),
        (close_ns, close_seq),
        unpack_parts(volume_parts),
        unpack_parts(notional_parts),
    )


def symbol_row_of(record: Sequence[Any]) -> SymbolRow:
    """A symbol from ``(symbol, trade_id, price, size, event_ns, side, seq)``."""
    symbol, trade_id, price, size, event_ns, side, seq = record
    if event_ns is None:
        return SymbolRow(Symbol(symbol))
    tick = Tick(Symbol(symbol), trade_id, price, size, event_ns, Side(side), seq)
    return SymbolRow(Symbol(symbol), tick)
