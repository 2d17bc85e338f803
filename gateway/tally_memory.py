"""The memory of a :class:`gateway.tally.Tally`: a file that all workers map, or private memory."""

import mmap
import os
from pathlib import Path
from typing import Final

from gateway.tally import KEY_WORDS, Layout, Tally

_WORD: Final = 8  # bytes


def private() -> Tally:
    """For a gateway that is a single process. Pages that are not used cost no memory."""
    layout = Layout(regions=1)
    words = memoryview(mmap.mmap(-1, _WORD * layout.words)).cast("Q")
    words[:KEY_WORDS] = memoryview(os.urandom(_WORD * KEY_WORDS)).cast("Q")
    return Tally(words, layout, own=0)


def create(path: Path, layout: Layout) -> memoryview:
    """Make the file for *layout*; the memory in it, with a new key."""
    with path.open("xb") as file:
        file.write(os.urandom(_WORD * KEY_WORDS))
        file.truncate(_WORD * layout.words)
    return attach(path, layout)


def attach(path: Path, layout: Layout) -> memoryview:
    """The memory in the file that another process made for the same *layout*."""
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), _WORD * layout.words)).cast("Q")
