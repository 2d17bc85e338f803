"""The JSON of the published market-data API, exactly its fields, for stocks and for crypto. Pure.

Source: docs.alpaca.markets, Market Data API reference. Sizes and volumes of stocks are integers
where they are whole, those of crypto never.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from core.market.bar import Bar
from core.market.bar_columns import BarColumns
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from gateway.encode import rfc3339
from gateway.http.answers import TAKER_SIDES, window_texts
from gateway.http.days import Standing, day_of
from gateway.stock_shapes import EXCHANGE, TAPE, whole


class BarShape(msgspec.Struct, frozen=True, gc=False):
    """A bar of either kind; ``t`` is the start of its window."""

    t: str
    o: float
    h: float
    l: float  # noqa: E741  the name on the wire
    c: float
    v: int | float
    n: int
    vw: float


class StockTradeShape(msgspec.Struct, frozen=True):
    """A trade of a stock: no conditions, no market of its own."""

    t: str
    p: float
    s: int | float
    i: int | UnsetType = UNSET
    x: str = EXCHANGE
    c: tuple[str, ...] = ()
    z: str = TAPE


class CryptoTradeShape(msgspec.Struct, frozen=True):
    """A trade of anything else, with the taker's side where it is known."""

    t: str
    p: float
    s: float
    i: int | UnsetType = UNSET
    tks: str | UnsetType = UNSET


class SnapshotShape(msgspec.Struct, frozen=True, rename="camel"):
    """How a symbol stands; what it does not have is left out. No feed carries quotes.

    ``symbol`` is there where the path of the request names it.
    """

    symbol: str | UnsetType = UNSET
    latest_trade: StockTradeShape | CryptoTradeShape | UnsetType = UNSET
    minute_bar: BarShape | UnsetType = UNSET
    daily_bar: BarShape | UnsetType = UNSET
    prev_daily_bar: BarShape | UnsetType = UNSET


class Shapes(msgspec.Struct, frozen=True):
    """How one kind of symbols is written."""

    volume: Callable[[float], int | float]
    trade: Callable[[Tick], StockTradeShape | CryptoTradeShape]

    def bar(self, bar: Bar, *, start_ns: int | None = None) -> BarShape:
        """A bar, that starts at *start_ns* if not where it says."""
        return BarShape(
            rfc3339(bar.start_ns if start_ns is None else start_ns),
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            self.volume(bar.volume),
            bar.trades,
            bar.vwap,
        )

    def bars(self, bars: BarColumns, spellings: Mapping[Symbol, str]) -> dict[str, list[Any]]:
        """Bars under the caller's names of their symbols, in their order."""
        prices = (bars.open.tolist(), bars.high.tolist(), bars.low.tolist(), bars.close.tolist())
        volumes = map(self.volume, bars.volume.tolist())
        times = window_texts(bars.start_ns)
        rows = list(
            map(BarShape, times, *prices, volumes, bars.trades.tolist(), bars.vwap.tolist())
        )
        return {spellings[symbol]: rows[first:stop] for symbol, first, stop in bars.spans()}

    def trades(
        self, ticks: Iterable[Tick], spellings: Mapping[Symbol, str]
    ) -> dict[str, list[Any]]:
        """Trades under the caller's names of their symbols, in their order."""
        grouped: dict[str, list[Any]] = {}
        for tick in ticks:
            grouped.setdefault(spellings[tick.symbol], []).append(self.trade(tick))
        return grouped

    def snapshot(self, standing: Standing) -> SnapshotShape:
        """The newest trade, the newest minute that is over, the day so far and the one before."""
        trade, minute = standing.trade, standing.bars.closed
        return SnapshotShape(
            latest_trade=UNSET if trade is None else self.trade(trade),
            minute_bar=UNSET if minute is None else self.bar(minute),
            daily_bar=self._day(standing.bars.day),
            prev_daily_bar=self._day(standing.bars.previous_day),
        )

    def _day(self, bar: Bar | None) -> BarShape | UnsetType:
        return UNSET if bar is None else self.bar(bar, start_ns=day_of(bar.start_ns))


def _stock_trade(tick: Tick) -> StockTradeShape:
    return StockTradeShape(rfc3339(tick.event_ns), tick.price, whole(tick.size), _ident(tick))


def _crypto_trade(tick: Tick) -> CryptoTradeShape:
    side = TAKER_SIDES[tick.side] or UNSET
    return CryptoTradeShape(rfc3339(tick.event_ns), tick.price, tick.size, _ident(tick), side)


def _ident(tick: Tick) -> int | UnsetType:
    return UNSET if tick.trade_id == NO_ID else tick.trade_id


STOCKS: Final = Shapes(whole, _stock_trade)
CRYPTO: Final = Shapes(float, _crypto_trade)
