"""Bars that are given instead of folded: as windows, and told from those of ticks. Pure."""

import math
from typing import Final

from aggregator.window import Window
from core.market.bar import Bar

_MARK: Final = 0.0
"""Ends the unrounded volume of a given bar. Folding leaves no zero there, so a bar that got a tick
since is one of ticks."""


def imported_window(bar: Bar) -> Window:
    """A closed window that shows *bar*, which is as nobody has published it.

    Its ``vwap`` is that of *bar*, or next to it where no sum of prices gives exactly that one; it
    always is for a bar that came from a window. Open and close count as of its first and last
    nanosecond, so that longer bars around it find theirs.
    """
    window = Window(bar.symbol, bar.timeframe, bar.start_ns)
    window.open, window.high, window.low, window.close = bar.open, bar.high, bar.low, bar.close
    window.open_ns, window.open_seq = bar.start_ns, 0
    window.close_ns, window.close_seq = window.end_ns - 1, 0
    window.trades, window.closed = bar.trades, True
    window.volume_parts = [bar.volume, _MARK]
    window.notional_parts = [_notional(bar.vwap, bar.volume)]
    return window


def is_imported(window: Window) -> bool:
    """Was *window* given, and nothing folded into it since?"""
    return window.volume_parts[-1:] == [_MARK]


def shows(window: Window, bar: Bar) -> bool:
    """Has the bar of *window* the values of *bar*?"""
    mine = window.bar(final=True)
    return bool(window.trades) and _values(mine) == _values(bar)


def _values(bar: Bar) -> tuple[float, ...]:
    return (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades, bar.vwap)


def _notional(vwap: float, volume: float) -> float:
    """What, divided by *volume*, gives *vwap*; two roundings lie between, so it is looked for."""
    near = vwap * volume
    below, above = math.nextafter(near, 0.0), math.nextafter(near, math.inf)
    close = (near, below, above, math.nextafter(below, 0.0), math.nextafter(above, math.inf))
    return next((notional for notional in close if notional / volume == vwap), near)
