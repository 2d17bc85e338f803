"""FoldedTicks: which ticks of which blocks a shard folded since its last flush, for the log. Pure.

Folding only notes a block and what was dropped of it; the rest is for who writes the log. Of blocks
that were joined it notes the payloads: their columns are gone from memory before they leave the
processor's caches, and who writes the log makes them again in a thread of its own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final, NamedTuple

import numpy as np

from core.market.block import Row, Ticks, decode_blocks
from core.market.symbol import Symbol

_BLOCK_COST: Final = 32  # a small block holds memory of so many ticks beside its own


class Folded(NamedTuple):
    """A block, and those of its ticks that were not folded, known before or set aside."""

    symbols: tuple[Symbol, ...]
    source: Ticks | Sequence[bytes]  # payloads of blocks that were joined
    dropped: tuple[Row, ...]

    def kept(self) -> Ticks:
        """The ticks that were folded, in stream order.

        Of ticks that are alike in all, the later are those that were dropped: an id is known once
        it was seen.
        """
        ticks = self.source if isinstance(self.source, Ticks) else decode_blocks(self.source)[1]
        if not self.dropped:
            return ticks
        return ticks.where(np.array(_are_kept(ticks.rows(), self.dropped)))


def kept_of(rows: Sequence[Row], dropped: Sequence[Row]) -> Sequence[Row]:
    """*rows* without those that were *dropped* of them; see :meth:`Folded.kept`."""
    return list(compress(rows, _are_kept(rows, dropped))) if dropped else rows


def _are_kept(rows: Sequence[Row], dropped: Iterable[Row]) -> list[bool]:
    left = Counter(dropped)
    kept = [True] * len(rows)
    for at in range(len(rows) - 1, -1, -1):
        if left[rows[at]]:
            left[rows[at]] -= 1
            kept[at] = False
    return kept


@dataclass(slots=True)
class FoldedTicks:
    """What one shard folded and nobody has logged yet.

    ``weight`` grows with the memory that waits for a flush; the owner bounds it by flushing.
    """

    weight: int = 0
    _parts: list[Folded] = field(default_factory=list)
    _handed: list[tuple[int, Sequence[Folded]]] = field(default_factory=list)  # by flush

    def add(self, ticks: Ticks, dropped: Iterable[Row], *, payloads: Sequence[bytes] = ()) -> None:
        """Note the ticks of a block, and those of them that were not folded.

        *payloads* are those that *ticks* were joined of, if they were.
        """
        if len(ticks):
            self._parts.append(Folded(ticks.symbols, payloads or ticks, tuple(dropped)))
            self.weight += len(ticks) + _BLOCK_COST * max(len(payloads), 1)

    def hand_over(self, flush: int) -> Sequence[Folded]:
        """What *flush* has to log; it stays known here until that is committed."""
        parts, self._parts, self.weight = self._parts, [], 0
        if parts:
            self._handed.append((flush, parts))
        return parts

    def forget(self, committed: int) -> None:
        """Flushes up to *committed* are in the log."""
        self._handed = [(flush, parts) for flush, parts in self._handed if flush > committed]

    def waiting(self) -> tuple[frozenset[int], list[Folded]]:
        """Flushes that perhaps are not in the log, and all ticks of theirs and since, in order."""
        found = [part for _, parts in self._handed for part in parts]
        return frozenset(flush for flush, _ in self._handed), [*found, *self._parts]
