"""Bar queries: the statements that read bars, one of each per timeframe. Pure.

No statement is prepared (PgBouncer), so each is planned when it is run: planning must be cheap.
Bounds are constants in all of them, so that the planner leaves out the chunks beyond. A row without
a trade is a window whose trades were all cancelled: only its ``rev`` is of use, to who writes.
"""

from typing import Final, LiteralString

from core.market.timeframe import TIMEFRAMES, Timeframe
from storage.bar_tables import TABLES


def _bar(timeframe: Timeframe) -> LiteralString:
    """A bar's fields in their order, from the row *b*."""
    return f"""b.symbol, '{timeframe.value}', date_part('epoch', b.time)::bigint * 1000000000,
    b.open, b.high, b.low, b.close, b.volume, b.trades, b.vwap, b.rev, true, b.gap"""


def _load_rows(timeframe: Timeframe) -> LiteralString:
    return f"""
SELECT {_bar(timeframe)}, b.open_ns, b.open_seq, b.close_ns, b.close_seq, b.volume_parts,
    b.notional_parts
FROM unnest(%s::text[], %s::timestamptz[]) AS wanted (symbol, time)
JOIN {TABLES[timeframe]} b USING (symbol, time)
WHERE b.time >= %s AND b.time <= %s
"""


def _values(send: LiteralString, value: LiteralString) -> LiteralString:
    """All of a column one after the other: a third less, and sooner, than as an array."""
    return f"string_agg({send}({value}), ''::bytea)"


_MARKED: Final = "b.gap OR b.rev > 0"
_COLUMNS: Final = f"""array_send(array_agg(b.time)),
    {_values("float8send", "b.open")}, {_values("float8send", "b.high")},
    {_values("float8send", "b.low")}, {_values("float8send", "b.close")},
    {_values("float8send", "b.volume")},
    {_values("int8send", f"CASE WHEN {_MARKED} THEN -b.trades ELSE b.trades END")},
    {_values("float8send", "b.vwap")},
    array_send(array_agg(b.rev) FILTER (WHERE {_MARKED})),
    array_send(array_agg(b.gap) FILTER (WHERE {_MARKED}))"""
"""One row with all of each column in binary form: half the work of many rows, here and there. The
aggregates meet the rows in the order of the sub-query, as its plan has no other node above it.
``rev`` and ``gap`` are told of those bars alone that have one, which are marked by a minus before
their number of trades; to tell them of all takes a tenth longer."""


# Each page by an index scan, as below. The last two bounds are those of all pages together.
def _near(timeframe: Timeframe) -> LiteralString:
    return f"""
SELECT wanted.place, page.* FROM unnest(%b::int[], %b::text[], %b::timestamptz[],
    %b::timestamptz[], %b::int[]) AS wanted (place, symbol, first, last, bars)
CROSS JOIN LATERAL (
    SELECT {_COLUMNS}, NULL::bytea FROM (
        SELECT * FROM {TABLES[timeframe]} stored
        WHERE stored.symbol = wanted.symbol AND stored.time >= wanted.first
            AND stored.time <= wanted.last AND stored.time >= %s AND stored.time <= %s
            AND stored.trades > 0
        ORDER BY stored.time ASC LIMIT wanted.bars
    ) b
) page
"""


# One index scan per symbol, in the order of the symbols, given up when the limit is reached: a
# lateral sub-query can only be joined by a nested loop, which keeps the order of its outer side.
def _page(timeframe: Timeframe) -> LiteralString:
    return f"""
SELECT %s::int, {_COLUMNS}, array_send(array_agg(b.at)) FROM (
    SELECT wanted.at, found.*
    FROM unnest(%s::text[]) WITH ORDINALITY AS wanted (symbol, at)
    CROSS JOIN LATERAL (
        SELECT * FROM {TABLES[timeframe]} stored
        WHERE stored.symbol = wanted.symbol AND stored.time >= %s AND stored.time <= %s
            AND stored.trades > 0
        ORDER BY stored.time ASC LIMIT %s
    ) found LIMIT %s
) b
"""


