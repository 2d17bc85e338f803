"""Counts that the workers of a gateway keep together, without a lock. Pure: told the time.

The memory has a region for each worker. A worker writes only its own and reads all of them: a
count is the sum over the regions. Writes of a word are atomic; a reader that comes between two of
them sees a count of a moment before.

A region is a table of buckets. An entry of it is the mark of a name (a keyed 64-bit hash), the
second in which it ends (0: it does not, as for connections) and the count; it is free once its
count is 0 or its time is over. When all entries of a bucket are taken, a further name is not
counted there, which errs on the side of letting in; :attr:`Tally.uncounted` tells how often. No
count is ever above the truth.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

KEY_WORDS: Final = 2  # the secret of the marks, so that nobody can aim at a bucket
_WAYS: Final = 16  # entries of a bucket
_BUCKET_WORDS: Final = 3 * _WAYS  # marks, then ends, then counts
_HEAD_WORDS: Final = 2  # process id of the worker; 1 once it listens
_SECOND_NS: Final = 1_000_000_000

# 131,072 entries, 3 MiB of address space: a worker has at most some 20,000 connections and 10,000
# credentials, so that a full bucket is one in a hundred thousand; only pages in use are memory.
BUCKETS: Final = 8_192


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, counted in words of 64 bits."""

    regions: int
    buckets: int = BUCKETS

    @property
    def words(self) -> int:
        """The size of it all."""
        return self.start(self.regions)

    def start(self, region: int) -> int:
        """The first word of *region*."""
        return KEY_WORDS + region * (_HEAD_WORDS + self.buckets * _BUCKET_WORDS)


class Tally:
    """The counts as one worker sees and changes them. A mark stands for a name."""

    def __init__(self, words: memoryview, layout: Layout, own: int) -> None:
        """*words* are unsigned 64-bit ones, zero at first but for the key; *own* is the region."""
        self._words, self._own, self._buckets = words, own, layout.buckets
        self._starts = tuple(layout.start(region) for region in range(layout.regions))
        self._key = words[:KEY_WORDS].tobytes()
        self.uncounted = 0

    def mark(self, kind: str, name: str) -> int:
        """The mark of *name* among those of its *kind*."""
        text = f"{kind} {name}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=self._key).digest()) or 1

    def enter(self, mark: int, now_ns: int) -> int:
        """One connection more; how many there are now, in all workers."""
        self._add(mark, 0, now_ns // _SECOND_NS)
        return self.total(mark)

    def leave(self, mark: int) -> None:
        """One connection less; no matter if it was not counted."""
        at = self._find(self._starts[self._own], mark)
        if at is not None and self._words[at + 2 * _WAYS]:
            self._words[at + 2 * _WAYS] -= 1

    def total(self, mark: int) -> int:
        """Connections in all workers."""
        return self._sum(mark, 0)

    def hit(self, mark: int, window_s: int, now_ns: int) -> int:
        """Count an event; how many there were in this fixed window of time, in all workers."""
        now_s = now_ns // _SECOND_NS
        end_s = now_s - now_s % window_s + window_s
        self._add(mark, end_s, now_s)
        return self._sum(mark, end_s)

    def seen(self, mark: int, window_s: int, now_ns: int) -> int:
        """How many events :meth:`hit` has counted in the running window, in all workers."""
        now_s = now_ns // _SECOND_NS
        return self._sum(mark, now_s - now_s % window_s + window_s)

    def announce(self, pid: int, *, listens: bool) -> None:
        """Say that this worker runs as *pid*, and whether it takes connections."""
        start = self._starts[self._own]
        self._words[start], self._words[start + 1] = pid, int(listens)

    def running(self) -> list[int]:
        """The process ids of all workers, by region; 0 for one that is not there."""
        return [self._words[start] for start in self._starts]

    def _add(self, mark: int, end_s: int, now_s: int) -> None:
        words, start = self._words, self._starts[self._own]
        at = self._find(start, mark)
        if at is None:
            at = self._free(start, mark, now_s)
            if at is None:
                self.uncounted += 1
                return
            words[at + 2 * _WAYS] = 0  # before it gets its new name
            words[at] = mark
        if words[at + _WAYS] != end_s:
            words[at + 2 * _WAYS] = 0
            words[at + _WAYS] = end_s
        words[at + 2 * _WAYS] += 1

    def _find(self, start: int, mark: int) -> int | None:
        at = self._bucket(start, mark)
        marks = self._words[at : at + _WAYS].tolist()
        return at + marks.index(mark) if mark in marks else None

    def _free(self, start: int, mark: int, now_s: int) -> int | None:
        at = self._bucket(start, mark)
        values = self._words[at + _WAYS : at + _BUCKET_WORDS].tolist()
        for way in range(_WAYS):
            end_s, count = values[way], values[way + _WAYS]
            if not count or 0 < end_s <= now_s:
                return at + way
        return None

    def _bucket(self, start: int, mark: int) -> int:
        return start + _HEAD_WORDS + mark % self._buckets * _BUCKET_WORDS

    def _sum(self, mark: int, end_s: int) -> int:
        words, total = self._words, 0
        for start in self._starts:
            at = self._find(start, mark)
            if at is not None and words[at + _WAYS] == end_s:
                total += words[at + 2 * _WAYS]
        return total


def clear(words: memoryview, layout: Layout, region: int) -> None:
    """Forget what a worker that is dead has counted; nobody else may write there meanwhile."""
    start, end = layout.start(region), layout.start(region + 1)
    words[start:end] = memoryview(bytes(8 * (end - start))).cast("Q")


def runs(words: memoryview, layout: Layout, region: int) -> bool:
    """Has the worker of *region* read its settings?"""
    return bool(words[layout.start(region)])


def listens(words: memoryview, layout: Layout, region: int) -> bool:
    """Does the worker of *region* take connections?"""
    return bool(words[layout.start(region) + 1])
