"""The data directory: whose it is, who works in it, and where sockets go."""

import fcntl
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from storage.embedded.errors import DataDirBusy, DataDirUnusable

_LOCK = "tickgate.lock"
_SOCKETS_LINK = "sockets"  # names the folder of the sockets when that is not our own
_AWKWARD = frozenset(",\"'\\\n")  # characters that a list of socket folders gives a meaning


class DataDir:
    """A directory of the user's choice, worked in by one program at a time.

    What is created is private (0700, 0600); what was there keeps its permissions.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def acquire(self) -> None:
        """Create the directory if need be and lock it for this process.

        Raises:
            DataDirBusy: another program holds it.
            DataDirUnusable: it cannot be created or written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise DataDirUnusable(self.path, exc.strerror or str(exc)) from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 20, 0).decode(errors="replace").strip()
            os.close(handle)
            raise DataDirBusy(self.path, int(holder) if holder.isdigit() else None) from None
        except OSError as exc:  # a file system without locks
            os.close(handle)
            raise DataDirUnusable(self.path, f"cannot be locked: {exc.strerror}") from exc
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._lock = handle

    def release(self) -> None:
        """Give the directory free. The lock file stays: removing it would race with a start."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def folder(self, name: str) -> Path:
        """A private folder in the data directory, created if need be.

        Raises:
            DataDirUnusable: it cannot be created or written.
        """
        return _private_folder(self.path, self.path / name)

    def socket_folder(self) -> Path:
        """A folder that only this user can enter, fit to hold sockets; the same while we run.

        In the data directory where that works. A path too long for a socket (107 bytes on
        Linux), or a file system without sockets, gets a private temporary folder instead; the
        one that a killed run left behind is removed.
        """
        own = self.folder("run")
        link = own / _SOCKETS_LINK
        _remove_linked(link)
        if _holds_sockets(own):
            return own
        elsewhere = Path(tempfile.mkdtemp(prefix="tickgate-"))  # 0700
        link.symlink_to(elsewhere)
        return elsewhere

    def remove_socket_folder(self) -> None:
        """Remove the temporary folder of sockets, if there is one."""
        _remove_linked(self.path / "run" / _SOCKETS_LINK)


def existing_socket_folder(data_dir: Path) -> Path:
    """Where the program that works in *data_dir* has its sockets; creates nothing."""
    own = data_dir / "run"
    link = own / _SOCKETS_LINK
    return link.readlink() if link.is_symlink() else own


def _private_folder(data_dir: Path, path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise DataDirUnusable(data_dir, f"{path.name}: {exc.strerror or exc}") from exc
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise DataDirUnusable(data_dir, f"no permission for {path.name}")
    return path


def _holds_sockets(folder: Path) -> bool:
    """Try it out: a name as long as the longest one that will be needed, behind a closed door."""
    mode = folder.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO) or _AWKWARD & set(str(folder)):
        return False
    probe = folder / ".s.PGSQL.probe"
    probe.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(str(probe))
        except OSError:
            return False
    probe.unlink()
    return True


def _remove_linked(link: Path) -> None:
    """Remove the folder that *link* names, if it is a folder of sockets that we made."""
    if not link.is_symlink():
        return
    target = link.readlink()
    link.unlink()
    if target.name.startswith("tickgate-") and _is_ours(target):
        shutil.rmtree(target, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    try:
        state = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid()


def write_private(path: Path, text: str) -> None:
    """Replace the content of a file; a new one is for this user alone."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)


def disk_usage(path: Path) -> int:
    """Bytes that the files under *path* take on the disk; files that vanish meanwhile count 0."""
    total, folders = 0, [os.fspath(path)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    total += _blocks(entry)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return total


def _blocks(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512  # the unit of st_blocks
    except FileNotFoundError:
        return 0
