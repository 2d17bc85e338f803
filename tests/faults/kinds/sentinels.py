"""A master with a replica under three Sentinels: each killed or stopped, and failovers."""

import asyncio
import contextlib
from typing import ClassVar

from storage.errors import StreamUnavailable
from tests.faults.installation import AGGREGATOR, DATABASE, Installation
from tests.faults.kinds.fault import Fault, Rig
from tests.redis_servers import Server, Watched

_PROMOTED_S = 15.0
_A_BLOCK = 500  # bytes: more than the pings of a replication


def _victim(watched: Watched, what: str) -> Server:
    return {
        "master": watched.servers[0],
        "replica": watched.servers[1],
        "sentinel": watched.sentinels[0],
    }[what]


async def _promoted(system: Installation, watched: Watched) -> None:
    """Wait until the Sentinels name the replica; one that is busy with that is asked again."""
    port = 0
    async with asyncio.timeout(_PROMOTED_S):
        while port != watched.servers[1].port:
            with contextlib.suppress(StreamUnavailable):
                port = await watched.master_port()
            await asyncio.sleep(0.02)
    system.hit("promoted")


class KillWatched(Fault):
    """SIGKILL; a master's replica is promoted, and the master comes back as a replica or not."""

    rig = Rig.SENTINEL
    victim: ClassVar[str]

    async def strike(self, system: Installation) -> None:
        watched = system.watched
        assert watched is not None
        await system.reaches(self.share())
        server = _victim(watched, self.victim)
        server.kill()
        system.hit("killed")
        if self.victim == "master":
            await _promoted(system, watched)
            system.lifted()
        else:
            system.lifted()
            await asyncio.sleep(self.dice.uniform(0, 1))
            await self.come_back(server)

    async def come_back(self, server: Server) -> None:
        if self.victim == "replica":
            await server.start()


class KillMaster(KillWatched):
    name = "kill_master"
    about = "SIGKILL of the master; Sentinels promote its replica"
    victim = "master"


class KillReplica(KillWatched):
    name = "kill_replica"
    about = "SIGKILL of the replica, started again"
    victim = "replica"


class KillSentinel(KillWatched):
    name = "kill_sentinel"
    about = "SIGKILL of one Sentinel of three"
    victim = "sentinel"


class StopWatched(Fault):
    """SIGSTOP and SIGCONT; a master that is stopped for long is replaced, and comes back."""

    rig = Rig.SENTINEL
    victim: ClassVar[str]

    async def strike(self, system: Installation) -> None:
        watched = system.watched
        assert watched is not None
        await system.reaches(self.share())
        server = _victim(watched, self.victim)
        server.pause()
        system.hit("stopped")
        if self.victim == "master":
            await _promoted(system, watched)
        await asyncio.sleep(self.dice.uniform(0.1, 2))
        server.resume()
        system.lifted()


class StopMaster(StopWatched):
    name = "stop_master"
    about = "SIGSTOP of the master until its replica is promoted, then SIGCONT"
    victim = "master"


class StopReplica(StopWatched):
    name = "stop_replica"
    about = "SIGSTOP of the replica for 0.1 to 2 s"
    victim = "replica"


class StopSentinel(StopWatched):
    name = "stop_sentinel"
    about = "SIGSTOP of one Sentinel of three for 0.1 to 2 s"
    victim = "sentinel"


class CutReplica(Fault):
    """The replica hears nothing for a while; then the master dies with what it alone had."""

    name = "lagging_failover"
    about = "the way between master and replica silent for 0.1 to 0.5 s, then SIGKILL of the master"
    rig = Rig.SENTINEL

    async def strike(self, system: Installation) -> None:
        watched = system.watched
        assert watched is not None
        await system.reaches(self.share())
        link, replica = watched.link, watched.servers[1]
        # Sentinels have the replica follow the master itself by now.
        await replica.ask("REPLICAOF", link.host, link.port)
        async with asyncio.timeout(_PROMOTED_S):
            while b"link_status:up" not in await replica.ask("INFO", "replication"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        link.black_hole()
        await asyncio.sleep(self.dice.uniform(0.1, 0.5))
        await system.until(lambda: link.hits["held"] > _A_BLOCK, timeout_s=10)
        watched.servers[0].kill()
        system.hit("bytes_never_replicated", link.hits["held"])
        await _promoted(system, watched)
        system.lifted()


class FailoverInFlush(Fault):
    """The master dies between the commit of a flush and the publication of its bars."""

    name = "failover_in_flush"
    about = (
        "SIGKILL of the master while a flush's COMMIT is on its way: publication meets a failover"
    )
    rig = Rig.SENTINEL

    async def strike(self, system: Installation) -> None:
        watched = system.watched
        assert watched is not None
        await system.reaches(self.share())
        link = system.links[f"{AGGREGATOR}-{DATABASE}"]
        await asyncio.wait_for(asyncio.shield(link.hold_at(b"COMMIT")), 10)
        system.hit("in_flush")
        watched.servers[0].kill()
        link.heal()
        await _promoted(system, watched)
        system.lifted()
