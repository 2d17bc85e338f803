"""Pages of bars: of the stored timeframes as they are, of any other length rolled up from those."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from core.market.bar import Bar
from core.market.bar_columns import (
    BarColumns,
    columns_of,
    joined,
    rolled_columns,
    that_are_over,
)
from core.market.bar_range import BarRange
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from storage.bar_queries import CLOSE_BEFORE, PAGES_DESCENDING
from storage.database import Database
from storage.packed import (
    unpack_bigints,
    unpack_booleans,
    unpack_floats,
    unpack_ints,
    unpack_times_ns,
)
from storage.page_reads import MAX_ROWS, PageReads
from storage.page_statement import StoredPage
from storage.rows import MAX_NS, to_datetime


class BarPages:
    """Reads bars page by page; any number of tasks may share one."""

    def __init__(self, db: Database) -> None:
        """*db* stays the caller's."""
        self._db, self._reads = db, PageReads(db)

    async def columns(
        self, query: BarRange, *, running_ns: Mapping[Symbol, int] | None = None
    ) -> BarColumns:
        """See :meth:`storage.bars.BarStore.page`."""
        query = replace(query, symbols=sorted(set(query.symbols)))
        if query.resolution.is_stored:
            return await self._stored(query)
        parts = _of_parts(query)
        found: list[BarColumns] = []
        n, left, is_last = 0, columns_of(()), False
        while n < query.limit and not is_last:
            each = query.resolution.minutes // query.resolution.base.minutes
            many = min((query.limit - n) * each + 1, MAX_ROWS)  # the one more ends the last window
            rows = await self._stored(replace(parts, limit=many))
            is_last = len(rows) < many
            if not is_last:
                parts = replace(parts, after=rows.last())
            made, left = rolled_columns(
                joined([left, rows]),
                query.resolution,
                descending=query.descending,
                is_last=is_last,
            )
            found.append(that_are_over(made, query.resolution, running_ns or {}))
            n += len(found[-1])
        return joined(found).part(0, query.limit)

    async def closest_before(
        self, symbol: Symbol, resolution: Resolution, before_ns: int
    ) -> int | None:
        """See :meth:`storage.bars.BarStore.closest_before`."""
        last = BarRange(
            symbols=[symbol],
            resolution=Resolution.of(resolution.base),
            start_ns=0,
            end_ns=resolution.ceil_ns(min(before_ns, MAX_NS)) - 1,
            limit=1,
            descending=True,
        )
        found = await self._stored(last)
        return resolution.floor_ns(found.last()[1]) if len(found) else None

    async def closes_before(
        self, symbols: Sequence[Symbol], timeframe: Timeframe, before_ns: int
    ) -> dict[Symbol, float]:
        """See :meth:`storage.bars.BarStore.closes_before`."""
        if not symbols:
            return {}
        parameters = [list(symbols), to_datetime(before_ns)]
        rows = await self._db.fetch("closes before", CLOSE_BEFORE[timeframe], parameters)
        return {Symbol(symbol): close for symbol, close in rows}

    async def newest(
        self, symbols: Sequence[Symbol], resolution: Resolution
    ) -> dict[Symbol, list[Bar]]:
        """See :meth:`storage.bars.BarStore.newest`."""
        parts = resolution.minutes // resolution.base.minutes
        at_once = max(MAX_ROWS // parts, 1)
        found: dict[Symbol, list[Bar]] = {}
        for first in range(0, len(symbols), at_once):
            names = list(symbols[first : first + at_once])
            parameters = [0, names, to_datetime(0), to_datetime(MAX_NS), parts, parts * len(names)]
            statement = PAGES_DESCENDING[resolution.base]
            ((_, *row),) = await self._db.fetch("newest", statement, parameters)
            bars = _columns(names, row)
            for symbol, at, to in bars.spans():
                since_ns = resolution.floor_ns(int(bars.start_ns[at]))
                some = bars.part(at, to).bars(resolution.base)
                found[symbol] = [bar for bar in reversed(some) if bar.start_ns >= since_ns]
        return found

    async def _stored(self, query: BarRange) -> BarColumns:
        """Bars as they are stored, of symbols that are sorted, in one statement or two."""
        after = query.after
        if after is None:
            return await self._read(query)
        wanted = [symbol for symbol in query.symbols if symbol >= after[0]]
        found: list[BarColumns] = []
        limit = query.limit
        if wanted and wanted[0] == after[0]:
            # The cursor's own symbol is read alone: a range that differs from symbol to symbol
            # would keep the server from leaving chunks out, and from stopping at the limit.
            own = replace(query, symbols=[wanted.pop(0)])
            if query.descending:
                own = replace(own, end_ns=min(query.end_ns, after[1] - 1))
            else:
                own = replace(own, start_ns=max(query.start_ns, after[1] + 1))
            found = [await self._read(own)]
            limit -= len(found[0])
        if limit:
            found.append(await self._read(replace(query, symbols=wanted, limit=limit)))
        return joined(found)

    async def _read(self, query: BarRange) -> BarColumns:
        """As :meth:`_stored`, whatever the page begins after."""
        first_ns, last_ns = max(query.start_ns, 0), min(query.end_ns, MAX_NS)
        if last_ns < first_ns or not query.symbols:
            return columns_of(())
        base, limit, descending = query.resolution.base, query.limit, query.descending
        page = StoredPage(base, query.symbols, first_ns, last_ns, limit, descending)
        return _columns(query.symbols, await self._reads.read(page))


def _of_parts(query: BarRange) -> BarRange:
    """The stored bars that those of *query* are made of, from the first window to the last."""
    resolution, after = query.resolution, query.after
    if after is not None:
        behind_ns = resolution.end_ns(resolution.floor_ns(after[1])) - 1
        after = (after[0], resolution.ceil_ns(after[1]) if query.descending else behind_ns)
    return replace(
        query,
        resolution=Resolution.of(resolution.base),
        start_ns=resolution.ceil_ns(max(query.start_ns, 0)),
        end_ns=resolution.end_ns(resolution.floor_ns(min(query.end_ns, MAX_NS))) - 1,
        after=after,
    )


def _columns(symbols: Sequence[Symbol], row: Sequence[Any]) -> BarColumns:
    """What the one row of a statement says, of *symbols* as they were asked for."""
    time, open_, high, low, close, volume, trades, vwap, rev, gap, at = row
    if time is None:
        return columns_of(())
    start_ns = unpack_times_ns(time)
    floats = unpack_floats((open_, high, low, close, volume, vwap))
    return BarColumns(
        runs=((symbols[0], len(start_ns)),) if at is None else _runs(symbols, unpack_ints(at)),
        start_ns=start_ns,
        open=floats[0],
        high=floats[1],
        low=floats[2],
        close=floats[3],
        volume=floats[4],
        vwap=floats[5],
        **_marked(unpack_bigints(trades), rev, gap),
    )


def _marked(trades: npt.NDArray[np.int64], rev: Any, gap: Any) -> dict[str, npt.NDArray[Any]]:
    """The columns ``trades``, ``rev`` and ``gap``, the latter two of the marked bars alone."""
    revs, gaps = np.zeros(len(trades), np.int64), np.zeros(len(trades), np.bool_)
    if rev is not None:
        marked = trades < 0
        revs[marked], gaps[marked] = unpack_ints(rev), unpack_booleans(gap)
        trades = np.abs(trades)
    return {"trades": trades, "rev": revs, "gap": gaps}


def _runs(symbols: Sequence[Symbol], at: npt.NDArray[np.int64]) -> tuple[tuple[Symbol, int], ...]:
    """Which symbols, and how many bars of each, by the number of each bar's symbol, from 1."""
    found, counts = np.unique(at, return_counts=True)
    pairs = zip(found.tolist(), counts.tolist(), strict=True)
    return tuple((symbols[number - 1], count) for number, count in pairs)