def _close_before(timeframe: Timeframe) -> LiteralString:
    return f"""
SELECT b.symbol, b.close FROM unnest(%s::text[]) AS wanted (symbol)
CROSS JOIN LATERAL (
    SELECT stored.symbol, stored.close FROM {TABLES[timeframe]} stored
    WHERE stored.symbol = wanted.symbol AND stored.time < %s AND stored.trades > 0
    ORDER BY stored.time DESC LIMIT 1
) b
"""


def _latest(timeframe: Timeframe) -> LiteralString:
    return f"""
SELECT {_bar(timeframe)} FROM unnest(%s::text[]) AS wanted (symbol)
CROSS JOIN LATERAL (
    SELECT * FROM {TABLES[timeframe]} stored
    WHERE stored.symbol = wanted.symbol AND stored.trades > 0
    ORDER BY stored.time DESC LIMIT 1
) b
"""


LOAD_ROWS: Final = {timeframe: _load_rows(timeframe) for timeframe in TIMEFRAMES}
"""Stored rows of the windows (symbols, times), which lie between two times."""

CLOSE_BEFORE: Final = {timeframe: _close_before(timeframe) for timeframe in TIMEFRAMES}
"""The close of the newest bar before a time, of each of some symbols that has one."""

NEAR: Final = {timeframe: _near(timeframe) for timeframe in TIMEFRAMES}
"""Pages of a symbol each (places, symbols, first and last times, numbers of bars), of times near
each other: a row for each with its place, and columns as those of PAGES."""

NEAR_DESCENDING: Final = {
    timeframe: statement.replace(" ASC ", " DESC ") for timeframe, statement in NEAR.items()
}

PAGES: Final = {timeframe: _page(timeframe) for timeframe in TIMEFRAMES}
"""Bars of sorted symbols from one time to another, so many of each, so many in all: a row with the
place that is given, and columns with the number of each bar's symbol, from 1."""

PAGES_DESCENDING: Final = {
    timeframe: statement.replace(" ASC ", " DESC ") for timeframe, statement in PAGES.items()
}

LATEST: Final = {timeframe: _latest(timeframe) for timeframe in TIMEFRAMES}
"""The newest bar of each of some symbols."""

NEWEST_WINDOW: Final = f"""
SELECT b.symbol, date_part('epoch', b.time)::bigint * 1000000000
FROM unnest(%s::text[]) AS wanted (symbol)
CROSS JOIN LATERAL (
    SELECT stored.symbol, stored.time FROM {TABLES[Timeframe.MIN_1]} stored
    WHERE stored.symbol = wanted.symbol ORDER BY stored.time DESC LIMIT 1
) b
"""
"""Where the newest 1-minute window of each of some symbols starts, one without a trade included."""

DAY: Final = f"""
WITH day AS (
    SELECT symbol, min(time) AS first, max(time) AS last, max(high) AS high, min(low) AS low,
        sum(volume) AS volume, sum(trades)::bigint AS trades, sum(vwap * volume) AS notional,
        bool_or(gap) AS gap
    FROM {TABLES[Timeframe.MIN_1]}
    WHERE time >= %s AND time < %s AND (%s::text[] IS NULL OR symbol = ANY(%s::text[]))
        AND trades > 0
    GROUP BY symbol
)
SELECT day.symbol, '1Min', %s::bigint, o.open, day.high, day.low, c.close, day.volume, day.trades,
    day.notional / day.volume, 0, true, day.gap
FROM day
JOIN {TABLES[Timeframe.MIN_1]} o ON o.symbol = day.symbol AND o.time = day.first
    AND o.time >= %s AND o.time < %s
JOIN {TABLES[Timeframe.MIN_1]} c ON c.symbol = day.symbol AND c.time = day.last
    AND c.time >= %s AND c.time < %s
"""
"""Each symbol's 1-minute bars between two times as one bar."""
