"""Pages of bars: of the stored timeframes as they are, of any other length rolled up from those."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from core.market.bar import Bar
from core.market.resolution import Resolution
from core.market.rolled import rolled, windows
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from storage.bar_queries import ONE, ONE_DESCENDING, PAGES, PAGES_DESCENDING
from storage.database import Database
from storage.rows import MAX_NS, bars_of, to_datetime

_MAX_ROWS: Final = 10_000  # stored bars read by one statement: a few ms of work in one go


class BarPages:
    """Reads bars page by page; any number of tasks may share one."""

    def __init__(self, db: Database) -> None:
        """*db* stays the caller's."""
        self._db = db

    async def page(  # noqa: PLR0913 - one argument per query parameter
        self,
        *,
        symbols: Sequence[Symbol],
        resolution: Resolution,
        start_ns: int,
        end_ns: int,
        limit: int,
        descending: bool = False,
        after: tuple[Symbol, int] | None = None,
        running_ns: Mapping[Symbol, int] | None = None,
    ) -> list[Bar]:
        """See :meth:`storage.bars.BarStore.page`."""
        wanted = sorted(set(symbols))
        if resolution.is_stored:
            return await self._stored(
                wanted, resolution.base, (start_ns, end_ns), limit, descending, after
            )
        span = (
            resolution.ceil_ns(max(start_ns, 0)),
            resolution.end_ns(resolution.floor_ns(min(end_ns, MAX_NS))) - 1,
        )
        if after is not None and not descending:
            after = (after[0], resolution.end_ns(after[1]) - 1)
        bars: list[Bar] = []
        cut: list[Bar] = []  # of the window that the last statement may have read in part
        is_last = False
        while len(bars) < limit and not is_last:
            parts = (limit - len(bars)) * (resolution.minutes // resolution.base.minutes)
            many = min(parts + 1, _MAX_ROWS)  # the one more ends the last window
            rows = await self._stored(wanted, resolution.base, span, many, descending, after)
            whole = list(windows([*cut, *rows], resolution))
            is_last = len(rows) < many
            if not is_last:
                cut = whole.pop()
                after = (rows[-1].symbol, rows[-1].start_ns)
            made = (rolled(some, resolution.floor_ns(some[0].start_ns)) for some in whole)
            bars += [bar for bar in made if _is_over(bar, resolution, running_ns or {})]
        return bars[:limit]

    async def closest_before(
        self, symbol: Symbol, resolution: Resolution, before_ns: int
    ) -> int | None:
        """See :meth:`storage.bars.BarStore.closest_before`."""
        span = (0, resolution.ceil_ns(min(before_ns, MAX_NS)) - 1)
        found = await self._stored([symbol], resolution.base, span, 1, True, None)
        return resolution.floor_ns(found[0].start_ns) if found else None

    async def _stored(
        self,
        symbols: Sequence[Symbol],
        timeframe: Timeframe,
        span_ns: tuple[int, int],
        limit: int,
        descending: bool,
        after: tuple[Symbol, int] | None,
    ) -> list[Bar]:
        """Bars of sorted *symbols* as they are stored, in one statement or two."""
        start_ns, end_ns = span_ns
        wanted = [symbol for symbol in symbols if after is None or symbol >= after[0]]
        bars: list[Bar] = []
        if wanted and after is not None and wanted[0] == after[0]:
            # The cursor's own symbol is read alone: a range that differs from symbol to symbol
            # would keep the server from leaving chunks out, and from stopping at the limit.
            before = (start_ns, min(end_ns, after[1] - 1))
            behind = (max(start_ns, after[1] + 1), end_ns)
            span = before if descending else behind
            bars = await self._read([wanted.pop(0)], timeframe, span, limit, descending)
        if wanted and len(bars) < limit:
            left = limit - len(bars)
            bars += await self._read(wanted, timeframe, span_ns, left, descending)
        return bars

    async def _read(
        self,
        symbols: Sequence[Symbol],
        timeframe: Timeframe,
        span_ns: tuple[int, int],
        limit: int,
        descending: bool,
    ) -> list[Bar]:
        start_ns, end_ns = span_ns
        if end_ns < max(start_ns, 0):
            return []
        bounds = [to_datetime(max(start_ns, 0) + 999), to_datetime(end_ns)]
        if len(symbols) == 1:
            statement = (ONE_DESCENDING if descending else ONE)[timeframe]
            parameters = [symbols[0], *bounds, limit]
        else:
            statement = (PAGES_DESCENDING if descending else PAGES)[timeframe]
            parameters = [list(symbols), *bounds, limit, limit]
        return bars_of(await self._db.fetch("page", statement, parameters))


def _is_over(bar: Bar, resolution: Resolution, running_ns: Mapping[Symbol, int]) -> bool:
    return resolution.end_ns(bar.start_ns) <= running_ns.get(bar.symbol, math.inf)
