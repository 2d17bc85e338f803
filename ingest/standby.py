"""Standby: waits until this process may publish a feed."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from core.runtime.ports import MonotonicClock
from ingest.feed import FeedJournal
from storage.errors import LeaseHeld
from storage.lease import Lease

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.25
_SETTLE_S: Final = 1.6  # an owner who only lost sight of Redis tries again sooner than this


@dataclass(slots=True, kw_only=True)
class Standby:
    """Takes a feed's lease when nobody has it, or its owner has not been heard of for a while.

    The lease runs out 2 s after its owner's end; 1.6 s more pass in which Redis answers
    and the owner does not, so that after an outage of Redis the owner goes on with what it holds.
    """

    lease: Lease
    journal: FeedJournal
    monotonic_ns: MonotonicClock
    stop: asyncio.Event

    async def wait(self) -> bool:
        """Return once the lease is ours; False when a drain began before.

        Raises:
            StreamUnavailable: Redis is away; wait again.
        """
        ran_out_ns: int | None = None
        told = ""
        while not self.stop.is_set():
            now_ns = self.monotonic_ns()
            settled = ran_out_ns is not None and now_ns - ran_out_ns >= _SETTLE_S * 1e9
            try:
                await self.lease.acquire(expired=settled)
            except LeaseHeld as held:
                ran_out_ns = (ran_out_ns or now_ns) if held.ran_out else None
                if held.owner != told:
                    told = held.owner
                    log.info("%s", held)
                self.journal.stand_by(str(held))
            else:
                self.journal.take_over()
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self.stop.wait()
        return False
