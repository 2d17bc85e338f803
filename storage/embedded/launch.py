"""Become a server process that dies with its parent. Run as a script, never imported for use.

``python launch.py PARENT_PID DEATH_SIGNAL ALIAS_UID COMMAND…`` replaces itself by COMMAND, an
absolute path and arguments. A script of its own, as code between fork and exec (preexec_fn) is
unsafe in a program that may have threads. Standard library only: it starts in about 20 ms.

The kernel ties the death signal to the *thread* that started this process, and forgets it when
credentials change: hence the order in :func:`main`.

Sources: man pages user_namespaces(7), capabilities(7), PR_SET_PDEATHSIG(2const).
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

NO_NAMESPACE_STATUS = 113  # exit status: the other uid could not be taken on
NO_EXEC_STATUS = 114  # exit status: the command itself could not be started
ORPHAN_STATUS = 115  # exit status: the parent was gone before the death signal was in place

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def uid_extents(alias_uid: int, own_uid: int, ranges: Iterable[tuple[int, int]]) -> str:
    """Lines for ``uid_map``: *own_uid* is seen as *alias_uid* inside, everybody else as is.

    The own uid's number and the alias' outer owner have no name inside. The others are mapped
    so that a capability over files counts for their folders too.

    Args:
        alias_uid: the uid inside.
        own_uid: the uid outside.
        ranges: (first uid, count) of the uids that exist outside.
    """
    lines = [f"{alias_uid} {own_uid} 1"]
    skip = sorted({alias_uid, own_uid})
    for first, count in ranges:
        start, end = first, first + count
        for uid in skip:
            if start <= uid < end:
                if uid > start:
                    lines.append(f"{start} {start} {uid - start}")
                start = uid + 1
        if end > start:
            lines.append(f"{start} {start} {end - start}")
    return "\n".join(lines) + "\n"


def _ranges(path: str) -> list[tuple[int, int]]:
    rows = [line.split() for line in Path(path).read_text().splitlines()]
    return [(int(first), int(count)) for first, _, count in rows]


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, text.encode())  # one write: the kernel takes no second
    finally:
        os.close(handle)


def _map_everybody(target: int, alias_uid: int) -> None:
    """Map all ids of *target*'s new namespace; needs root's capabilities, outside of it."""
    uids, gids = _ranges("/proc/self/uid_map"), _ranges("/proc/self/gid_map")
    _write(f"/proc/{target}/uid_map", uid_extents(alias_uid, os.geteuid(), uids))
    _write(f"/proc/{target}/gid_map", "".join(f"{f} {f} {n}\n" for f, n in gids))


def _map_own(alias_uid: int, uid: int, gid: int) -> None:
    """Map the own ids only: what an ordinary user may do for itself."""
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{alias_uid} {uid} 1\n")
    _write("/proc/self/gid_map", f"{gid} {gid} 1\n")


def _fork_mapper(alias_uid: int) -> tuple[int, int]:
    """A child that stays outside and maps the ids once the returned pipe end is closed."""
    target = os.getpid()
    waits, tells = os.pipe()
    child = os.fork()
    if child:
        os.close(waits)
        return child, tells
    os.close(tells)
    status = 1
    try:
        os.read(waits, 1)
        _map_everybody(target, alias_uid)
        status = 0
    finally:
        os._exit(status)


def _keep_reach(libc: ctypes.CDLL) -> None:
    """Keep root's reach into folders of others (a checkout under somebody's 0700 home).

    Counts for the ids mapped into the namespace only. Without it the server may still do: the
    uid outside is root's own, so a refusal is no error. The secure bit is for access(2), which
    otherwise leaves out the capabilities of everybody but uid 0.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; low words, then high
    if libc.capget(header, sets) == 0:
        sets[2] |= 1 << _CAP_DAC_OVERRIDE
        libc.capset(header, sets)
        libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def take_on_uid(libc: ctypes.CDLL, alias_uid: int) -> None:
    """Enter a new user namespace in which the own uid is called *alias_uid*.

    Raises:
        OSError: the kernel, a container or a security module does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    mapper, tells = _fork_mapper(alias_uid) if uid == 0 else (0, -1)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"unshare: {os.strerror(error)}")
    if mapper:
        os.close(tells)
        _, status = os.waitpid(mapper, 0)
        if status == 0:
            _keep_reach(libc)
            return
    _map_own(alias_uid, uid, gid)


def main(argv: list[str]) -> int:
    """Take on the uid, then arm the death signal, then become the command."""
    parent, death_signal, alias_uid = (int(text) for text in argv[:3])
    command = argv[3:]
    os.umask(0o077)
    libc = ctypes.CDLL(None, use_errno=True)
    if alias_uid >= 0:
        try:
            take_on_uid(libc, alias_uid)
        except OSError as exc:
            sys.stderr.write(f"{exc}\n")
            return NO_NAMESPACE_STATUS
    libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        return ORPHAN_STATUS
    try:
        os.execv(command[0], command)
    except OSError as exc:
        sys.stderr.write(f"{exc}\n")
    return NO_EXEC_STATUS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
