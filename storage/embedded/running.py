"""Find the embedded servers that another program runs over a data directory."""

import socket
from pathlib import Path

from storage.embedded.data_dir import existing_socket_folder
from storage.embedded.errors import DataDirUnusable, NothingRuns
from storage.embedded.postgres import SOCKET, database_url
from storage.embedded.valkey import SOCKET as REDIS_SOCKET
from storage.embedded.valkey import redis_url

_CONNECT_S = 1.0  # a socket on this machine takes or refuses a connection at once


def running_database_url(data_dir: Path) -> str:
    """The libpq URL of the PostgreSQL server that runs over *data_dir* now.

    Takes no lock, so that a program that starts there meanwhile is not turned away.

    Raises:
        NothingRuns: no server listens there.
        DataDirUnusable: the directory is not for this user to look into.
    """
    return database_url(_sockets(data_dir, SOCKET, "database"))


def running_redis_url(data_dir: Path) -> str:
    """The redis-py URL of the Valkey server that runs over *data_dir* now; as the above.

    Raises:
        NothingRuns: no server listens there.
        DataDirUnusable: the directory is not for this user to look into.
    """
    return redis_url(_sockets(data_dir, REDIS_SOCKET, "Redis") / REDIS_SOCKET)


def _sockets(data_dir: Path, name: str, server: str) -> Path:
    """The folder with the socket *name*, on which something listens."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(_CONNECT_S)
        try:
            sockets = existing_socket_folder(data_dir.absolute())
            caller.connect(str(sockets / name))
        except PermissionError as exc:
            raise DataDirUnusable(data_dir, exc.strerror or str(exc)) from exc
        except OSError as exc:  # not there, refused, or a path too long for a socket
            raise NothingRuns(data_dir, server) from exc
    return sockets
