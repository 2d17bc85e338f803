"""Recall: asks the database for last trades that the streams do not tell, or no more."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from core.market.symbol import Symbol
from core.market.tick import Tick
from gateway.market import MarketState

TRIES: Final = 60
"""How often for one symbol: the aggregator writes it within a second or two, if it can at all."""

TRIES_UNTOLD: Final = 3
"""The same where bars came without their trades: these were written with them."""


class StoredSymbol(Protocol):
    """What the database knows of a symbol: :class:`storage.rows.SymbolRow`."""

    @property
    def symbol(self) -> Symbol: ...

    @property
    def last_trade(self) -> Tick | None:
        """The newest, where one is known."""
        ...


_Unknown = tuple[Symbol, int | tuple[int, int]]  # of which trade or minute we wait to hear
LoadSymbols = Callable[[], Awaitable[Sequence[StoredSymbol]]]


class Recall:
    """Looks for what the market state cannot know.

    That is the trade before one that was cancelled, and a newer one than the last that was
    imported, or filled in from long ago: they are in no stream that a gateway reads.
    """

    def __init__(self, market: MarketState, load: LoadSymbols) -> None:
        """*load* raises a TickgateError while the database is away."""
        self._market, self._load = market, load
        self._tries: dict[_Unknown, int] = {}

    async def look(self) -> None:
        """Ask once, if there is something to ask for."""
        revoked, untold = self._market.revoked, self._market.untold()
        limits: dict[_Unknown, int] = dict.fromkeys(untold.items(), TRIES_UNTOLD)
        limits |= dict.fromkeys(revoked.items(), TRIES)
        self._tries = {unknown: self._tries.get(unknown, 0) + 1 for unknown in limits}
        if all(tries > limits[unknown] for unknown, tries in self._tries.items()):
            return
        for row in await self._load():
            if row.last_trade is None:
                continue
            if row.symbol in revoked:
                self._market.recall(row.last_trade)
            elif row.symbol in untold:
                self._catch_up(row.last_trade)

    def _catch_up(self, stored: Tick) -> None:
        """Take *stored* if it is newer: what is held may be corrected already, and that not."""
        held = self._market.last_trade(stored.symbol)
        if held is None or (held.event_ns, held.seq) < (stored.event_ns, stored.seq):
            self._market.apply_trade(stored)
