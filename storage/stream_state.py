"""What is asked of streams that lie back, and how it is told whether anything is gone. Pure."""

from typing import Final, NamedTuple

from storage.entry_id import ZERO_ID, EntryId


class Range(NamedTuple):
    """A stretch of a stream: entries from *first* on, that one included, up to *last*."""

    key: str
    first: EntryId
    last: EntryId


class StreamState(NamedTuple):
    """What a stream holds.

    ``last`` is the newest id that it ever had; ``removed`` says whether entries were ever taken
    from it (a server that does not count them: that is not known, so yes).
    """

    first: EntryId | None  # None: it is empty
    last: EntryId
    removed: bool

    def holds_all_after(self, position: EntryId) -> bool:
        """Is every entry still there that came after the entry *position*?

        :data:`ZERO_ID` stands before the first entry. Entries go from the oldest, so one that is
        there vouches for all after it; a stream whose newest id is older than *position* was
        deleted and written anew.
        """
        if position == ZERO_ID:
            return not self.removed
        if position == self.last:
            return True
        return self.first is not None and self.first <= position < self.last

    def hole(self, wanted: Range) -> EntryId | None:
        """Of a range read before this was asked: who stands before which entry lacks something.

        A stream that ends before the range does tells nothing: see :meth:`reaches`.
        """
        if self.holds_all_after(wanted.first):
            return None
        return wanted.last if self.first is None else min(self.first, wanted.last)

    def reaches(self, entry_id: EntryId) -> bool:
        """Is *entry_id*, which was there once, not beyond the stream's end?

        Else a server took over that lacks the newest entries, until their writer repeats them; or
        all of the stream is gone.
        """
        return entry_id <= self.last


NO_STREAM: Final = StreamState(None, ZERO_ID, removed=False)
"""The state of a stream that nobody has written to."""
