"""Ledger: how many bytes a writer's streams hold, and where to cut them. Pure."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from storage.entry_id import EntryId

ENTRY_OVERHEAD_BYTES: Final = 96  # id, field name, length and a share of a node of the index
_SLOT_MS: Final = 1_000  # entries of one second are accounted together
_SLOTS_PER_BUDGET: Final = 256  # and no more bytes than this part of the budget, or than
_SLOT_BYTES: Final = 256 * 1024  # so that a server with less memory than that can be relieved


@dataclass(slots=True)
class _Slot:
    first: EntryId
    last: EntryId
    size: int


class Ledger:
    """Bytes held by the streams of one feed, by age.

    Entries of a second are one item here, unless they are large, so the number of items is
    bounded by seconds of retention times shards, plus 4 per MiB of the budget. The newest item
    of a stream is never given up: its last entry carries the block number on which the next
    start goes on.
    """

    def __init__(self, shards: int, *, budget_bytes: int) -> None:
        self.total_bytes = 0
        self.budget_bytes = budget_bytes
        self._slots: list[deque[_Slot]] = [deque() for _ in range(shards)]

    def add(self, shard: int, entry_id: EntryId, payload_bytes: int) -> None:
        """An entry was stored."""
        self._add(shard, entry_id, payload_bytes + ENTRY_OVERHEAD_BYTES)

    def seed(self, shard: int, first: EntryId, last: EntryId, size_bytes: int) -> None:
        """An earlier run left *size_bytes*, taken to be even over the time between the ids."""
        seconds = (last.ms - first.ms) // _SLOT_MS + 1
        parts = max(1, min(seconds, _SLOTS_PER_BUDGET))
        span_ms = last.ms - first.ms
        for part in range(1, parts + 1):
            share = size_bytes * part // parts - size_bytes * (part - 1) // parts
            at = last if part == parts else EntryId(first.ms + span_ms * part // parts, 0)
            self._slots[shard].append(_Slot(at, at, share))
        self.total_bytes += size_bytes

    def expire(self, before_ms: int) -> None:
        """The server trimmed what is older than *before_ms*."""
        for slots in self._slots:
            while len(slots) > 1 and slots[0].last.ms < before_ms:
                self.total_bytes -= slots.popleft().size

    def shrink_to(self, limit_bytes: int) -> dict[int, EntryId]:
        """Give up the oldest entries until no more than *limit_bytes* are held.

        Returns:
            For each shard to be trimmed, the id of its oldest entry to keep. Empty when nothing
            is left that may go.
        """
        cuts: dict[int, EntryId] = {}
        while self.total_bytes > limit_bytes:
            droppable = [n for n, slots in enumerate(self._slots) if len(slots) > 1]
            if not droppable:
                break
            shard = min(droppable, key=self._oldest)
            slots = self._slots[shard]
            self.total_bytes -= slots.popleft().size
            cuts[shard] = slots[0].first
        return cuts

    def _oldest(self, shard: int) -> EntryId:
        return self._slots[shard][0].first

    def _add(self, shard: int, entry_id: EntryId, size: int) -> None:
        slots = self._slots[shard]
        newest = slots[-1] if slots else None
        if (
            newest is not None
            and entry_id.ms - newest.first.ms < _SLOT_MS
            and newest.size + size <= min(self.budget_bytes // _SLOTS_PER_BUDGET, _SLOT_BYTES)
        ):
            newest.last, newest.size = entry_id, newest.size + size
        else:
            slots.append(_Slot(entry_id, entry_id, size))
        self.total_bytes += size
