"""What comes twice, comes in another order, or at a time that a stepped clock tells wrongly."""

import asyncio
from itertools import pairwise
from pathlib import Path

from tests.faults import launch
from tests.faults.installation import AGGREGATOR, GATEWAY, INGEST, Installation, Plan
from tests.faults.kinds.fault import Fault
from tests.faults.load import shuffled

_HOUR_NS = 3600 * 10**9
_HORIZON_NS = _HOUR_NS  # dedup_horizon_s: what comes again later is delivered again


class Duplicates(Fault):
    """Every trade is delivered by two feeds side by side, and some again within each."""

    name = "duplicates"
    about = "every trade by two feeds side by side, one in four again within each; a kill on top"

    def arrange(self, plan: Plan) -> None:
        delivered, newest_ns = [], 0
        for trade in plan.load:
            delivered.append(trade)
            newest_ns = max(newest_ns, trade.time_ns)
            if self.dice.random() < 0.25:
                again = self.dice.choice(delivered[-500:])  # which may be a repeat itself
                if newest_ns - again.time_ns < _HORIZON_NS:
                    delivered.append(again)
        plan.delivered = delivered
        plan.feeds = 2

    async def strike(self, system: Installation) -> None:
        await system.reaches(self.share())
        role = system.roles[self.dice.choice((AGGREGATOR, INGEST))]
        role.kill()
        system.hit("killed")
        delivered = system.plan.delivered or []
        system.hit("repeats", 2 * len(delivered) - len(set(delivered)))
        system.lifted()


class Reordered(Fault):
    """Trades are delivered in another order than they happened."""

    name = "reordered"
    about = "each trade moved by up to 400 places in the file; a kill on top"

    def arrange(self, plan: Plan) -> None:
        plan.delivered = shuffled(self.dice, plan.load, reach=self.dice.randint(10, 400))

    async def strike(self, system: Installation) -> None:
        delivered = system.plan.delivered or []
        times = [trade.time_ns for trade in delivered]
        system.hit("out_of_order", sum(b < a for a, b in pairwise(times)))
        await system.reaches(self.share())
        role = system.roles[self.dice.choice((AGGREGATOR, INGEST))]
        role.kill()
        system.hit("killed")
        system.lifted()


class ClockStep(Fault):
    """The wall clock jumps by an hour, forwards or backwards, for one role or for all."""

    name = "clock_step"
    about = "the wall clock of one role, or of all, stepped by +1 h or -1 h, and back"

    def arrange(self, plan: Plan) -> None:
        self.clocks: dict[str, Path] = {}
        for role in (INGEST, AGGREGATOR, GATEWAY):
            self.clocks[role] = path = plan.folder / f"clock-{role}"
            launch.step_clock(path, 0)
            plan.module[role] = ("-m", "tests.faults.launch", "--clock", str(path))

    async def strike(self, system: Installation) -> None:
        everybody = list(self.clocks.values())
        chosen = everybody if self.dice.random() < 0.4 else [self.dice.choice(everybody)]
        offset_ns = self.dice.choice((_HOUR_NS, -_HOUR_NS))
        await system.reaches(self.share() / 2)
        for path in chosen:
            launch.step_clock(path, offset_ns)
        await asyncio.sleep(self.dice.uniform(0.5, 2))
        await system.until(lambda: all(map(launch.times_read, chosen)), timeout_s=10)
        for path in chosen:
            system.hit("stepped_times_read", launch.times_read(path))
            if self.dice.random() < 0.7:
                launch.step_clock(path, 0)
        system.lifted()
