"""Pages of trades out of the tick log: as they stand after corrections and cancels."""

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from core.market.amended import Word
from core.market.block import Ticks, join_ticks
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS
from storage.database import Database
from storage.keys import shard_of
from storage.rows import MAX_NS, to_datetime
from storage.tick_codec import SLOT_NS
from storage.tick_log import TickLog
from storage.trade_order import Span, TradeCursor, cursor_at, trades_of

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
            span = Span(start_ns, end_ns, descending, cursor)
            words: list[Word] | None = None
            async for edge_ns, looked, ticks in self._stretches(symbol, span):
                if ticks is not None:
                    if words is None:
                        words = await self._log.amendments(symbol)
                    found += trades_of(ticks, words, span, limit + 1 - len(found))
                if len(found) > limit:
                    del found[limit:]
                    return TradePage(found, cursor_at(found, after))
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
        self, symbol: Symbol, span: Span
    ) -> AsyncIterator[tuple[int, int, Ticks | None]]:
        """Stretches of the log that begin where it has rows of the symbol's shard.

        Each with the last nanosecond of it that was looked at, how many slots it has, and the
        symbol's ticks of all minutes that *span* touches, in order of arrival within a slot.
        """
        shard = shard_of(symbol, self._shards)
        first, last = _left_of(span)
        low, high = first - first % SLOT_NS, last - last % SLOT_NS
        many = 1
        while low <= high:
            times = [to_datetime(high), to_datetime(low)]
            if span.descending:
                rows = await self._db.fetch("slot before", _SLOT_BEFORE, [shard, *times])
            else:
                rows = await self._db.fetch("slot after", _SLOT_AFTER, [shard, *times[::-1]])
            if not rows:
                return
            slot_ns = rows[0][0]
            from_ns = slot_ns - (many - 1) * SLOT_NS if span.descending else slot_ns
            to_ns = from_ns + many * SLOT_NS
            since_ns = max(from_ns, first - first % MINUTE_NS)
            until_ns = min(to_ns, last - last % MINUTE_NS + MINUTE_NS)
            part = join_ticks([t async for t in self._log.parts(symbol, since_ns, until_ns)])
            yield (from_ns if span.descending else to_ns - 1), many, part
            low, high = (low, from_ns - SLOT_NS) if span.descending else (to_ns, high)
            many = min(2 * many, _MOST_AT_ONCE) if part is None else 1


def _left_of(span: Span) -> tuple[int, int]:
    """First and last event time that pages before have not passed, and that rows may have."""
    first, last = max(span.first_ns, 0), min(span.last_ns, MAX_NS - 1)
    if span.after is None:
        return first, last
    at = span.after.key[0]
    return (first, min(last, at)) if span.descending else (max(first, at), last)
