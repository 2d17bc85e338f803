"""The script behind `make timescaledb`: what it starts, what it leaves, what it refuses."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.conftest import Eventually

pytestmark = pytest.mark.slow

_SCRIPT = Path(__file__).parents[3] / "scripts" / "timescaledb.sh"
_CALLER = """\
import os, subprocess, sys
subprocess.run(["bash", sys.argv[1], "serve", str(os.getpid())])
"""
_NOT_INSTALLED = 3  # exit status of the script


def test_the_extension_is_there_and_makes_hypertables(timescaledb_url: str) -> None:
    with psycopg.connect(timescaledb_url) as database:
        database.execute("CREATE EXTENSION timescaledb")
        database.execute("CREATE TABLE bars (time timestamptz NOT NULL)")
        database.execute("SELECT create_hypertable('bars', 'time')")
        known = database.execute("SELECT hypertable_name FROM timescaledb_information.hypertables")

        assert known.fetchall() == [("bars",)]


def test_it_wants_the_password_and_listens_on_loopback_alone(timescaledb: str) -> None:
    parts = urlsplit(timescaledb)

    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=parts.hostname, port=parts.port, user=parts.username, password="no")
    with psycopg.connect(timescaledb) as database:
        assert database.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


@pytest.mark.usefixtures("timescaledb")  # so that it is installed
async def test_the_server_of_a_killed_test_run_ends(eventually: Eventually) -> None:
    with _caller() as (caller, url):
        assert not _is_away(url)
        caller.kill()

    assert await eventually(lambda: _is_away(url))


def test_it_says_what_to_do_where_it_is_not_installed(tmp_path: Path) -> None:
    for command in ("serve", "status", "url"):
        done = _run(command, str(os.getpid()), folder=tmp_path / "absent")

        assert done.returncode == _NOT_INSTALLED
        assert str(tmp_path / "absent") in done.stderr


def test_it_installs_into_no_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    done = _run("install", folder=tmp_path)

    assert done.returncode == 1
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_it_explains_itself() -> None:
    assert _run("help").returncode == 0
    assert _run().returncode == 2
    assert "TIMESCALEDB_DIR" in _run().stdout


@contextlib.contextmanager
def _caller() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A program that runs ``serve`` as a test session does, and the address it was told."""
    command = [sys.executable, "-c", _CALLER, str(_SCRIPT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        yield caller, caller.stdout.readline().strip()
        caller.kill()


def _is_away(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return True
    return False


def _run(*arguments: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | ({"TIMESCALEDB_DIR": str(folder)} if folder else {})
    command = ["bash", str(_SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
