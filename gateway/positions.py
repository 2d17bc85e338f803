"""How far each tick stream was read and delivered, by block numbers. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

from storage.entry_id import EntryId

_REPLAY: Final = "replay"
_NOTHING: Final = (-1, 0)  # stands before every block


class Positions:
    """The gateway's side of the flow control, and the test for missing blocks."""

    def __init__(self) -> None:
        self.complete = False  # the start of every stream that was there at first is known
        self.moves = 0  # grows with each move of a position
        self._feeds: dict[str, str] = {}
        self._feed_names: dict[str, None] = {}
        self._entry_ids: dict[str, EntryId] = {}
        self._numbers: dict[str, int | None] = {}
        self._read: dict[str, int] = {}
        self._orders: dict[str, tuple[int, int]] = {}
        self._delivered: dict[str, int] = {}
        self._unreadable: set[str] = set()

    def follow(self, key: str, feed: str) -> None:
        """Stream *key* belongs to *feed*."""
        self._feeds[key] = feed
        self._feed_names[feed] = None

    def reach(self, key: str, entry_id: EntryId, number: int | None = None) -> None:
        """Stream *key*, of ticks or bars, was read up to *entry_id*, and published to the hub.

        *number* is that of the block there, if it is one and was read.
        """
        self._entry_ids[key] = entry_id
        self._numbers[key] = number
        self.moves += 1

    def reached(self) -> Mapping[str, EntryId]:
        """The newest entry read by stream key, of ticks and bars; a live view.

        A stream of which nothing was read yet is there with the id after which reading begins.
        """
        return self._entry_ids

    def numbers(self) -> dict[str, int | None]:
        """By stream key, the numbers of the blocks at the positions reached, where known."""
        return dict(self._numbers)

    def feeds(self) -> Collection[str]:
        """The feeds whose streams are followed, in the order in which they were found."""
        return self._feed_names

    def feed_of(self, key: str) -> str:
        """The feed of stream *key*."""
        return self._feeds[key]

    def advance(self, key: str, number: int) -> None:
        """Block *number* was published to the hub."""
        self._read[key] = number

    def take(self, key: str, order: tuple[int, int]) -> int | None:
        """A block of *order* (see ``BlockMeta``) came; how many are missing before it.

        None: it came before. A number that does not grow begins anew: another writer found less
        than had been read.
        """
        before = self._orders.get(key, _NOTHING)
        if order <= before:
            return None
        self._orders[key] = order
        return 0 if before is _NOTHING else max(0, order[1] - before[1] - 1)

    def deliver(self) -> None:
        """What was read up to now is with the clients."""
        self._delivered = dict(self._read)

    def replay_waits(self, reported: Mapping[str, int]) -> bool:
        """Does a feed wait for what was delivered since *reported*? Replays do, when at full speed.

        A replay's feed is named ``replay-…``; others go their own pace.
        """
        return any(
            number != reported.get(key)
            for key, number in self._delivered.items()
            if self._feeds[key].startswith(_REPLAY)
        )

    def read(self) -> dict[str, int]:
        """Newest block numbers published to the hub, by stream key, a copy."""
        return dict(self._read)

    def delivered(self) -> dict[str, int]:
        """Block numbers by stream key, a copy."""
        return dict(self._delivered)

    def first_unreadable(self, key: str) -> bool:
        """Is it the first time that *key* has an entry that cannot be read?"""
        known = key in self._unreadable
        self._unreadable.add(key)
        return not known
