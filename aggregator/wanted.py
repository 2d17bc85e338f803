"""Wanted: what a shard must be told of stored bars before it can go on. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aggregator.gaps import Span, windows_of
from aggregator.symbols import SymbolState
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe

WindowKey = tuple[Symbol, Timeframe, int]


class Deferred(NamedTuple):
    """A tick that waits for windows from the database."""

    feed: str
    symbol: Symbol
    event_ns: int
    seq: int
    price: float
    size: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the core must be told before it can fold the deferred ticks."""

    symbols: frozenset[Symbol]  # never seen by this shard: start of their newest stored 1-min bar
    windows: frozenset[WindowKey]  # perhaps stored
    touched: frozenset[WindowKey] = frozenset()  # of no interest unless they are stored

    @property
    def rows(self) -> list[WindowKey]:
        """The windows whose rows are asked for."""
        return sorted(self.windows | self.touched)


def wanted_for(
    states: Mapping[Symbol, SymbolState], ticks: Iterable[Deferred], spans: Iterable[Span]
) -> Wanted:
    """What *ticks* and the *spans* of gaps need that is not in memory."""
    symbols: set[Symbol] = set()
    keys: set[WindowKey] = set()
    for tick in ticks:
        state = states[tick.symbol]
        if state.newest_ns is None:
            symbols.add(tick.symbol)
        for timeframe in Timeframe:
            start_ns = timeframe.floor_ns(tick.event_ns)
            if (timeframe, start_ns) not in state.windows:
                keys.add((tick.symbol, timeframe, start_ns))
    touched: set[WindowKey] = set()
    for span in spans:
        state = states[span[0]]
        if state.newest_ns is None:
            symbols.add(state.symbol)
        touched.update(
            (state.symbol, *window)
            for window in windows_of(span, newest_ns=state.newest_ns)
            if window not in state.windows
        )
    return Wanted(frozenset(symbols), frozenset(keys), frozenset(touched - keys))
