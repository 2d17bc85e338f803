"""Sim: the simulated market, paced by the clock, after the trading before its start."""

import asyncio
from typing import Final

from core.runtime.ports import Clock, MonotonicClock
from ingest.blocks import MAX_BATCH
from ingest.feed import FeedJournal, TickOutlet
from ingest.feed_clock import ClockKind
from ingest.gate import ReaderGate
from ingest.limits import IngestLimits
from ingest.sim_history import SimHistory
from ingest.sim_market import SimMarket, cycle_of
from ingest.sim_position import SimPosition
from ingest.spec import SimOptions

_STEP_S: Final = 0.005  # between bursts: as long as a block fills
_BEHIND_S: Final = 1.0  # a sim that is further behind (Redis was away) lets that time go
_BRIDGE_TICKS: Final = 100_000  # of the time in which the history went out; at most


class Sim:
    """Emits the ticks of a :class:`SimMarket` at its rate; event time is the wall clock's.

    The history, if there is one and the streams are new, goes first, as fast as the aggregator
    takes it.
    """

    def __init__(
        self,
        options: SimOptions,
        *,
        limits: IngestLimits,
        now_ns: Clock,
        monotonic_ns: MonotonicClock,
        stocks: bool = False,
    ) -> None:
        self._options, self._stocks = options, stocks
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns
        self._history = SimHistory(minutes=options.history, symbols=options.symbols)
        self._position = SimPosition(
            options, cycle=cycle_of(options.symbols), history_ticks=self._history.ticks
        )
        self._gate = ReaderGate(limits.hand_over_ticks, monotonic_ns=monotonic_ns)

    @property
    def clock_kind(self) -> ClockKind:
        """The wall clock is the sim's own clock, steps and all, once the history is over."""
        return ClockKind.HISTORY if self._history.ticks else ClockKind.PULLED

    async def run(self, outlet: TickOutlet, journal: FeedJournal) -> None:
        """Never returns. Goes on with the tick after the last published one."""
        journal.symbols = self._options.symbols
        if self._options.rate == 0:
            outlet.go_live()
            journal.enter("live")
            await asyncio.Event().wait()  # a feed without ticks, until it is cancelled
        market = await asyncio.to_thread(
            SimMarket, self._options, self._history, stocks=self._stocks
        )
        number = self._position.first_number(outlet.position, outlet.catch_up_until)
        journal.enter("live")
        if number < self._history.ticks:
            number = await self._emit_history(market, number, outlet, journal)
        outlet.go_live()
        await self._emit_live(market, number, outlet)

    async def _emit_history(
        self, market: SimMarket, number: int, outlet: TickOutlet, journal: FeedJournal
    ) -> int:
        """All that is left of the history, and what went by meanwhile; returns the next tick."""
        history, pack = self._history, self._position.pack
        marks = self._position.marks(outlet.stored)
        start_ns = history.start_ns(marks, now_ns=self._now_ns())
        while number < history.ticks:
            one_by_one = pack(number) < outlet.catch_up_until
            count = min(1 if one_by_one else MAX_BATCH, history.ticks - number)
            ticks = market.ticks(number, history.event_times(number, count, start_ns=start_ns))
            number += count
            await self._gate.pass_on(count, outlet, journal)
            await outlet.put(ticks, pack(number))
            await asyncio.sleep(0)  # the other feeds' turn
        most = _BRIDGE_TICKS if not marks else 0  # the time of a stop stays empty
        times = history.bridge(start_ns, self._now_ns(), rate=market.rate, most=most)
        for at in range(0, len(times), MAX_BATCH):
            ticks = market.ticks(number, times[at : at + MAX_BATCH])
            number += len(ticks)
            await self._gate.pass_on(len(ticks), outlet, journal)
            await outlet.put(ticks, pack(number))
        return number

    async def _emit_live(self, market: SimMarket, number: int, outlet: TickOutlet) -> None:
        pack = self._position.pack
        while pack(number) < outlet.catch_up_until:
            number += 1
            await outlet.put(market.ticks(number - 1, [self._now_ns()]), pack(number))
        pace = Pace(rate=market.rate, now_ns=self._monotonic_ns())
        while True:
            due = pace.due(self._monotonic_ns())
            ticks = market.ticks(number, [self._now_ns()] * due) if due else []
            for at in range(0, due, MAX_BATCH):
                batch = ticks[at : at + MAX_BATCH]
                number += len(batch)
                await outlet.put(batch, pack(number))
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
