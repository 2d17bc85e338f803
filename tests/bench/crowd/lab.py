"""Servers, cores and the compiled swarm: what every scenario stands on."""

import asyncio
import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from storage.embedded import EmbeddedServers
from storage.migrations import migrate
from tests.bench.crowd.feeder import Order
from tests.bench.crowd.processes import FeederProcess, Gateway, Swarm, build
from tests.bench.crowd.schedule import Plan
from tickgate.settings import SETTINGS

_STREAM_MAX_BYTES = 1 << 30
_SHARDS = 16
_OFF = "1000000"  # a limit that nobody reaches
_LIMITS = ("max_connections_per_ip", "max_connections_per_key", "handshakes_per_s")


@dataclass(kw_only=True)
class Lab:
    """The gateway has the first core; Valkey, the feeder, the swarm and this process the second."""

    folder: Path
    program: Path
    redis_url: str
    database_url: str
    database_log: Path
    gateway_cores: Sequence[int]
    all_cores: Sequence[int]
    namespace: str = field(default_factory=lambda: f"bench-{uuid.uuid4().hex[:12]}")

    def gateway(self, *, anywhere: bool = False, port: int = 0, **settings: object) -> Gateway:
        """A gateway, to be entered; *anywhere*: on all cores."""
        environ = {
            "TICKGATE_REDIS_URL": self.redis_url,
            "TICKGATE_DATABASE_URL": self.database_url,
            "TICKGATE_NAMESPACE": self.namespace,
            "TICKGATE_SHARDS": str(_SHARDS),
            **{f"TICKGATE_{name.upper()}": _OFF for name in _limits()},
            **{f"TICKGATE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        cores = self.all_cores if anywhere else self.gateway_cores
        return Gateway(environ, self.folder / "gateway.log", cores=cores, port=port)

    def swarm(self, ports: Sequence[int], **options: object) -> Swarm:
        """Clients, to be entered."""
        return Swarm(self.program, ports, **options)

    def feeder(self, plan: Plan) -> FeederProcess:
        """A feeder, to be entered."""
        where = {"redis_url": self.redis_url, "namespace": self.namespace, "shards": _SHARDS}
        return FeederProcess(Order(**where, plan=plan))  # type: ignore[arg-type]


@contextmanager
def lab(*, spread: bool = False) -> Iterator[Lab]:
    """Start the servers; they end, and the cores are this process' again, with the block.

    *spread*: nothing is bound to a core.
    """
    own_cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, own_cores if spread else own_cores[-1:])  # what is started inherits it
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tickgate-crowd-") as folder,
            asyncio.Runner() as runner,
        ):
            servers = EmbeddedServers(Path(folder, "data"), stream_max_bytes=_STREAM_MAX_BYTES)
            runner.run(servers.start())
            try:
                runner.run(migrate(servers.database_url))
                assert servers.postgres is not None
                yield Lab(
                    folder=Path(folder),
                    program=build(Path(folder)),
                    redis_url=servers.redis_url,
                    database_url=servers.database_url,
                    database_log=servers.postgres.log_path,
                    gateway_cores=own_cores[:1],
                    all_cores=own_cores,
                )
            finally:
                runner.run(servers.stop())
    finally:
        os.sched_setaffinity(0, own_cores)


def _limits() -> list[str]:
    known = {setting.name for setting in SETTINGS}
    return [name for name in _LIMITS if name in known]
