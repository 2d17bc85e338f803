"""Runs the program with something taken out of it, or with a clock that can be stepped.

`python -m tests.faults.launch [--without PART] [--clock FILE] ROLE …`, for tests alone. With PART
one of the three things that keep bars exact is gone, and the checker has to notice; FILE holds two
integers of 64 bits: what is added to the wall clock, in ns, and how often the clock was read since
it was stepped.
"""

import mmap
import struct
import sys
import time
from pathlib import Path

from tests.faults import sabotage

_PAIR = struct.Struct("<qq")


def step_clock(path: Path, offset_ns: int) -> None:
    """Step the wall clock of the programs that were started with *path*, or are to be."""
    if not path.exists():
        path.write_bytes(bytes(_PAIR.size))
    with path.open("r+b") as file:  # they have it mapped: it is never cut
        file.write(_PAIR.pack(offset_ns, 0))


def times_read(path: Path) -> int:
    """How often a stepped clock was read, by any of them."""
    return int(_PAIR.unpack(path.read_bytes())[1])


def _take_clock_from(path: str) -> None:
    with open(path, "r+b") as file:
        shared = mmap.mmap(file.fileno(), _PAIR.size)
    real_ns = time.time_ns  # noqa: TID251 - the clock that is stepped

    def now_ns() -> int:
        offset_ns, count = _PAIR.unpack_from(shared)
        if offset_ns:
            _PAIR.pack_into(shared, 0, offset_ns, count + 1)
        return real_ns() + int(offset_ns)

    time.time_ns = now_ns  # type: ignore[assignment]  # noqa: TID251


def main(words: list[str]) -> int:
    while words[0] in ("--without", "--clock"):
        option, value = words[:2]
        words = words[2:]
        if option == "--clock":
            _take_clock_from(value)
        else:
            sabotage.PARTS[value]()
    from tickgate.cli import main as run

    return run(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
