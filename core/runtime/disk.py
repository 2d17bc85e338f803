"""Keeps stored bars within their bound: a service that asks the store to prune, now and then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from core.market.errors import TickgateError

log = logging.getLogger(__name__)


class Janitor:
    """Calls *prune* every *every_s* seconds; a failure is logged and the next turn tries again."""

    name = "janitor"

    def __init__(
        self,
        prune: Callable[[], Awaitable[int]],
        *,
        away: tuple[type[TickgateError], ...],
        every_s: float = 60.0,
    ) -> None:
        """*prune* returns how many rows it removed and raises *away* when it cannot work."""
        self._prune, self._away, self._every_s = prune, away, every_s
        self._stop = asyncio.Event()

    def begin_drain(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Prune until drained, beginning at once."""
        while not self._stop.is_set():
            try:
                removed = await self._prune()
            except self._away as exc:
                log.debug("no pruning now: %s", exc)
            else:
                if removed:
                    log.info("removed %d of the oldest bars to stay within the bound", removed)
            try:
                await asyncio.wait_for(self._stop.wait(), self._every_s)
            except TimeoutError:
                continue
