"""Recall: asks the database for last trades that the streams do not tell, or no more."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from core.market.symbol import Symbol
from core.market.tick import Tick
from gateway.market import MarketState

TRIES: Final = 60
"""How often for one symbol: the aggregator writes it within a second or two, if it can at all."""

TRIES_UNTRADED: Final = 3
"""The same where bars of the past came: their trades were written with them."""


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
    """Looks for what the market state cannot know.

    That is the trade before one that was cancelled, and the last one of a symbol whose trades were
    imported, or filled in from long ago: they are in no stream that a gateway reads.
    """

    def __init__(self, market: MarketState, load: LoadSymbols) -> None:
        """*load* raises a TickgateError while the database is away."""
        self._market, self._load = market, load
        self._tries: dict[Symbol, int] = {}

    async def look(self) -> None:
        """Ask once, if there is something to ask for."""
        revoked = self._market.revoked
        limits = dict.fromkeys(self._market.untraded(), TRIES_UNTRADED) | dict.fromkeys(
            revoked, TRIES
        )
        self._tries = {symbol: self._tries.get(symbol, 0) + 1 for symbol in limits}
        if all(tries > limits[symbol] for symbol, tries in self._tries.items()):
            return
        for row in await self._load():
            if row.last_trade is None:
                continue
            if row.symbol in revoked:
                self._market.recall(row.last_trade)
            elif row.symbol in limits:
                self._market.apply_trade(row.last_trade)
