"""Known trade ids: a trade counts once, however often a venue or a restart delivers it."""

from bisect import bisect_right
from typing import Final

import msgspec

MAX_INTERVALS: Final = 50_000
"""Intervals per generation, about 4 MB; venues that count their trades need a handful."""


class KnownIds(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A snapshot of :class:`TradeIds`: interval bounds (inclusive) of both generations."""

    since_ns: int
    floor_ns: int
    starts: list[int]
    ends: list[int]
    old_starts: list[int]
    old_ends: list[int]
    newest_ns: int = -(2**63)
    old_newest_ns: int = -(2**63)
    until_ns: int = -(2**63)


class TradeIds:
    """The trade ids of one symbol seen during the last ``keep_ns`` of feed time, and some before.

    Ids are kept as intervals in two generations: one is filled until it is ``keep_ns`` old, then
    the older one is forgotten. So an id is known for at least ``keep_ns`` of feed time. When a
    generation would grow beyond ``max_intervals`` it is closed early: memory stays bounded.
    No id that was forgotten is of an event at :attr:`floor_ns` or later: such events can be told
    from repeats, older ones only from those that are known still.
    """

    __slots__ = (
        "_ends",
        "_keep_ns",
        "_max",
        "_newest_ns",
        "_old_ends",
        "_old_newest_ns",
        "_old_starts",
        "_seen_ns",
        "_since_ns",
        "_starts",
        "_until_ns",
        "floor_ns",
    )

    def __init__(self, keep_ns: int, *, max_intervals: int = MAX_INTERVALS) -> None:
        """Nothing known. *keep_ns*: the horizon plus how far ahead an event time may lie."""
        self._keep_ns, self._max = keep_ns, max_intervals
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._old_starts: list[int] = []
        self._old_ends: list[int] = []
        self._since_ns = self._seen_ns = -(2**63)
        self._until_ns = -(2**63)  # all ids were seen by then
        self._newest_ns = self._old_newest_ns = -(2**63)  # no event of a generation is later
        self.floor_ns = -(2**63)

    def add(self, trade_id: int) -> bool:
        """Take note of *trade_id*; False when it is known already."""
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, trade_id)
        if at and trade_id <= ends[at - 1]:
            return False
        if self._old_starts and self._is_old(trade_id):
            return False
        joins_left = at > 0 and ends[at - 1] == trade_id - 1
        joins_right = at < len(starts) and starts[at] == trade_id + 1
        if joins_left and joins_right:
            ends[at - 1] = ends.pop(at)
            del starts[at]
        elif joins_left:
            ends[at - 1] = trade_id
        elif joins_right:
            starts[at] = trade_id
        else:
            starts.insert(at, trade_id)
            ends.insert(at, trade_id)
            if len(starts) >= self._max:
                self._rotate()
        return True

    def knows(self, trade_id: int) -> bool:
        """Whether *trade_id* was added and is not forgotten."""
        at = bisect_right(self._starts, trade_id)
        return (at > 0 and trade_id <= self._ends[at - 1]) or self._is_old(trade_id)

    def add_run(self, first: int, last: int) -> bool:
        """Take note of all ids from *first* to *last*, if they come after all known ones.

        False, and nothing is noted, where that is not so: some may be known.
        """
        starts, ends = self._starts, self._ends
        if not self.are_after_all(first):
            return False
        if ends and first == ends[-1] + 1:
            ends[-1] = last
        else:
            starts.append(first)
            ends.append(last)
            if len(starts) >= self._max:
                self._rotate()
        return True

    def are_after_all(self, first: int) -> bool:
        """Do all known ids come before *first*?"""
        return not (self._ends and first <= self._ends[-1]) and not (
            self._old_ends and first <= self._old_ends[-1]
        )

    def advance(self, feed_time_ns: int, newest_ns: int = -(2**63)) -> None:
        """Go on to what is seen next; forgets what is due.

        Args:
            feed_time_ns: every id added from now on is seen then or later.
            newest_ns: those added until the next call are of events until then, and were seen
                when the feed had come no further than that, or *feed_time_ns*.
        """
        self._seen_ns = max(self._seen_ns, feed_time_ns)
        if self._since_ns == -(2**63):
            self._since_ns = self._seen_ns
        elif self._seen_ns - self._until_ns > self._keep_ns:  # nothing came for so long
            self._rotate()
            self._rotate()
        elif self._seen_ns - self._since_ns >= self._keep_ns:
            self._rotate()
        self._newest_ns = max(self._newest_ns, newest_ns)
        self._until_ns = max(self._until_ns, self._seen_ns, newest_ns)

    def doubt_before(self, time_ns: int) -> None:
        """Events before *time_ns* may have been counted under ids that nobody knows."""
        self.floor_ns = max(self.floor_ns, time_ns)

    def snapshot(self) -> KnownIds:
        """What :meth:`restore` needs."""
        return KnownIds(
            self._since_ns,
            self.floor_ns,
            self._starts.copy(),
            self._ends.copy(),
            self._old_starts.copy(),
            self._old_ends.copy(),
            self._newest_ns,
            self._old_newest_ns,
            self._until_ns,
        )

    @classmethod
    def restore(cls, known: KnownIds, keep_ns: int) -> "TradeIds":
        """The ids of a snapshot."""
        ids = cls(keep_ns)
        ids._since_ns = ids._seen_ns = known.since_ns
        ids.floor_ns = known.floor_ns
        ids._newest_ns, ids._old_newest_ns = known.newest_ns, known.old_newest_ns
        ids._until_ns = max(known.until_ns, known.since_ns, known.newest_ns)  # one of old has none
        ids._starts, ids._ends = list(known.starts), list(known.ends)
        ids._old_starts, ids._old_ends = list(known.old_starts), list(known.old_ends)
        return ids

    def _is_old(self, trade_id: int) -> bool:
        at = bisect_right(self._old_starts, trade_id)
        return at > 0 and trade_id <= self._old_ends[at - 1]

    def _rotate(self) -> None:
        if self._old_starts:
            self.floor_ns = max(self.floor_ns, self._old_newest_ns + 1)
        self._old_newest_ns = self._newest_ns
        self._old_starts, self._old_ends = self._starts, self._ends
        self._starts, self._ends = [], []
        self._since_ns = self._seen_ns
