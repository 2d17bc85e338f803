"""The servers themselves: killed, stopped, restarted inside a transaction, without disk."""

import asyncio
import contextlib
from pathlib import Path
from typing import ClassVar

from storage.embedded import PostgresServer, ValkeyServer
from tests.faults.installation import AGGREGATOR, DATABASE, Installation
from tests.faults.kinds.fault import Fault, Rig

_COMMIT = b"COMMIT"


class KillServer(Fault):
    """SIGKILL, a while without, and a start over the same files."""

    server: ClassVar[str]

    async def strike(self, system: Installation) -> None:
        await system.reaches(self.share())
        server: ValkeyServer | PostgresServer = getattr(system.servers, self.server)
        await server.kill()
        assert not server.running
        system.hit("killed")
        await asyncio.sleep(self.dice.uniform(0, 2))
        await server.start()
        system.lifted()


class KillRedis(KillServer):
    name = "kill_redis"
    about = "SIGKILL of the only Valkey, started again after 0 to 2 s (append-only file)"
    server = "valkey"


class KillPostgres(KillServer):
    name = "kill_postgres"
    about = "SIGKILL of PostgreSQL, started again after 0 to 2 s"
    server = "postgres"


class StopServer(Fault):
    """SIGSTOP for a while, then SIGCONT: connections live, nothing answers."""

    server: ClassVar[str]

    async def strike(self, system: Installation) -> None:
        await system.reaches(self.share())
        server: ValkeyServer | PostgresServer = getattr(system.servers, self.server)
        server.pause()
        system.hit("stopped")
        await asyncio.sleep(self.dice.uniform(0.2, 4))
        server.resume()
        system.lifted()


class StopRedis(StopServer):
    name = "stop_redis"
    about = "SIGSTOP of the only Valkey for 0.2 to 4 s"
    server = "valkey"


class StopPostgres(StopServer):
    name = "stop_postgres"
    about = "SIGSTOP of all processes of PostgreSQL for 0.2 to 4 s"
    server = "postgres"


class RestartInTransaction(Fault):
    """The commit is on its way when the server is restarted; or its answer is lost."""

    name = "restart_in_transaction"
    about = "PostgreSQL restarted while a flush's COMMIT is on its way, or just before its answer"

    async def strike(self, system: Installation) -> None:
        link = system.links[f"{AGGREGATOR}-{DATABASE}"]
        for share in sorted(self.share() for _ in range(2)):
            await system.reaches(share)
            await asyncio.wait_for(asyncio.shield(link.hold_at(_COMMIT)), 10)
            if self.dice.random() < 0.5:  # committed, and nobody is told
                link.cut_reply(0)
                link.release()
                await system.until(lambda: link.hits["cut"] > 0, timeout_s=5)
                system.hit("answer_to_commit_cut")
            await self._restart(system.servers.postgres)
            link.heal()
            link.reset()  # what was held goes to a server that is gone
            system.hit("restarted_inside")
            system.lifted()

    async def _restart(self, server: PostgresServer) -> None:
        await (server.kill() if self.dice.random() < 0.5 else server.stop())
        await server.start()


class DiskFull(Fault):
    """A file takes all that is left of PostgreSQL's disk, for a while."""

    name = "disk_full"
    about = "no byte left on PostgreSQL's disk (a small tmpfs) for 1 to 4 s"
    rig = Rig.SMALL_DISK

    async def strike(self, system: Installation) -> None:
        await system.reaches(self.share())
        server = system.servers.postgres
        disk = system.servers.files.parent
        said = _complaints(server)
        ballast = disk / "ballast"
        try:
            await asyncio.to_thread(_fill, ballast)
            await asyncio.sleep(self.dice.uniform(1, 4))
            with contextlib.suppress(TimeoutError):
                await system.until(lambda: _complaints(server) > said, timeout_s=6)
        finally:
            ballast.unlink(missing_ok=True)
        system.hit("refused_for_want_of_disk", _complaints(server) - said)
        if not server.running:
            system.hit("server_gave_up")
            await server.start()
        system.lifted()


def _fill(ballast: Path) -> None:
    """Take every byte that is left, in large pieces, then in small ones."""
    for size in (1 << 16, 1 << 10):
        with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(size))


def _complaints(server: PostgresServer) -> int:
    return server.log_path.read_text(errors="replace").count("No space left on device")
