"""Rows: how bars look in the database's columns. Pure."""

import functools
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from core.market.amended import Word
from core.market.bar import Bar, BarRow
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from storage.packed import PackedArray, bigints, blobs, booleans, floats, integers, texts, times
from storage.tick_codec import LogSlot

MAX_NS: Final = 2**63 - 1  # 2262-04-11; int64 nanoseconds end there
_BAR_FIELDS: Final = len(Bar.__struct_fields__)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Checkpoint(msgspec.Struct, frozen=True):
    """Where a shard of the aggregator goes on: its state and its unpublished bars, encoded."""

    shard: int
    token: int
    flush: int
    state: bytes
    outbox: bytes


class LoggedTicks(msgspec.Struct, frozen=True):
    """Ticks that a flush of a shard folded, of one slot of the tick log, encoded."""

    shard: int
    token: int
    flush: int
    slot: LogSlot


class Retold(msgspec.Struct, frozen=True):
    """The last trade of *symbol* was amended: where ``trade_id`` is it still, it is ``now``."""

    symbol: Symbol
    trade_id: int
    now: Tick | None


class FlushBatch(msgspec.Struct, frozen=True):
    """What one flush writes, in one transaction.

    ``covered`` says for some shards from which event time on the log has every tick, unless the
    log says something already; None: it has not, from now on.
    """

    rows: Sequence[BarRow] = ()
    checkpoints: Sequence[Checkpoint] = ()
    last_trades: Sequence[Tick] = ()
    log: Sequence[LoggedTicks] = ()
    covered: Mapping[int, int | None] = {}  # by shard
    amendments: Sequence[Word] = ()
    retold: Sequence[Retold] = ()


class LeaseRow(NamedTuple):
    """Who owns a shard; ``owner`` is empty when nobody does. ``expired``: it was not renewed."""

    shard: int
    owner: str
    expired: bool


class LeaseView(NamedTuple):
    """What an aggregator sees when it renews its leases."""

    renewed: frozenset[int]  # shards that it still holds
    leases: tuple[LeaseRow, ...]
    members: frozenset[str]  # the aggregators that run, by owner's name


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
    return _floats(len(values)).pack(*values)


@functools.lru_cache(maxsize=64)
def _floats(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}d")


def unpack_parts(packed: bytes) -> tuple[float, ...]:
    """Read :func:`pack_parts`."""
    return struct.unpack(f"<{len(packed) // 8}d", packed)


def bar_columns(rows: Sequence[BarRow]) -> list[PackedArray]:
    """The columns of one timeframe's bars: their fields, the order keys, packed parts."""
    bars = [row.bar for row in rows]
    return [
        texts(bar.symbol for bar in bars),
        times(bar.start_ns for bar in bars),
        floats([bar.open for bar in bars]),
        floats([bar.high for bar in bars]),
        floats([bar.low for bar in bars]),
        floats([bar.close for bar in bars]),
        floats([bar.volume for bar in bars]),
        bigints([bar.trades for bar in bars]),
        floats([bar.vwap for bar in bars]),
        integers([bar.rev for bar in bars]),
        booleans([bar.gap for bar in bars]),
        bigints([row.open_key[0] for row in rows]),
        bigints([row.open_key[1] for row in rows]),
        bigints([row.close_key[0] for row in rows]),
        bigints([row.close_key[1] for row in rows]),
        blobs([pack_parts(row.volume_parts) for row in rows]),
        blobs([pack_parts(row.notional_parts) for row in rows]),
    ]


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


def bars_of(records: Iterable[Sequence[Any]]) -> list[Bar]:
    """Bars from records of a bar's fields in their order."""
    return msgspec.convert(records, list[Bar])


def bar_row_of(record: Sequence[Any]) -> BarRow:
    """A stored row from a bar's fields, the order keys and the packed parts."""
    open_ns, open_seq, close_ns, close_seq, volume_parts, notional_parts = record[_BAR_FIELDS:]
    return BarRow(
        msgspec.convert(record[:_BAR_FIELDS], Bar),
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
