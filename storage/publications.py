"""Publications: what a shard's bar stream was given lately, kept to be given again. Pure."""

from collections import deque
from typing import Final, NamedTuple

from storage.entry_id import ZERO_ID, EntryId

MAX_ENTRIES: Final = 256
"""A shard flushes five times a second at most: the last 50 s, and far more while it is quiet."""
MAX_BYTES: Final = 2 << 20


class Published(NamedTuple):
    """One entry of the stream."""

    entry_id: EntryId
    payload: bytes


class Publications:
    """The newest entries of one stream, as far as this process has written them.

    Bounded by :data:`MAX_ENTRIES` and :data:`MAX_BYTES`: the oldest go, and :meth:`lacks_all_after`
    says whether one that is needed has gone.
    """

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self.newest: EntryId | None = None
        """Where the stream ended when it was last written to; None: not by this process."""
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._entries: deque[Published] = deque()
        self._bytes = 0
        self._gone = ZERO_ID  # the newest that went

    def add(self, entry_id: EntryId, payload: bytes) -> None:
        """The server has the entry; one that is not newer than the last is known already."""
        if self.newest is not None and entry_id <= self.newest:
            return
        self.newest = entry_id
        self._entries.append(Published(entry_id, payload))
        self._bytes += len(payload)
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            oldest = self._entries.popleft()
            self._bytes -= len(oldest.payload)
            self._gone = oldest.entry_id

    def after(self, last: EntryId) -> list[Published]:
        """What a stream lacks that ends with *last*, in order."""
        return [entry for entry in self._entries if entry.entry_id > last]

    def lacks_all_after(self, last: EntryId) -> bool:
        """Did entries go that a stream lacks which ends with *last*?"""
        return self._gone > last
