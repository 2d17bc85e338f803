"""Pages of trades out of the tick log: as they stand after corrections and cancels."""

import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from core.market.amended import Word, amended
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS
from storage.database import Database
from storage.keys import shard_of
from storage.rows import MAX_NS, to_datetime
from storage.tick_codec import SLOT_NS
from storage.tick_log import TickLog

_MAX_SLOTS: Final = 288  # of five minutes, a day: looked through for one page, then it ends
_MOST_AT_ONCE: Final = 4  # slots, where those before had none of the symbol's trades
_LEAST, _MOST = -(2**63), 2**63 - 1

_SLOT_BEFORE: Final = """
SELECT date_part('epoch', time)::bigint * 1000000000 FROM tick_log
WHERE shard = %s AND time <= %s AND time >= %s ORDER BY time DESC LIMIT 1
"""
_SLOT_AFTER: Final = """
SELECT date_part('epoch', time)::bigint * 1000000000 FROM tick_log
WHERE shard = %s AND time >= %s AND time <= %s ORDER BY time LIMIT 1
"""
_COVERS: Final = "SELECT shard, from_ns FROM tick_log_cover WHERE shard = ANY (%s::int[])"

Key = tuple[int, int, int]
"""Event time, sequence, id: what trades are ordered by, then by arrival."""


class TradeCursor(NamedTuple):
    """Where a page of trades ended: behind ``given`` trades of *symbol* with the very same key."""

    symbol: Symbol
    key: Key
    given: int


class TradePage(NamedTuple):
    """Trades by symbol, then time; ``after`` is where the next page goes on, None: nowhere."""

    trades: list[Tick]
    after: TradeCursor | None


class TradePages:
    """Reads trades page by page; any number of tasks may share one."""

    def __init__(self, db: Database, *, shards: int) -> None:
        """*db* stays the caller's; *shards* as the aggregator that wrote the log."""
        self._db, self._shards = db, shards
        self._log = TickLog(db, shards=shards)

    async def page(
        self,
        *,
        symbols: Sequence[Symbol],
        start_ns: int,
        end_ns: int,
        limit: int,
        descending: bool = False,
        after: TradeCursor | None = None,
    ) -> TradePage:
        """Trades with an event time in ``[start_ns, end_ns]``, by symbol, then (time, seq, id).

        Args:
            symbols: whose; repeats count once.
            start_ns: first event time, UNIX nanoseconds.
            end_ns: last event time.
            limit: at most so many in all, >= 1. May be fewer though more follow, where trades lie
                far apart: a page looks through a day of log.
            descending: newest first within a symbol; symbols still ascend.
            after: where the page before ended.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
            TickLogError: a newer program wrote what is there.
        """
        found: list[Tick] = []
        slots = 0
        for symbol in sorted(set(symbols)):
            if after is not None and symbol < after.symbol:
                continue
            cursor = after if after is not None and after.symbol == symbol else None
            amendments: list[Word] | None = None
            async for edge_ns, looked, part in self._stretches(
                symbol, start_ns, end_ns, descending, cursor
            ):
                if part and amendments is None:
                    amendments = await self._log.amendments(symbol)
                found += _past(_ordered(part, amendments or (), descending), cursor, descending)
                if len(found) > limit:
                    del found[limit:]
                    return TradePage(found, _cursor_at(found, after))
                slots += looked
                if slots >= _MAX_SLOTS:
                    beyond = _LEAST if descending else _MOST
                    return TradePage(found, TradeCursor(symbol, (edge_ns, beyond, beyond), 0))
        return TradePage(found, None)

    async def covered_from(self, symbols: Sequence[Symbol]) -> dict[Symbol, int]:
        """From which event time on every trade is there, of the symbols for which that is so.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        shards = {symbol: shard_of(symbol, self._shards) for symbol in symbols}
        rows = await self._db.fetch("log covers", _COVERS, [sorted(set(shards.values()))])
        covers = dict(rows)
        return {symbol: int(covers[at]) for symbol, at in shards.items() if at in covers}

    async def _stretches(
        self,
        symbol: Symbol,
        start_ns: int,
        end_ns: int,
        descending: bool,
        cursor: TradeCursor | None,
    ) -> AsyncIterator[tuple[int, int, list[Tick]]]:
        """Stretches of the log that begin where it has rows of the symbol's shard.

        Each with the last nanosecond of it that was looked at, how many slots it has, and the
        symbol's ticks.
        """
        shard = shard_of(symbol, self._shards)
        first, last = max(start_ns, 0), min(end_ns, MAX_NS - 1)
        if cursor is not None:
            first, last = (first, cursor.key[0]) if descending else (cursor.key[0], last)
            first, last = max(first, start_ns), min(last, end_ns)
        low, high = first - first % SLOT_NS, last - last % SLOT_NS
        many = 1
        while low <= high:
            span = [to_datetime(high), to_datetime(low)]
            if descending:
                rows = await self._db.fetch("slot before", _SLOT_BEFORE, [shard, *span])
            else:
                rows = await self._db.fetch("slot after", _SLOT_AFTER, [shard, *span[::-1]])
            if not rows:
                return
            slot_ns = rows[0][0]
            from_ns = slot_ns - (many - 1) * SLOT_NS if descending else slot_ns
            to_ns = from_ns + many * SLOT_NS
            since_ns, until_ns = max(from_ns, first), min(to_ns, last + 1)
            part = [
                tick async for some in self._log.slots(symbol, since_ns, until_ns) for tick in some
            ]
            yield (from_ns if descending else to_ns - 1), many, part
            low, high = (low, from_ns - SLOT_NS) if descending else (to_ns, high)
            many = 1 if part else min(2 * many, _MOST_AT_ONCE)


def _key_of(tick: Tick) -> Key:
    return tick.event_ns, tick.seq, tick.trade_id


def _ordered(ticks: Sequence[Tick], amendments: Sequence[Word], descending: bool) -> list[Tick]:
    """As they stand, in order; those of one key in order of arrival, whichever way."""
    left = sorted(ticks, key=_key_of)
    if amendments:  # minute by minute, as the bars are made
        minutes = itertools.groupby(left, key=lambda tick: tick.event_ns // MINUTE_NS)
        left = [tick for _, some in minutes for tick in amended(list(some), amendments)]
        left.sort(key=_key_of)
    if descending:  # stable, so trades of one key stay in order of arrival
        left.sort(key=_key_of, reverse=True)
    return left


def _past(ticks: list[Tick], cursor: TradeCursor | None, descending: bool) -> list[Tick]:
    """Those of ordered *ticks* that no page before had."""
    if cursor is None:
        return ticks
    met = 0
    for at, tick in enumerate(ticks):
        key = _key_of(tick)
        if key == cursor.key and met < cursor.given:
            met += 1
        elif key == cursor.key or (key < cursor.key if descending else key > cursor.key):
            return ticks[at:]
    return []


def _cursor_at(found: Sequence[Tick], before: TradeCursor | None) -> TradeCursor:
    """Where a page ended whose last trades are *found*, and that went on from *before*."""
    last = found[-1]
    key = _key_of(last)
    count = len(
        list(
            itertools.takewhile(
                lambda tick: tick.symbol == last.symbol and _key_of(tick) == key, reversed(found)
            )
        )
    )
    if before is not None and before.symbol == last.symbol and before.key == key:
        count += before.given
    return TradeCursor(last.symbol, key, count)
