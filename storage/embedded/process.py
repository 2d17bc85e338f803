"""One server process: started so that it dies with us, stopped with patience, then without."""

import logging
import os
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from storage.embedded import launch
from storage.embedded.errors import (
    BinaryMissing,
    NoServerUser,
    PlatformUnsupported,
    ServerStartError,
)
from storage.embedded.waiting import until

log = logging.getLogger(__name__)

_LOG_BYTES = 1 << 20  # a log larger than this is set aside at the next start
_LOG_RUNNING_BYTES = 16 << 20  # a log is emptied when it grows past this while we run
_LOG_END_BYTES = 2_000  # enough for the lines that say why a server ended


class ServerProcess:
    """A child process that gets *death_signal* when this process dies, whatever kills it.

    Start it in the main thread: the kernel takes the end of the starting thread for our death.
    It has a session of its own, so a Ctrl-C at the terminal reaches us alone.
    """

    def __init__(self, name: str, *, log_path: Path, death_signal: signal.Signals) -> None:
        self.name, self.log_path = name, log_path
        self._death_signal = death_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process, else None."""
        return self._child.pid if self._child is not None and self.running else None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the last process; None while it runs, or if there was none."""
        return self._child.poll() if self._child is not None else None

    def spawn(self, command: Sequence[str], *, cwd: Path, alias_uid: int = -1) -> None:
        """Start *command*, under another uid if *alias_uid* is not -1; output goes to the log.

        Raises:
            PlatformUnsupported: there is no death signal and no /proc here.
        """
        if sys.platform != "linux":
            raise PlatformUnsupported(sys.platform)
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("servers must be started in the main thread: they end with it")
        bound_log(self.log_path)
        script = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid())]
        with open(self.log_path, "ab", opener=_private) as output:
            self._child = subprocess.Popen(
                [*script, str(int(self._death_signal)), str(alias_uid), *command],
                cwd=cwd,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the process; False when it lives on after *timeout_s*."""
        return await until(lambda: not self.running, timeout_s)

    def send(self, sig: signal.Signals) -> None:
        """Send *sig* to the process, if it is still ours to signal."""
        if self._child is not None:
            self._child.send_signal(sig)  # looks whether it ended before it sends

    async def stop(self, ladder: Sequence[tuple[signal.Signals, float]]) -> None:
        """Send each signal of *ladder* and wait so many seconds, until the process has ended."""
        for sig, patience_s in ladder:
            if not self.running:
                return
            self.send(sig)
            self.send(signal.SIGCONT)  # a stopped process acts on nothing but SIGKILL
            if not await self.wait(patience_s):
                told = sig.name, patience_s
                log.warning("%s (pid %s) outlived %s by %g s", self.name, self.pid, *told)

    def ensure_running(self) -> None:
        """Raise what explains an early end, as :meth:`ensure_succeeded` does."""
        if not self.running:
            self._explain_end()

    def ensure_succeeded(self) -> None:
        """Raise what explains an end with another status than 0.

        Raises:
            NoServerUser: the other uid was not to be had.
            ServerStartError: the server ended, for a reason that its log tells.
        """
        if self._child is None or self._child.returncode != 0:
            self._explain_end()

    def _explain_end(self) -> NoReturn:
        status = self._child.returncode if self._child is not None else None
        if status == launch.NO_NAMESPACE_STATUS:
            raise NoServerUser(self.log_end().splitlines()[-1])
        raise self.start_error(f"it ended with status {status}")

    def start_error(self, reason: str) -> ServerStartError:
        """The error to raise for a start that failed."""
        return ServerStartError(
            self.name, reason, log=self.log_path, log_end=self.log_end().replace("\n", " | ")
        )

    def log_end(self) -> str:
        """The last few lines of the log."""
        with self.log_path.open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - _LOG_END_BYTES))
            lines = handle.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-4:])


def bound_log(path: Path) -> None:
    """Set a large log aside; two files of about 1 MiB each are kept."""
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))


def truncate_log(path: Path) -> None:
    """Empty a log that outgrew its bound; the server appends, so it goes on at the start."""
    if path.exists() and path.stat().st_size > _LOG_RUNNING_BYTES:
        os.truncate(path, 0)


def binary(package: str, pattern: str) -> Path:
    """A program inside the folder of an installed *package*, which is not imported.

    Raises:
        BinaryMissing: the package or the program is not there.
    """
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        for path in Path(folder).glob(pattern):
            if os.access(path, os.X_OK):
                return path
    raise BinaryMissing(package, Path(pattern).name)


def alias_uid() -> int:
    """The uid that PostgreSQL must be shown instead of ours; -1 where ours will do.

    It refuses root, and wants a name in the user database for the uid that it sees.

    Raises:
        NoServerUser: nobody but root is in the user database.
    """
    own = os.geteuid()
    uids = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    if own != 0 and own in uids.values():
        return -1
    for name in ("postgres", "nobody", *uids):
        if uids.get(name, 0) != 0:
            return uids[name]
    raise NoServerUser("the user database names nobody but root")


def _environment() -> dict[str, str]:
    """Ours without what would steer a PostgreSQL program or the loader of its libraries."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LD_", "PYTHON", "LC_", "TICKGATE_"))
    } | {"LC_ALL": "C"}


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
