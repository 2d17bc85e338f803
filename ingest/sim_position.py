"""How far a sim is on its streams, and where it goes on after a restart. Pure."""

import zlib
from typing import Final

from ingest.spec import SimOptions

_BITS: Final = 47  # of the tick number: 22 years at 200,000 ticks/s
_TAG_BITS: Final = 16


class SimPosition:
    """A sim's position on the stream: its tick number, and a tag of the spec that counted it.

    A spec with other symbols, another seed or another history counts other ids. It goes on at a
    number where every symbol's ids are beyond all that the former spec can have given, so that
    none is taken for a repeat; this leaves one hole in the ids. It has no history then.
    """

    def __init__(self, options: SimOptions, *, cycle: int, history_ticks: int = 0) -> None:
        """*cycle*: ticks in which every symbol trades at least once, after the history's."""
        spec = f"{options.seed}/{options.symbols}"
        if options.history:
            spec += f"/{options.history}"
        self._tag = zlib.crc32(spec.encode()) & 0xFFFF
        self._cycle, self._history_ticks = cycle, history_ticks

    def pack(self, number: int) -> int:
        """The stored form of tick *number*, in the order of the numbers."""
        return number << _TAG_BITS | self._tag

    def first_number(self, lowest: int, highest: int) -> int:
        """The tick to go on with, from the lowest and the highest stored position of a shard."""
        if not highest:
            return 0
        if not self._ours(highest):
            number = highest >> _TAG_BITS
            jump = self._history_ticks + number * self._cycle + 1
            return jump if jump < 2**_BITS else number + 1
        return (lowest if self._ours(lowest) or not lowest else highest) >> _TAG_BITS

    def marks(self, stored: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Tick number and feed time of those *stored* positions that are this spec's."""
        return [(at >> _TAG_BITS, feed_ns) for at, feed_ns in stored if self._ours(at)]

    def _ours(self, position: int) -> bool:
        return position & 0xFFFF == self._tag
