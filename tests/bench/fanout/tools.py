"""What the other servers need on this machine: found, or fetched into a cache of our own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_TIMEOUT_S = 300
_NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


class Missing(Exception):
    """A server is not on this machine and could not be fetched; the message says what to do."""


def cache() -> Path:
    """The folder for fetched packages, outside the repository."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home, "tickgate-bench")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def node_packages() -> tuple[str, Path]:
    """The program `node`, and the folder that holds npm's `ws`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("no node or npm on this machine")
    folder = cache() / "node"
    if not (folder / "node_modules" / "ws").is_dir():
        folder.mkdir(exist_ok=True)
        _run(npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "ws@8")
    return node, folder


def python_package(name: str) -> Path:
    """A folder for PYTHONPATH that holds the package *name* and what it needs."""
    folder = cache() / f"python-{name}"
    if not (folder / name).is_dir():
        _run(
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"),
            *("--disable-pip-version-check", "--target", str(folder), name),
        )
    return folder


def nats_server() -> str:
    """The program."""
    return _program("nats-server", "apt-get install nats-server")


def nginx_with_nchan() -> tuple[str, Path]:
    """The program, and the module to load."""
    wanted = "apt-get install --no-install-recommends nginx-light libnginx-mod-nchan"
    program = _program("nginx", wanted)
    if not _NCHAN.is_file():
        raise Missing(f"{_NCHAN} is not there ({wanted})")
    return program, _NCHAN


def _program(name: str, wanted: str) -> str:
    folders = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(name, path=folders)
    if found is None:
        raise Missing(f"no {name} on this machine ({wanted})")
    return found


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Missing(f"{command[0]} took longer than {_TIMEOUT_S} s") from None
    if done.returncode:
        raise Missing(f"{' '.join(command)}: {done.stderr[-500:].strip()}")
