"""Time-outs and heartbeats of very many connections without a timer for each. Pure."""

import math
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Things that must be over within one and the same time; all operations cost O(1)."""

    def __init__(self, timeout_ns: int) -> None:
        self.timeout_ns = timeout_ns
        self._due_ns: dict[T, int] = {}  # in order of insertion, so also in order of time

    def __len__(self) -> int:
        return len(self._due_ns)

    def __contains__(self, item: object) -> bool:
        return item in self._due_ns

    def start(self, item: T, now_ns: int) -> None:
        """Give *item* the full time, also when it had some left."""
        self._due_ns.pop(item, None)
        self._due_ns[item] = now_ns + self.timeout_ns

    def stop(self, item: T) -> None:
        """*item* is over in time (or was never started)."""
        self._due_ns.pop(item, None)

    def due(self, now_ns: int) -> list[T]:
        """What has run out of time by *now_ns*, each once, oldest first."""
        over = []
        for item, due_ns in self._due_ns.items():
            if due_ns > now_ns:
                break
            over.append(item)
        for item in over:
            del self._due_ns[item]
        return over


class Wheel(Generic[T]):
    """Gives every item its turn once per round, evenly spread; several rounds share one wheel.

    An item costs two entries of dicts, however many rounds there are.
    """

    def __init__(self, *rounds: int) -> None:
        """*rounds* are lengths in steps; memory is about 64 bytes x their least common multiple."""
        self._rounds = rounds
        self._slots: list[dict[T, None]] = [{} for _ in range(math.lcm(*rounds))]
        self._slot_of: dict[T, int] = {}
        self._at = 0

    def __len__(self) -> int:
        return len(self._slot_of)

    def add(self, item: T) -> None:
        """Take *item* in; its first turn of each kind comes after one whole round."""
        self._slot_of[item] = self._at
        self._slots[self._at][item] = None

    def discard(self, item: T) -> None:
        """Let go of *item*, which may be unknown."""
        slot = self._slot_of.pop(item, None)
        if slot is not None:
            del self._slots[slot][item]

    def step(self) -> list[list[T]]:
        """Go on by one step; for each kind of round, the items whose turn it is."""
        slots = self._slots
        self._at = (self._at + 1) % len(slots)
        turns = (range(self._at % length, len(slots), length) for length in self._rounds)
        return [[item for slot in turn for item in slots[slot]] for turn in turns]
