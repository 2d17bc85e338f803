"""Ready answers in memory: found by request, dropped when they may be wrong. Pure."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from core.market.timeframe import SECOND_NS
from gateway.changes import Basis, Changes
from gateway.http.ready import Life, Ready

RUNNING_NS: Final = SECOND_NS
CLOSED_NS: Final = 600 * SECOND_NS
"""Bounds what nobody tells: bars deleted by age, and what somebody changes by hand."""

_OVERHEAD: Final = 2_048  # bytes of an entry besides its bodies: measured with a long query


@dataclass(slots=True, eq=False, weakref_slot=True)
class Kept:
    """An answer, and what it depends on."""

    ready: Ready
    basis: Basis
    directory: int  # what the names in the request meant; see MarketState.directory
    asked_ns: int  # monotonic: when it was asked for
    shared: bool = False  # others have it, or may have it soon
    again: bool = False  # it was asked for since it was made
    cost: int = 0

    def __post_init__(self) -> None:
        self.cost = self.cost or self.weigh()

    def weigh(self) -> int:
        """Bytes of memory, about."""
        return _OVERHEAD + len(self.ready.answer.body) + len(self.ready.packed or b"")


class AnswerCache:
    """Answers by request, at most *max_bytes* of them; the one not asked for longest goes first.

    What shows the present is right for a second. What is closed is right until the bar streams
    tell of a change; while they cannot be heard, for a second as well.
    """

    def __init__(self, changes: Changes, *, max_bytes: int) -> None:
        """0 for *max_bytes* keeps nothing."""
        self._changes, self._max_bytes = changes, max_bytes
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, directory: int, now_ns: int) -> Kept | None:
        """The answer to *key*, if one is kept and right."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not self.right(kept, directory, now_ns):
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def right(self, kept: Kept, directory: int, now_ns: int) -> bool:
        """Is *kept* what an answer would be that is asked for now?"""
        age_ns = now_ns - kept.asked_ns
        if age_ns >= RUNNING_NS:
            closed = kept.ready.answer.life is Life.CLOSED and age_ns < CLOSED_NS
            if not closed or not self._changes.heard(now_ns):
                return False
        return kept.directory == directory and not self._changes.touched(kept.basis)

    def put(self, key: Hashable, kept: Kept) -> None:
        """Keep *kept*, unless it is for one request alone or larger than everything."""
        self._drop(key)
        if kept.ready.answer.life is Life.NEVER or kept.cost > self._max_bytes // 4:
            return
        self._kept[key] = kept
        self.bytes += kept.cost
        self._make_room()

    def weigh_anew(self, key: Hashable, kept: Kept) -> None:
        """*kept* has grown: it was packed."""
        if self._kept.get(key) is kept:
            self.bytes -= kept.cost
            kept.cost = kept.weigh()
            self.bytes += kept.cost
            self._make_room()

    def _make_room(self) -> None:
        while self.bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= dropped.cost

    def _drop(self, key: Hashable) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self.bytes -= dropped.cost
