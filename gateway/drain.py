"""The end of a gateway: everybody is told, then the clients are let go one after the other."""

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from core.runtime.ports import MonotonicClock
from gateway import silence
from gateway.channels import Codec
from gateway.fanout import Fanout
from gateway.roster import Guest, Roster

_LOG: Final = logging.getLogger(__name__)
_SECOND_NS: Final = 1_000_000_000
_STEP_S: Final = 0.01  # between looks at who is due; closes are no coarser than this
_SLICE: Final = 512  # clients served before the loop sees to its sockets; 50 ms of closes
_PATIENCE_S: Final = 0.15  # for a window to end by itself before it is ended early
_REQUESTS_S: Final = 0.25  # for requests on their way when the listener closed
_SLACK_S: Final = 1.0  # for a loop that is too busy to keep to the plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast clients are let go, so that they do not come back in one instant. Pure."""

    clients_per_s: float = 1_000.0
    most_s: float = 5.0  # with more clients than fit into it, they go faster

    def spread_s(self, clients: int) -> float:
        """Seconds from the first close to the last."""
        return min(self.most_s, clients / self.clients_per_s)

    def due(self, clients: int, elapsed_s: float) -> int:
        """How many of them are to be closed *elapsed_s* after the first."""
        spread_s = self.spread_s(clients)
        if elapsed_s >= spread_s:
            return clients
        return min(clients, int(elapsed_s / spread_s * clients) + 1)


@dataclass(kw_only=True)
class Drain:
    """Lets all clients go: `shutdown` to all at once, then close by close, spread by *pace*.

    A client is closed at a moment when nothing published waits to be written, so it was sent
    every tick that the gateway had read by then; the others go on. Such a moment comes at the end
    of each batch window; a window that does not end soon is ended early.
    """

    fanout: Fanout
    roster: Roster
    monotonic_ns: MonotonicClock
    pace: Pace
    answer_s: float  # for the clients to answer the close
    _waiting: deque[Guest] = field(init=False, default_factory=deque)
    _planned: int = field(init=False, default=0)
    _began_ns: int = field(init=False, default=0)
    _served_ns: int = field(init=False, default=0)

    async def run(self) -> None:
        """Return once every connection is lost; who does not answer in time is cut."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                await self._until_empty(limit)
        self._waiting.clear()
        late = list(self.roster.guests)
        if late:
            _LOG.warning("%d clients did not answer the close", len(late))
        for guest in late:
            guest.abort()

    def close_due(self) -> None:
        """Close who is due; to be called when all that was published is written."""
        self._served_ns = self.monotonic_ns()
        elapsed_s = (self._served_ns - self._began_ns) / _SECOND_NS
        closed = self._planned - len(self._waiting)
        due = self.pace.due(self._planned, elapsed_s) - closed
        for _ in range(min(due, _SLICE)):
            self._waiting.popleft().say_goodbye()

    async def _until_empty(self, limit: asyncio.Timeout) -> None:
        """Let go who is there, and who comes by a connection that was open when this began."""
        loop, told = asyncio.get_running_loop(), set[Guest]()
        may_come_until_s = loop.time() + _REQUESTS_S
        is_over = False
        while not is_over:
            fresh = [guest for guest in self.roster.guests if guest not in told]
            told.update(fresh)
            if fresh:
                limit.reschedule(loop.time() + self.pace.spread_s(len(fresh)) + _SLACK_S)
                await self._let_go(fresh)
                limit.reschedule(loop.time() + self.answer_s)
            await asyncio.sleep(_STEP_S)
            may_come = self.roster.requests and loop.time() < may_come_until_s
            is_over = not (self.roster.guests or may_come)

    async def _let_go(self, guests: Sequence[Guest]) -> None:
        within_s = math.ceil(self.pace.spread_s(len(guests)))
        await announce(guests, silence.shutdown(max(1, within_s)))
        self._planned, self._waiting = len(guests), deque(guests)
        self._began_ns = self._served_ns = self.monotonic_ns()
        while self._waiting:
            unserved_s = (self.monotonic_ns() - self._served_ns) / _SECOND_NS
            if unserved_s >= _PATIENCE_S:
                self.fanout.finish()
            if self.fanout.idle:
                self.close_due()
            await asyncio.sleep(_STEP_S)


async def announce(guests: Iterable[Guest], framed: Mapping[Codec, bytes]) -> None:
    """Send *framed* to each of *guests*, in slices."""
    rest = iter(guests)
    while some := list(islice(rest, _SLICE)):
        for guest in some:
            guest.notice(framed)
        await asyncio.sleep(0)
