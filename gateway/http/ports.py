"""What the HTTP handlers ask of the rest of the gateway and of storage."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from core.market.bar import Bar
from core.market.bar_columns import BarColumns
from core.market.bar_range import BarRange
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import Timeframe
from gateway.day_book import DayBook
from storage.roles import RoleReport
from storage.trade_order import TradeCursor
from storage.trade_pages import TradePage


class Market(Protocol):
    """The newest values in memory; answers at once. See :class:`gateway.market.MarketState`."""

    complete: bool
    """False while stored symbols may be missing, as before the database has answered."""
    days: DayBook
    """Days of symbols that somebody asked for."""

    bars_told: int
    """Grows with each bar that is told."""
    directory: int
    """Stands for the carried symbols: another one when names may mean something else."""

    def resolve(
        self, text: str, *, stocks: bool = False, permits: Callable[[Symbol], bool] | None = None
    ) -> Symbol | None:
        """The carried symbol that *text* names; raises SymbolError, None for an unknown one.

        With *stocks* only symbols of venues that are declared to be of stocks count.
        """
        ...

    def symbols(self) -> list[Symbol]:
        """All carried symbols, sorted."""
        ...

    def carries(self, symbol: Symbol) -> bool:
        """Does a venue carry it, as far as is known?"""
        ...

    def is_stock(self, symbol: Symbol) -> bool:
        """Is it a stock, as a feed declares of its venue?"""
        ...

    def last_trade(self, symbol: Symbol) -> Tick | None:
        """The newest trade, or None before the first."""
        ...

    def running_bar(self, symbol: Symbol, timeframe: Timeframe) -> Bar | None:
        """The bar of the newest open window, if one is known."""
        ...

    def open_bars(self, symbol: Symbol, timeframe: Timeframe) -> Sequence[Bar]:
        """Those of all open windows that are known, by time."""
        ...

    def closed_bar(self, symbol: Symbol, timeframe: Timeframe) -> Bar | None:
        """The newest closed bar seen since the start; the store may have a newer one."""
        ...

    def held(self, symbol: Symbol, timeframe: Timeframe) -> tuple[Bar | None, ...]:
        """The newest closed bar, then those of open windows, by time: these are newer."""
        ...

    def revisions(self, symbol: Symbol) -> int:
        """Grows with each closed bar of *symbol* that was changed."""
        ...


class History(Protocol):
    """Stored bars, each call a few queries; DatabaseUnavailable when the database is away."""

    async def page(
        self, query: BarRange, *, running_ns: Mapping[Symbol, int] | None = None
    ) -> list[Bar]:
        """The bars that *query* asks for.

        Bars that are rolled up carry the timeframe of what they are made of, and the start of
        their own window; one that has a part at or after *running_ns* of its symbol is left out.
        """
        ...

    async def columns(
        self, query: BarRange, *, running_ns: Mapping[Symbol, int] | None = None
    ) -> BarColumns:
        """As :meth:`page`, in columns."""
        ...

    async def closest_before(
        self, symbol: Symbol, resolution: Resolution, before_ns: int
    ) -> int | None:
        """Start of the newest bar that starts before *before_ns*; None where there is none."""
        ...

    async def closes_before(
        self, symbols: Sequence[Symbol], timeframe: Timeframe, before_ns: int
    ) -> dict[Symbol, float]:
        """The close of the newest bar that starts before *before_ns*, of symbols that have one."""
        ...

    async def latest(self, symbols: Sequence[Symbol], timeframe: Timeframe) -> dict[Symbol, Bar]:
        """The newest closed bar of each symbol that has one."""
        ...

    async def newest(
        self, symbols: Sequence[Symbol], resolution: Resolution
    ) -> dict[Symbol, list[Bar]]:
        """The stored bars of each symbol's newest window of that length: its parts, by time."""
        ...

    async def day_bars(self, symbols: Sequence[Symbol], day_start_ns: int) -> dict[Symbol, Bar]:
        """The stored 1-minute bars of a day rolled up, for symbols that have any."""
        ...


class Trades(Protocol):
    """Logged trades; raises DatabaseUnavailable, and TickLogError for those of a newer program.

    See :class:`storage.trade_pages.TradePages`.
    """

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
        """Trades in ``[start_ns, end_ns]``, by symbol, then time; those past *after*."""
        ...

    async def covered_from(self, symbols: Sequence[Symbol]) -> dict[Symbol, int]:
        """From which time on every trade is there, of the symbols for which that is so."""
        ...


class Board(Protocol):
    """What the roles last said of themselves; raises StreamUnavailable when Redis is away."""

    async def read(self) -> list[RoleReport]:
        """Reports not older than a few seconds."""
        ...
