"""Keeps stored bars within their bound: a service that asks the store to prune, now and then."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from core.market.errors import TickgateError
from core.runtime.logs import RateLimited

log = logging.getLogger(__name__)
_WARN_S: Final = 600.0


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
        self._warnings = RateLimited(log, time.monotonic_ns, interval_s=_WARN_S)

    def begin_drain(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Prune until drained, beginning at once."""
        while not self._stop.is_set():
            try:
                removed = await self._prune()
            except self._away as exc:
                self._warnings.warning("", "what is too old or too much stays for now: %s", exc)
            else:
                if removed:
                    log.info("removed %d of the oldest bars to stay within the bound", removed)
            try:
                await asyncio.wait_for(self._stop.wait(), self._every_s)
            except TimeoutError:
                continue
