"""Servers that an earlier run left behind: found by what they are, never by a number alone.

A pid in a file may belong to somebody else by now. So processes are looked up by their program
and their working directory, which both servers set to their data, and are signalled through a
pidfd after a second look, so that a number that changes hands in between does no harm.
"""

import contextlib
import os
import select
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from storage.embedded.waiting import until

_DELETED = " (deleted)"  # the kernel's mark on a program whose file was replaced


def find(program: str, folder: Path) -> list[int]:
    """Pids of this user's processes of *program* that work in *folder*."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if _works_in(pid, program, folder)]


async def stop(
    program: str, folder: Path, *, first: signal.Signals, patience_s: float
) -> list[int]:
    """Stop all of them: *first*, and SIGKILL for those that live on after *patience_s*.

    Returns:
        The pids that were there, so that the caller can tell.
    """
    found = find(program, folder)
    if not found:
        return []
    await _end(program, folder, first, patience_s)
    await _end(program, folder, signal.SIGKILL, patience_s)
    return found


def send(program: str, folder: Path, *signals: signal.Signals) -> None:
    """Send *signals* to all of them."""
    with _opened(program, folder) as handles:
        _send(handles, *signals)


async def _end(program: str, folder: Path, sig: signal.Signals, patience_s: float) -> None:
    with _opened(program, folder) as handles:
        _send(handles, sig, signal.SIGCONT)  # a stopped process acts on nothing but SIGKILL
        await until(lambda: all(_ended(handle) for handle in handles), patience_s)


@contextlib.contextmanager
def _opened(program: str, folder: Path) -> Iterator[list[int]]:
    """A pidfd of each of them."""
    with contextlib.ExitStack() as stack:
        handles = []
        for pid in find(program, folder):
            try:
                handle = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            stack.callback(os.close, handle)
            if _works_in(pid, program, folder):  # so the pidfd is of that very process
                handles.append(handle)
        yield handles


def _works_in(pid: int, program: str, folder: Path) -> bool:
    try:
        exe = os.readlink(f"/proc/{pid}/exe").removesuffix(_DELETED)
        cwd = os.stat(f"/proc/{pid}/cwd")
        here = os.stat(folder)
    except OSError:  # gone, or somebody else's
        return False
    return os.path.basename(exe) == program and os.path.samestat(cwd, here)


def _send(handles: Sequence[int], *signals: signal.Signals) -> None:
    for handle in handles:
        for sig in signals:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, sig)


def _ended(handle: int) -> bool:
    return bool(select.select([handle], [], [], 0)[0])
