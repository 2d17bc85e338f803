"""Recall: asks the database for the last trade of symbols whose last one was cancelled."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from core.market.symbol import Symbol
from core.market.tick import Tick
from gateway.market import MarketState

TRIES: Final = 60
"""How often for one symbol: the aggregator writes it within a second or two, if it can at all."""


class StoredSymbol(Protocol):
    """What the database knows of a symbol: :class:`storage.rows.SymbolRow`."""

    @property
    def symbol(self) -> Symbol: ...

    @property
    def last_trade(self) -> Tick | None:
        """The newest, where one is known."""
        ...


LoadSymbols = Callable[[], Awaitable[Sequence[StoredSymbol]]]


class Recall:
    """Looks for what the market state cannot know: the trade before the one that was cancelled."""

    def __init__(self, market: MarketState, load: LoadSymbols) -> None:
        """*load* raises a TickgateError while the database is away."""
        self._market, self._load = market, load
        self._tries: dict[Symbol, int] = {}

    async def look(self) -> None:
        """Ask once, if there is something to ask for."""
        revoked = self._market.revoked
        self._tries = {symbol: self._tries.get(symbol, 0) + 1 for symbol in revoked}
        if all(tries > TRIES for tries in self._tries.values()):
            return
        for row in await self._load():
            if row.last_trade is not None and row.symbol in revoked:
                self._market.recall(row.last_trade)
