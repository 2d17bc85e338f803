"""Running bars: how open windows stand. Pure."""

from collections.abc import Iterable, Mapping

from aggregator.symbols import SymbolState
from aggregator.window import Window
from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe


def running_bars(states: Mapping[Symbol, SymbolState], touched: Iterable[Window]) -> list[Bar]:
    """The bars of open windows that were *touched*, with all three timeframes of each.

    A parent holds its closed minutes only: those that are open are merged into a copy.
    """
    bars: list[Bar] = []
    parents: dict[Window, None] = {}
    for window in touched:
        if window.timeframe is Timeframe.MIN_1:
            bars.append(window.bar(final=False))
            parents |= dict.fromkeys(states[window.symbol].parents(window.start_ns))
        else:
            parents[window] = None
    bars += [
        _with_minutes(states[parent.symbol], parent).bar(final=False)
        for parent in parents
        if not parent.closed
    ]
    return bars


def _with_minutes(state: SymbolState, parent: Window) -> Window:
    running = parent.copy()
    minutes = [
        window
        for (timeframe, start_ns), window in state.windows.items()
        if timeframe is Timeframe.MIN_1
        and not window.closed
        and parent.start_ns <= start_ns < parent.end_ns
    ]
    for window in minutes:
        running.merge(window)
    if minutes and not running.trades:  # all were cancelled: the last price stays, to be shown
        running.open = running.close = max(minutes, key=lambda window: window.start_ns).close
    return running
