"""Ids of stream entries: ``MILLISECONDS-SEQUENCE``, growing within a stream."""

from typing import NamedTuple


class EntryId(NamedTuple):
    """The id of an entry; ids compare as Redis compares them."""

    ms: int
    seq: int

    @classmethod
    def parse(cls, text: bytes | str) -> "EntryId":
        """Read ``b"1700000000000-3"``; without a sequence it is 0.

        Raises:
            ValueError: *text* is no id.
        """
        plain = text.decode() if isinstance(text, bytes) else text
        ms, _, seq = plain.partition("-")
        return cls(int(ms), int(seq or "0"))

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    def following(self, now_ms: int) -> "EntryId":
        """The id for the next entry: by the clock, or the least larger one if it stepped back."""
        return EntryId(now_ms, 0) if now_ms > self.ms else EntryId(self.ms, self.seq + 1)


ZERO_ID = EntryId(0, 0)
