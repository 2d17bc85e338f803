"""Starts, ends, crashes and left-overs of the embedded servers."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from core.runtime.children import describe_exit
from core.runtime.witness import Crash
from storage.embedded import (
    DataDirBusy,
    DataDirUnusable,
    EmbeddedServers,
    PostgresServer,
    ServerStartError,
    ValkeyServer,
)
from tests.conftest import Eventually
from tests.integration.embedded.homes import here, owner, processes_in

pytestmark = pytest.mark.slow


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[EmbeddedServers]:
    async with EmbeddedServers(tmp_path / "data", stream_max_bytes=100 << 20) as servers:
        yield servers


@contextlib.contextmanager
def _bystander(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of this user that is none of ours, at work in *folder*."""
    with subprocess.Popen(["sleep", "60"], cwd=folder) as process:
        yield process
        process.kill()


def _rename_in_pid_file(path: Path, pid: int) -> None:
    _, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([f"{pid}\n", *rest]))


def _write(database_url: str, redis_url: str) -> None:
    with psycopg.connect(database_url) as database:
        database.execute("CREATE TABLE IF NOT EXISTS kept (x int)")
        database.execute("INSERT INTO kept VALUES (1)")
    with redis.Redis.from_url(redis_url) as client:
        client.xadd("kept", {"x": 1})


def _rows(database_url: str, redis_url: str) -> tuple[int, int]:
    with psycopg.connect(database_url) as database, redis.Redis.from_url(redis_url) as client:
        row = database.execute("SELECT count(*) FROM kept").fetchone()
        assert row is not None
        return row[0], client.xlen("kept")


