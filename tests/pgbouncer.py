"""PgBouncer in transaction mode before the test PostgreSQL, on a free port of 127.0.0.1."""

import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from storage.embedded.process import ServerProcess, alias_uid
from storage.embedded.waiting import until
from tests.conftest import find_free_port

_START_S = 10.0
POOL = 4
"""Connections to the server: fewer than there are clients."""
_CONFIG = """\
[databases]
* = host={host} port=5432 user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool}
"""


def pgbouncer_binary() -> str:
    """The program; without it a test is skipped that says so, in CI it fails."""
    found = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found:
        return found
    reason = "no pgbouncer: apt-get install pgbouncer"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.asynccontextmanager
async def bounced(database_url: str, folder: Path) -> AsyncIterator[str]:
    """The URL of the same database by way of a PgBouncer, whose files are in *folder*."""
    parts, port = urlsplit(database_url), find_free_port()
    host = parse_qs(parts.query)["host"][0]
    config = folder / "pgbouncer.ini"
    config.write_text(_CONFIG.format(host=host, user=parts.username, port=port, pool=POOL))
    server = ServerProcess("pgbouncer", log_path=folder / "log", death_signal=signal.SIGKILL)
    server.spawn([pgbouncer_binary(), str(config)], cwd=folder, alias_uid=alias_uid())
    url = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
    try:
        assert await until(lambda: _answers(url), _START_S), (folder / "log").read_text()
        yield url
    finally:
        await server.stop([(signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)])


def _answers(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)
    return False
