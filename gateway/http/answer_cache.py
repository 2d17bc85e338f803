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

_ONCE: Final = 1 / 8  # of the room, for what nobody has asked for a second time
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


class _Shelf:
    """Answers by request, in the order in which they were asked for, and what they weigh."""

    __slots__ = ("answers", "bytes")

    def __init__(self) -> None:
        self.answers: OrderedDict[Hashable, Kept] = OrderedDict()
        self.bytes = 0

    def put(self, key: Hashable, kept: Kept) -> None:
        self.answers[key] = kept
        self.bytes += kept.cost

    def take(self, key: Hashable) -> None:
        """*key* is there."""
        self.bytes -= self.answers.pop(key).cost

    def drop_oldest(self) -> None:
        _, dropped = self.answers.popitem(last=False)
        self.bytes -= dropped.cost


class AnswerCache:
    """Answers by request, at most *max_bytes* of them; the one not asked for longest goes first.

    What was asked for once has an eighth of the room: who reads a year of bars, each page once,
    shall not push out what all others ask for. Besides, memory that is used again soon is still
    in the processor's caches: an answer from the database takes a tenth less time.

    What shows the present is right for a second. What is closed is right until the bar streams
    tell of a change; while they cannot be heard, for a second as well.
    """

    def __init__(self, changes: Changes, *, max_bytes: int) -> None:
        """0 for *max_bytes* keeps nothing."""
        self._changes, self._max_bytes = changes, max_bytes
        self._once, self._again = _Shelf(), _Shelf()

    def __len__(self) -> int:
        return len(self._once.answers) + len(self._again.answers)

    @property
    def bytes(self) -> int:
        """What all of them weigh."""
        return self._once.bytes + self._again.bytes

    def get(self, key: Hashable, directory: int, now_ns: int) -> Kept | None:
        """The answer to *key*, if one is kept and right."""
        again = self._again.answers
        kept = again.get(key) or self._once.answers.get(key)
        if kept is None:
            return None
        if not self.right(kept, directory, now_ns):
            self._drop(key)
            return None
        if key in again:
            again.move_to_end(key)
        else:
            self._once.take(key)
            self._again.put(key, kept)
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
        self._once.put(key, kept)
        self._make_room()

    def weigh_anew(self, key: Hashable, kept: Kept) -> None:
        """*kept* has grown: it was packed."""
        for shelf in (self._once, self._again):
            if shelf.answers.get(key) is kept:
                shelf.bytes -= kept.cost
                kept.cost = kept.weigh()
                shelf.bytes += kept.cost
                self._make_room()
                return

    def _make_room(self) -> None:
        once, again = self._once, self._again
        while once.bytes > self._max_bytes * _ONCE and len(once.answers) > 1:
            once.drop_oldest()
        while self.bytes > self._max_bytes:
            (again if again.answers else once).drop_oldest()

    def _drop(self, key: Hashable) -> None:
        for shelf in (self._once, self._again):
            if key in shelf.answers:
                shelf.take(key)
