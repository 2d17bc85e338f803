"""How children are started again, and how those that are left tell of it."""

import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from core.runtime.children import Backoff
from core.runtime.restarts import RestartBook, Restarts, read_books
from tickgate.settings import Settings

# The files in which the parents of a process tell of their children. No setting: users never
# give it.
_BOOKS: Final = "_TICKGATE_RESTARTS"


def backoff(settings: Settings, *, at_once: bool = False, cap_s: float = 0.0) -> Backoff:
    """The waits between two starts of a child; *cap_s* may lower the longest one."""
    return Backoff(
        uniform=random.uniform,
        first_s=settings.restart_first_s,
        cap_s=min(cap_s or settings.restart_cap_s, settings.restart_cap_s),
        stable_s=settings.restart_stable_s,
        loop_after=settings.crash_loop_after,
        at_once=at_once,
    )


def open_book(folder: Path) -> tuple[RestartBook, dict[str, str]]:
    """A book in *folder*, and the variable by which children find it, and those of our parents."""
    path = folder / "restarts.json"
    books = [*_books(os.environ), path]
    return RestartBook(path, now_ns=time.time_ns), {_BOOKS: os.pathsep.join(map(str, books))}


def restarts() -> list[Restarts]:
    """How it goes with the children of this process's parents; none for one started by hand."""
    return read_books(_books(os.environ))


def _books(environ: Mapping[str, str]) -> list[Path]:
    return [Path(text) for text in environ.get(_BOOKS, "").split(os.pathsep) if text]
