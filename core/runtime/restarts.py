"""Restarts: how it goes with the children of a process, told to those that are left by a file.

The parent has no port of its own; its children answer `/readyz` and `/metrics` for it.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from core.runtime.ports import Clock
from core.runtime.witness import Crash

log = logging.getLogger(__name__)


class Restarts(msgspec.Struct, frozen=True, kw_only=True):
    """One child as its parent sees it; times are UNIX nanoseconds."""

    role: str
    total: int  # starts after the first, over all the time of the parent
    in_a_row: int = 0  # runs that ended too soon; 0 again once one lasted
    crash_loop: bool = False
    exit: str = ""  # how the last run ended
    since_ns: int = 0  # end of the first of those runs
    next_ns: int = 0  # when the last one's successor starts


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(list[Restarts])


class RestartBook:
    """Written by the parent, one line for each child that ever crashed; a witness."""

    def __init__(self, path: Path, *, now_ns: Clock) -> None:
        """*path* is written at the first crash, and each time as a whole."""
        self._path, self._now_ns = path, now_ns
        self._children: dict[str, Restarts] = {}

    def crashed(self, crash: Crash) -> None:
        now_ns = self._now_ns()
        before = self._children.get(crash.name, Restarts(role=crash.name, total=0))
        self._children[crash.name] = Restarts(
            role=crash.name,
            total=before.total + 1,
            in_a_row=crash.in_a_row,
            crash_loop=crash.is_loop,
            exit=crash.exit,
            since_ns=before.since_ns if crash.in_a_row > 1 and before.since_ns else now_ns,
            next_ns=now_ns + int(crash.wait_s * 1e9),
        )
        self._write()

    def lasted(self, name: str) -> None:
        before = self._children.get(name)
        if before is not None and before.in_a_row:
            self._children[name] = Restarts(role=name, total=before.total, exit=before.exit)
            self._write()

    def _write(self) -> None:
        """In one step: a reader finds the former state or this one."""
        unfinished = self._path.with_suffix(".new")
        try:
            unfinished.write_bytes(_ENCODER.encode(list(self._children.values())))
            unfinished.replace(self._path)
        except OSError as exc:  # a full disk must not end the parent, which has told the log
            log.warning("the other roles cannot be told of a restart: %s", exc)


def read_books(paths: Iterable[Path]) -> list[Restarts]:
    """What the parents at *paths* know; nothing of one where no child ever crashed."""
    found: list[Restarts] = []
    for path in paths:
        try:
            found += _DECODER.decode(path.read_bytes())
        except FileNotFoundError:
            continue
    return found
