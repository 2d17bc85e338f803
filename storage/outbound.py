"""Outbound: the blocks of one stream on their way, and how to go on after a failover. Pure."""

from collections import deque
from typing import NamedTuple

from storage.entry_id import ZERO_ID, EntryId
from storage.replay_ring import ReplayRing, Stored


class Repair(NamedTuple):
    """What was found when a stream's end was not where the writer had left it."""

    confirmed: list[Stored]  # sent before, stored, and their acknowledgement was lost
    again: int  # acknowledged, lost by the server, and to be sent once more
    missing: int  # acknowledged, lost by the server, and too old for the ring
    foreign: bool  # somebody else's entry stands at the end


class Outbound:
    """Gives each block of a stream its id, and keeps it until the server has acknowledged it.

    Bounded by the caller, who hands over no more before all is stored.
    """

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.number = 0
        """Of the newest block taken in."""
        self.stored_id = ZERO_ID
        """The entry at the stream's end, as far as is known."""
        self._last_id = ZERO_ID
        self._queue: deque[Stored] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def begin(self, last: EntryId, number: int) -> None:
        """The stream ends with block *number* at *last*."""
        self.stored_id = self._last_id = last
        self.number = number

    def put(self, number: int, payload: bytes, *, now_ms: int) -> None:
        """Take in the next block."""
        self._last_id = self._last_id.following(now_ms)
        self.number = number
        self._queue.append(Stored(self.shard, self._last_id, number, payload))

    def batch(self, *, max_bytes: int) -> list[Stored]:
        """The next blocks to send: at least one, and no more than make *max_bytes*."""
        found: list[Stored] = []
        size = 0
        for entry in self._queue:
            size += len(entry.payload)
            if found and size > max_bytes:
                break
            found.append(entry)
        return found

    def stored(self, count: int) -> list[Stored]:
        """The server has the first *count* blocks."""
        done = [self._queue.popleft() for _ in range(count)]
        if done:
            self.stored_id = done[-1].entry_id
        return done

    def repair(self, last: EntryId, number: int, ring: ReplayRing) -> Repair:
        """The stream ends with block *number* at *last* instead: line up what must follow.

        What the server lost goes out again under the same ids, so that a reader who is past them
        does not see it twice; only behind somebody else's entry it gets new ones.
        """
        sent = enumerate(self._queue, 1)
        at = next((n for n, e in sent if (e.entry_id, e.number) == (last, number)), 0)
        if at:
            return Repair(self.stored(at), 0, 0, foreign=False)
        behind, foreign = last < self.stored_id, last > self.stored_id
        again = ring.take_after(self.shard, last) if behind else []
        first = again[0].number if again else self._next_number()
        self._queue.extendleft(reversed(again))
        self.stored_id = last
        if foreign:
            self._number_anew()
        return Repair([], len(again), max(0, first - number - 1) if behind else 0, foreign)

    def _next_number(self) -> int:
        return self._queue[0].number if self._queue else self.number + 1

    def _number_anew(self) -> None:
        at = self.stored_id
        for entry in self._queue:
            at = entry.entry_id = max(entry.entry_id, EntryId(at.ms, at.seq + 1))
        self._last_id = max(self._last_id, at)
