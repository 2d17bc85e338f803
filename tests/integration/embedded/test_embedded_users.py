"""As root and as an ordinary user, from under a closed home, permissions left as they were."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest
import redis

from tests.integration.embedded.homes import (
    Home,
    as_user,
    build_home,
    here,
    owner,
    permissions,
    processes_in,
)

pytestmark = pytest.mark.slow

_ROOT, _NOBODY, _STRANGER, _NAMELESS = 0, 65534, 1, 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to act as several users")
_NO_NAMESPACES = "echo 0 >/proc/sys/user/max_user_namespaces; exec "


@pytest.fixture
def passage() -> Iterator[Path]:
    """A folder that every user may pass through, as /home is; pytest's own is closed."""
    path = Path(tempfile.mkdtemp(prefix="tg-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(
    params=[
        pytest.param((os.geteuid(), os.geteuid()), id="own_home"),
        pytest.param((_NOBODY, _NOBODY), id="ordinary_user", marks=needs_root),
        pytest.param((_NAMELESS, _NAMELESS), id="user_without_a_name", marks=needs_root),
        pytest.param((_NOBODY, _ROOT), id="root_in_the_home_of_another", marks=needs_root),
    ]
)
def home_and_uid(request: pytest.FixtureRequest, passage: Path) -> tuple[Home, int]:
    """A home, and who runs the program from there."""
    home_uid, uid = request.param
    return build_home(passage / "home", uid=home_uid), uid


def test_runs_from_a_closed_home_and_leaves_every_permission_as_it_was(
    home_and_uid: tuple[Home, int],
) -> None:
    home, uid = home_and_uid
    before = permissions(home.path)

    with owner(home, uid=uid) as (program, told):
        assert "error" not in told, told
        with psycopg.connect(told["database_url"]) as database:
            durable = [database.execute(f"SHOW {name}").fetchone() for name in _DURABLE]
        with redis.Redis.from_url(told["redis_url"]) as client:
            client.set("kept", "1")
        program.communicate(timeout=20)

    assert durable == [("on",)] * len(_DURABLE)
    assert processes_in(home.path) == []
    after = permissions(home.path)
    assert {name: after.get(name) for name in before} == before
    made = {name: mode for name, (mode, _, _) in permissions(home.data_dir).items()}
    assert {n for n in made.keys() - before.keys() if made[n] & _FOR_OTHERS} == set()


_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


@needs_root
def test_no_other_user_can_connect(passage: Path) -> None:
    home = build_home(passage / "home", uid=_NOBODY)
    data_dir = passage / "data"
    data_dir.mkdir()
    os.chown(data_dir, _NOBODY, _NOBODY)
    data_dir.chmod(0o755)

    with owner(home, uid=_NOBODY, data_dir=data_dir) as (_, told):
        sockets = [
            unquote(told["redis_url"].removeprefix("unix://").partition("?")[0]),
            unquote(told["database_url"].partition("host=")[2]) + "/.s.PGSQL.5432",
        ]
        answers = [_connect(path, uid) for path in sockets for uid in (_NOBODY, _STRANGER)]

    assert answers == ["connected", "PermissionError"] * 2
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o755  # was there before: left as it was


@needs_root
@pytest.mark.parametrize(
    "namespace", ["--map-root-user", "--map-root-user --mount --pid --fork --kill-child"]
)
def test_runs_as_root_inside_a_container_of_one_uid(namespace: str, tmp_path: Path) -> None:
    before = ["unshare", "--user", *namespace.split()]
    if "--pid" in before:
        before.append("--mount-proc")

    with owner(here(), uid=_ROOT, data_dir=tmp_path / "data", before=before) as (program, told):
        assert "error" not in told, told
        program.communicate(timeout=20)

    assert processes_in(tmp_path) == []


@needs_root
def test_root_without_user_namespaces_is_told_what_to_do(tmp_path: Path) -> None:
    before = ["unshare", "--user", "--map-root-user", "sh", "-c", _NO_NAMESPACES + '"$@"', "sh"]

    with owner(here(), uid=_ROOT, data_dir=tmp_path / "data", before=before) as (_, told):
        assert told["error"] == "NoServerUser"
        assert "--database-url" in told["text"]
        assert "unshare" in told["text"]

    assert processes_in(tmp_path) == []


@needs_root
def test_an_ordinary_user_is_told_of_a_folder_it_may_not_write(passage: Path) -> None:
    home = build_home(passage / "home", uid=_NOBODY)
    (passage / "theirs").mkdir(mode=0o755)

    with owner(home, uid=_NOBODY, data_dir=passage / "theirs") as (_, told):
        assert told["error"] == "DataDirUnusable"
        assert str(passage / "theirs") in told["text"]
        assert "--data-dir" in told["text"]

    assert list((passage / "theirs").iterdir()) == []


def _connect(path: str, uid: int) -> str:
    code = (
        "import socket, sys\n"
        "try: socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('connected')\n"
        "except OSError as exc: print(type(exc).__name__)\n"
    )
    python = "/usr/bin/python3" if uid != os.geteuid() else sys.executable
    told = subprocess.run([python, "-c", code, path], **as_user(uid), capture_output=True)
    return str(told.stdout.decode().strip())