async def test_data_is_kept_over_starts_and_no_process_is_left(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"

    for starts in (1, 2):
        async with EmbeddedServers(data_dir) as servers:
            _write(servers.database_url, servers.redis_url)
            kept = _rows(servers.database_url, servers.redis_url)
        assert kept == (starts, starts)

    assert processes_in(data_dir) == []


async def test_valkey_is_bounded_and_appends_to_a_file(servers: EmbeddedServers) -> None:
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        settings = client.config_get("*")

    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["save"] == ""
    assert settings["maxmemory-policy"] == "noeviction"
    assert (100 << 20) < int(settings["maxmemory"]) < (200 << 20)
    assert settings["port"] == "0"


async def test_a_killed_program_takes_its_servers_along_and_the_next_start_recovers(
    tmp_path: Path, eventually: Eventually
) -> None:
    data_dir = tmp_path / "data"
    with owner(here(), uid=os.geteuid(), data_dir=data_dir) as (program, told):
        _write(told["database_url"], told["redis_url"])
        program.kill()
        await eventually(lambda: not processes_in(data_dir))

    async with EmbeddedServers(data_dir) as servers:
        assert _rows(servers.database_url, servers.redis_url) == (1, 1)


async def test_hung_servers_of_a_killed_program_are_stopped_by_the_next_start(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    with owner(here(), uid=os.geteuid(), data_dir=data_dir) as (program, told):
        _write(told["database_url"], told["redis_url"])
        for pid in told["pids"]:
            os.kill(pid, signal.SIGSTOP)  # so the death signal has no effect
        program.kill()
        program.wait()
        assert len(processes_in(data_dir)) >= 2

        async with EmbeddedServers(data_dir) as servers:
            assert _rows(servers.database_url, servers.redis_url) == (1, 1)
            now = {servers.valkey and servers.valkey.pid, servers.postgres and servers.postgres.pid}
            assert not now & set(told["pids"])


async def test_a_pid_file_that_names_somebody_else_harms_nobody(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    folder = tmp_path / "postgres" / "postgres"
    await postgres.kill()
    with _bystander(folder) as somebody:
        _rename_in_pid_file(folder / "postmaster.pid", somebody.pid)

        await postgres.start()

        with psycopg.connect(postgres.url) as database:
            assert database.execute("SELECT 1").fetchone() == (1,)
        await postgres.stop()
        assert somebody.poll() is None


async def test_servers_are_started_in_the_main_thread_alone(postgres: PostgresServer) -> None:
    await postgres.stop()

    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(asyncio.run, postgres.start())

    assert not postgres.running


async def test_a_second_program_on_the_directory_is_refused(servers: EmbeddedServers) -> None:
    data_dir = servers.data_dir.path

    with owner(here(), uid=os.geteuid(), data_dir=data_dir) as (_, told):
        assert told["error"] == "DataDirBusy"
        assert str(data_dir) in told["text"]
        assert str(os.getpid()) in told["text"]
        with pytest.raises(DataDirBusy):
            await EmbeddedServers(data_dir).start()
        _write(servers.database_url, servers.redis_url)  # the first one goes on
        await servers.stop()


async def test_the_directory_is_free_again_after_a_stop_and_after_a_failed_start(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    in_the_way = data_dir / "postgres" / "holiday.jpg"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_bytes(b"jpeg")

    with pytest.raises(DataDirUnusable, match="postgres"):
        await EmbeddedServers(data_dir).start()

    assert in_the_way.read_bytes() == b"jpeg"
    assert processes_in(data_dir) == []
    in_the_way.unlink()
    async with EmbeddedServers(data_dir) as servers:
        _write(servers.database_url, servers.redis_url)


@pytest.mark.parametrize("place", ["a file", "below a file", "no such device"])
async def test_a_directory_that_cannot_be_made_is_a_clear_error(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data_dir = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "data",
        "no such device": Path("/proc/tickgate"),
    }[place]

    with pytest.raises(DataDirUnusable) as refused:
        await EmbeddedServers(data_dir).start()

    assert str(data_dir) in str(refused.value)
    assert "--data-dir" in str(refused.value)


async def test_data_of_another_postgres_version_is_refused_with_its_words(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with EmbeddedServers(data_dir, redis=False):
        pass
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(ServerStartError, match="17") as refused:
        await EmbeddedServers(data_dir).start()

    assert str(data_dir / "log" / "postgres.log") in str(refused.value)
    assert processes_in(data_dir) == []


async def test_an_interrupted_creation_is_begun_anew(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    unfinished = data_dir / "postgres.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    async with EmbeddedServers(data_dir) as servers:
        _write(servers.database_url, servers.redis_url)

    assert not unfinished.exists()


@pytest.mark.parametrize("name", ["x" * 120, "a, 'b' \"c\" \\ %20 d"], ids=["long", "odd"])
async def test_a_long_or_odd_path_gets_its_sockets_elsewhere(name: str, tmp_path: Path) -> None:
    data_dir = tmp_path / name
    servers = EmbeddedServers(data_dir)
    await servers.start()
    _write(servers.database_url, servers.redis_url)
    elsewhere = (data_dir / "run" / "sockets").readlink()
    assert elsewhere.stat().st_mode & 0o777 == 0o700

    await servers.stop()

    assert not elsewhere.exists()


async def test_sockets_elsewhere_of_a_killed_program_are_removed(
    tmp_path: Path, eventually: Eventually
) -> None:
    data_dir = tmp_path / ("x" * 120)
    with owner(here(), uid=os.geteuid(), data_dir=data_dir) as (program, _):
        program.kill()
        await eventually(lambda: not processes_in(data_dir))
    left = (data_dir / "run" / "sockets").readlink()
    assert left.exists()

    async with EmbeddedServers(data_dir):
        assert not left.exists()


class Diary:
    """A witness that writes down how servers ended."""

    def __init__(self) -> None:
        self.exits: dict[str, str] = {}

    def crashed(self, crash: Crash) -> None:
        self.exits[crash.name] = crash.exit

    def lasted(self, name: str) -> None:
        del self.exits[name]


async def test_a_server_that_dies_is_started_again_and_that_is_told(
    servers: EmbeddedServers, eventually: Eventually
) -> None:
    servers.witness = diary = Diary()
    _write(servers.database_url, servers.redis_url)
    assert servers.valkey is not None
    assert servers.postgres is not None
    before = (servers.valkey.pid, servers.postgres.pid)

    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(servers.keep_running())
        await servers.valkey.kill()
        await servers.postgres.kill()
        rows = await eventually(lambda: _rows_if_up(servers))
        keeper.cancel()

    assert rows == (1, 1)
    assert diary.exits == dict.fromkeys(("valkey", "postgres"), describe_exit(-signal.SIGKILL))
    assert not set(before) & {servers.valkey.pid, servers.postgres.pid}


def _rows_if_up(servers: EmbeddedServers) -> tuple[int, int] | None:
    try:
        return _rows(servers.database_url, servers.redis_url)
    except (psycopg.OperationalError, redis.ConnectionError):
        return None


async def test_a_hung_server_is_stopped_in_bounded_time(
    valkey: ValkeyServer, postgres: PostgresServer
) -> None:
    valkey.pause()
    postgres.pause()

    async with asyncio.timeout(10):
        await valkey.stop()
        await postgres.stop()

    assert not valkey.running
    assert not postgres.running


async def test_a_paused_server_answers_nobody_until_it_is_resumed(
    valkey: ValkeyServer, postgres: PostgresServer
) -> None:
    client: Any = redis.asyncio.Redis.from_url(valkey.url, socket_timeout=0.1, retry=None)
    valkey.pause()
    postgres.pause()

    with pytest.raises((redis.TimeoutError, redis.ConnectionError), match="Timeout"):
        await client.ping()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(psycopg.AsyncConnection.connect(postgres.url), 0.1)

    valkey.resume()
    postgres.resume()
    assert await client.ping()
    await client.aclose()
    async with await psycopg.AsyncConnection.connect(postgres.url) as database:
        assert await (await database.execute("SELECT 1")).fetchone() == (1,)
