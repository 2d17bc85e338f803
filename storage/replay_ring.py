"""ReplayRing: the newest stored blocks of a feed, kept to be published again. Pure."""

from collections import deque
from dataclasses import dataclass

from storage.entry_id import EntryId


@dataclass(slots=True)
class Stored:
    """A block with its place: what a stream's entry is made of."""

    shard: int
    entry_id: EntryId
    number: int
    payload: bytes


class ReplayRing:
    """Blocks that a server acknowledged, which it may lose again when it fails over.

    Bounded by bytes and by age: the oldest go, whichever shard they are of. What a repair would
    have needed and is not here any more, the repair says.
    """

    def __init__(self, *, max_bytes: int, keep_ms: int) -> None:
        self.size_bytes = 0
        self._max_bytes, self._keep_ms = max_bytes, keep_ms
        self._entries: deque[Stored] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Stored) -> None:
        """*entry* was stored; its id tells the time."""
        self._entries.append(entry)
        self.size_bytes += len(entry.payload)
        oldest_ms = entry.entry_id.ms - self._keep_ms
        while self._entries and (
            self.size_bytes > self._max_bytes or self._entries[0].entry_id.ms < oldest_ms
        ):
            self.size_bytes -= len(self._entries.popleft().payload)

    def take_after(self, shard: int, last: EntryId) -> list[Stored]:
        """Remove and return, in order, what came after *last* in the stream of *shard*."""
        taken = [e for e in self._entries if e.shard == shard and e.entry_id > last]
        if taken:
            gone = {id(entry) for entry in taken}
            self._entries = deque(e for e in self._entries if id(e) not in gone)
            self.size_bytes -= sum(len(entry.payload) for entry in taken)
        return taken
