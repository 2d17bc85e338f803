"""Sim: the simulated market, paced by the clock."""

import asyncio
from typing import Final

from core.runtime.ports import Clock, MonotonicClock
from ingest.blocks import MAX_BATCH
from ingest.feed import FeedJournal, TickOutlet
from ingest.feed_clock import ClockKind
from ingest.sim_market import SimMarket, SimPosition
from ingest.spec import SimOptions

_STEP_S: Final = 0.005  # between bursts: as long as a block fills
_BEHIND_S: Final = 1.0  # a sim that is further behind (Redis was away) lets that time go


class Sim:
    """Emits the ticks of a :class:`SimMarket` at its rate; event time is the wall clock's."""

    clock_kind = ClockKind.PULLED  # the wall clock is the sim's own clock, steps and all

    def __init__(self, options: SimOptions, *, now_ns: Clock, monotonic_ns: MonotonicClock) -> None:
        self._options = options
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns

    async def run(self, outlet: TickOutlet, journal: FeedJournal) -> None:
        """Never returns. Goes on with the tick after the last published one."""
        journal.symbols = self._options.symbols
        journal.enter("live")
        if self._options.rate == 0:
            await asyncio.Event().wait()  # a feed without ticks, until it is cancelled
        market = await asyncio.to_thread(SimMarket, self._options)
        position = SimPosition(self._options, cycle=market.cycle)
        number = position.first_number(outlet.position, outlet.catch_up_until)
        while position.pack(number) < outlet.catch_up_until:
            number += 1
            await outlet.put(market.ticks(number - 1, 1, self._now_ns()), position.pack(number))
        pace = Pace(rate=market.rate, now_ns=self._monotonic_ns())
        while True:
            due = pace.due(self._monotonic_ns())
            ticks = market.ticks(number, due, self._now_ns()) if due else []
            for at in range(0, due, MAX_BATCH):
                batch = ticks[at : at + MAX_BATCH]
                number += len(batch)
                await outlet.put(batch, position.pack(number))
            await asyncio.sleep(_STEP_S)


class Pace:
    """How many ticks are due by now at a steady rate; pure."""

    def __init__(self, *, rate: float, now_ns: int) -> None:
        """*rate* in ticks/s, > 0."""
        self._rate = rate
        self._start_ns = now_ns
        self._given = 0

    def due(self, now_ns: int) -> int:
        """Ticks to emit now; at most those of :data:`_BEHIND_S`, what is beyond is let go."""
        target = int((now_ns - self._start_ns) * self._rate / 1e9)
        due = max(0, target - self._given)
        limit = max(1, int(self._rate * _BEHIND_S))
        if due > limit:
            due = limit
            self._start_ns, self._given = now_ns, 0
            return due
        self._given += due
        return due
