"""Roles killed with SIGKILL or stopped with SIGSTOP; a worker that the kernel kills."""

import asyncio
import contextlib
import functools
import os
import signal
from pathlib import Path
from typing import ClassVar

from tests.faults.installation import (
    AGGREGATOR,
    DATABASE,
    GATEWAY,
    INGEST,
    Installation,
    Plan,
)
from tests.faults.kinds.fault import Fault
from tests.faults.servers import NotPermitted, SmallMemory
from tests.processes import gone

_LEASE_OVER_S = 5.0  # a stopped owner's part is another's after so long


class Kill(Fault):
    """SIGKILL, up to three times; the role is started again."""

    role: ClassVar[str]

    async def strike(self, system: Installation) -> None:
        role = system.roles[self.role]
        for share in sorted(self.share() for _ in range(self.dice.randint(1, 3))):
            await system.reaches(share)
            await role.started()
            pid = role.pid
            role.kill()
            system.lifted()
            await system.until(functools.partial(gone, pid), timeout_s=5)
            system.hit("killed")


class KillIngest(Kill):
    name = "kill_ingest"
    about = "SIGKILL of ingest, one to three times"
    role = INGEST


class KillAggregator(Kill):
    name = "kill_aggregator"
    about = "SIGKILL of the aggregator, one to three times"
    role = AGGREGATOR


class KillGateway(Kill):
    name = "kill_gateway"
    about = "SIGKILL of the gateway, one to three times; its clients come back with their cursors"
    role = GATEWAY


class Stop(Fault):
    """SIGSTOP for a while, then SIGCONT."""

    role: ClassVar[str]
    longest_s: ClassVar[float] = 4.0

    async def strike(self, system: Installation) -> None:
        await system.reaches(self.share())
        role = system.roles[self.role]
        role.send(signal.SIGSTOP)
        await system.until(lambda: _is_stopped(role.pid), timeout_s=5)
        system.hit("stopped")
        await asyncio.sleep(self.dice.uniform(0.2, self.longest_s))
        role.send(signal.SIGCONT)
        system.lifted()


class StopIngest(Stop):
    name = "stop_ingest"
    about = "SIGSTOP of ingest for 0.2 to 4 s, beside another that stands by"
    role = INGEST
    longest_s = 4.0

    def arrange(self, plan: Plan) -> None:
        plan.ingests = 2


class StopAggregator(Stop):
    name = "stop_aggregator"
    about = "SIGSTOP of the aggregator for 0.2 to 4 s"
    role = AGGREGATOR


class StopGateway(Stop):
    name = "stop_gateway"
    about = "SIGSTOP of the gateway for 0.2 to 4 s"
    role = GATEWAY


class KillWorker(Fault):
    """One of two gateway processes asks for more memory than there is: the kernel ends it."""

    name = "oom_worker"
    about = "the kernel kills one of two gateway workers that has no memory left (control group)"

    def arrange(self, plan: Plan) -> None:
        plan.workers = 2

    async def strike(self, system: Installation) -> None:
        await system.reaches(self.share())
        victim = self.dice.choice(_children(system.roles[GATEWAY].pid))
        try:
            await self._by_kernel(system, victim)
        except NotPermitted:  # what the kernel would send
            os.kill(victim, signal.SIGKILL)
            await system.until(lambda: gone(victim), timeout_s=5)
            system.hit("killed_as_for_memory")
        system.lifted()

    async def _by_kernel(self, system: Installation, victim: int) -> None:
        group = SmallMemory(f"tickgate-faults-{os.getpid()}-{victim}")
        try:
            group.squeeze(victim, most_bytes=64 << 10)
            # One that has no subscriber may get by for long with what it has.
            async with system.callers():
                await system.until(lambda: group.kills() > 0 and gone(victim), timeout_s=20)
            system.hit("killed_for_memory", group.kills())
        finally:
            await group.remove()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return sorted(found)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class TwoAggregators(Fault):
    """An owner is stopped with flushes that are not stored, until others own its shards.

    Then it goes on, and writes as if nothing had happened; its successor dies a moment later, so
    that whatever the stopped one got into the database is what is gone on with.
    """

    name = "two_aggregators"
    about = (
        "one of two aggregators is stopped with flushes on their way until its shards have moved, "
        "then goes on as if it owned them; then the other is killed"
    )

    def arrange(self, plan: Plan) -> None:
        plan.aggregators = 2
        plan.load_s = 8.0

    async def strike(self, system: Installation) -> None:
        await system.reaches(self.dice.uniform(0.05, 0.25))
        names = [AGGREGATOR, f"{AGGREGATOR}-2"]
        self.dice.shuffle(names)
        stopped, other = (system.roles[name] for name in names)
        link = system.links[f"{names[0]}-{DATABASE}"]
        link.black_hole()
        await asyncio.sleep(self.dice.uniform(0.1, 0.8))
        stopped.send(signal.SIGSTOP)
        await system.until(lambda: _is_stopped(stopped.pid), timeout_s=5)
        await asyncio.sleep(_LEASE_OVER_S + self.dice.uniform(0, 1))
        link.heal()
        stopped.send(signal.SIGCONT)
        system.hit("owner_came_back")
        system.hit("bytes_held", link.hits["held"])
        await asyncio.sleep(self.dice.uniform(0, 0.5))
        other.kill()
        system.lifted()
