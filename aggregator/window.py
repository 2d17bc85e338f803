"""Window: what is known of one bar while it is folded, closed and revised."""

import math
from typing import Final

from aggregator.exact import expand, products
from aggregator.segments import Segment
from core.market.bar import Bar, BarRow, within
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe

_BUFFER: Final = 512  # ticks summed at a time: bounds memory, and math.fsum is quick on few
_FEW: Final = 64  # that wait: to be stored they need not be summed


class Window:
    """The half-open window ``[start_ns, end_ns)`` of one symbol and timeframe.

    Open and close are decided by the order key (event time, sequence), then by arrival. Sums are
    exact: sizes are buffered and condensed into an expansion now and then. ``rev`` is -1 until
    the first publication.
    """

    __slots__ = (
        "_notionals",
        "_prices",
        "_sizes",
        "_volumes",
        "close",
        "close_ns",
        "close_seq",
        "closed",
        "end_ns",
        "feed",
        "feeds",
        "flush",
        "gap",
        "high",
        "low",
        "notional_parts",
        "open",
        "open_ns",
        "open_seq",
        "rev",
        "start_ns",
        "symbol",
        "timeframe",
        "trades",
        "volume_parts",
    )

    def __init__(self, symbol: Symbol, timeframe: Timeframe, start_ns: int) -> None:
        self.symbol, self.timeframe = symbol, timeframe
        self.start_ns, self.end_ns = start_ns, start_ns + timeframe.ns
        self.open = self.close = 0.0
        self.high, self.low = -math.inf, math.inf
        self.open_ns = self.open_seq = 2**63 - 1
        self.close_ns = self.close_seq = -(2**63)
        self.trades = 0
        self.volume_parts: list[float] = []
        self.notional_parts: list[float] = []
        self._prices: list[float] = []
        self._sizes: list[float] = []
        self._volumes: list[float] = []  # that wait to be summed, as do the next
        self._notionals: list[float] = []
        self.rev = -1
        self.flush = 0  # number of the flush that last took this window
        self.closed = False
        self.gap = False  # trades are known to be missing
        self.feed = ""  # of the latest tick
        self.feeds: tuple[str, ...] = ()  # the first of their watermarks to pass closes it

    def fold(self, event_ns: int, seq: int, price: float, size: float) -> None:
        """Take in one tick of this window."""
        if event_ns > self.close_ns or (event_ns == self.close_ns and seq >= self.close_seq):
            self.close, self.close_ns, self.close_seq = price, event_ns, seq
        if event_ns < self.open_ns or (event_ns == self.open_ns and seq < self.open_seq):
            self.open, self.open_ns, self.open_seq = price, event_ns, seq
        if price > self.high:
            self.high = price
        if price < self.low:
            self.low = price
        self.trades += 1
        self._prices.append(price)
        self._sizes.append(size)
        if len(self._sizes) >= _BUFFER:
            self.condense()

    def fold_segment(self, ticks: Segment) -> None:
        """Take in many ticks of this window at once."""
        if (ticks.close_ns, ticks.close_seq) >= (self.close_ns, self.close_seq):
            self.close_ns, self.close_seq, self.close = (
                ticks.close_ns,
                ticks.close_seq,
                ticks.close,
            )
        if (ticks.open_ns, ticks.open_seq) < (self.open_ns, self.open_seq):
            self.open_ns, self.open_seq, self.open = ticks.open_ns, ticks.open_seq, ticks.open
        if ticks.high > self.high:
            self.high = ticks.high
        if ticks.low < self.low:
            self.low = ticks.low
        self.trades += ticks.ticks
        self._volumes += ticks.volume_parts
        self._notionals += ticks.notional_parts
        if len(self._notionals) >= _BUFFER:
            self.condense()

    def merge(self, part: "Window") -> None:
        """Take in all ticks of *part*, a window inside this one: as if they were folded here."""
        if part.trades == 0:
            return
        part.condense()
        if (part.open_ns, part.open_seq) < (self.open_ns, self.open_seq):
            self.open, self.open_ns, self.open_seq = part.open, part.open_ns, part.open_seq
        if (part.close_ns, part.close_seq) >= (self.close_ns, self.close_seq):
            self.close, self.close_ns, self.close_seq = part.close, part.close_ns, part.close_seq
        self.high, self.low = max(self.high, part.high), min(self.low, part.low)
        self.trades += part.trades
        self.volume_parts = expand([*self.volume_parts, *part.volume_parts])
        self.notional_parts = expand([*self.notional_parts, *part.notional_parts])

    def replace(self, other: "Window") -> None:
        """Hold the ticks of *other*, the same window, instead of these.

        Without any tick left the last price stays, to be shown.
        """
        other.condense()
        if other.trades:
            self.open, self.close = other.open, other.close
        else:
            self.open = self.close
        self.high, self.low = other.high, other.low
        self.open_ns, self.open_seq = other.open_ns, other.open_seq
        self.close_ns, self.close_seq = other.close_ns, other.close_seq
        self.trades = other.trades
        for mine in (self._prices, self._sizes, self._volumes, self._notionals):
            mine.clear()
        self.volume_parts, self.notional_parts = other.volume_parts, other.notional_parts

    def holds_same(self, other: "Window") -> bool:
        """Do both have the same trades, as far as a bar shows?"""
        if self.trades != other.trades:
            return False
        return not self.trades or _values(self) == _values(other)

    def copy(self) -> "Window":
        """An open window of its own with the same ticks, for a running bar."""
        if self.trades:
            return Window.from_row(self.row(final=False))
        empty = Window(self.symbol, self.timeframe, self.start_ns)
        empty.open, empty.close, empty.gap = self.close, self.close, self.gap
        return empty

    def bar(self, *, final: bool) -> Bar:
        """The bar as it stands; flat at its last price when all ticks were cancelled."""
        self.condense()
        volume = math.fsum(self.volume_parts)
        high, low = (self.high, self.low) if self.trades else (self.close, self.close)
        return Bar(
            symbol=self.symbol,
            timeframe=self.timeframe,
            start_ns=self.start_ns,
            open=self.open,
            high=high,
            low=low,
            close=self.close,
            volume=volume,
            trades=self.trades,
            vwap=within(math.fsum(self.notional_parts) / volume, low, high) if self.trades else 0.0,
            rev=max(self.rev, 0),
            final=final,
            gap=self.gap,
        )

    def row(self, *, final: bool = True) -> BarRow:
        """The bar with what a later revision or a restart needs."""
        return BarRow(
            bar=self.bar(final=final),
            open_key=(self.open_ns, self.open_seq),
            close_key=(self.close_ns, self.close_seq),
            volume_parts=tuple(self.volume_parts),
            notional_parts=tuple(self.notional_parts),
        )

    @classmethod
    def from_row(cls, row: BarRow) -> "Window":
        """The window of a stored row: closed when the bar is final, and then already published."""
        bar = row.bar
        window = cls(bar.symbol, bar.timeframe, bar.start_ns)
        window.open, window.high, window.low, window.close = bar.open, bar.high, bar.low, bar.close
        window.open_ns, window.open_seq = row.open_key
        window.close_ns, window.close_seq = row.close_key
        window.trades = bar.trades
        if not bar.trades:
            window.high, window.low = -math.inf, math.inf
        window.volume_parts, window.notional_parts = (
            list(row.volume_parts),
            list(row.notional_parts),
        )
        window.closed, window.gap = bar.final, bar.gap
        window.rev = bar.rev if bar.final else -1
        return window

    def sums(self) -> tuple[list[float], list[float]]:
        """Floats whose exact sums are the volume and the notional; to read at once.

        A few that wait to be summed go along as they are: at the end of the window all are.
        """
        if self._sizes or len(self._notionals) > _FEW:
            self.condense()
        if not self._notionals:
            return self.volume_parts, self.notional_parts
        return self.volume_parts + self._volumes, self.notional_parts + self._notionals

    def condense(self) -> None:
        """Bring the sums up to date; exact, so it may be called at any time."""
        if self._sizes:
            self._volumes += self._sizes
            self._notionals += products(self._prices, self._sizes)
            self._prices.clear()
            self._sizes.clear()
        if self._volumes:
            self.volume_parts = expand([*self.volume_parts, *self._volumes])
            self.notional_parts = expand([*self.notional_parts, *self._notionals])
            self._volumes.clear()
            self._notionals.clear()


def _values(window: Window) -> tuple[float, ...]:
    bar = window.bar(final=True)
    return (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap)
