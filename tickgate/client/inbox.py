"""Messages that have come and were not taken yet: bounded, with the cursors between them."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tickgate.client.messages import Message


class _Cursor(str):
    """Stands behind the messages that it counts."""

    __slots__ = ()


class Inbox:
    """At most *limit* messages, and the rest of one batch.

    When it is full, :meth:`put` waits: then nothing more is read from the connection, the gateway
    finds this client slow, closes the connection, and the client resumes where it stopped. So
    nothing is lost to a reader that is slow for a while, as far as the gateway's streams reach.
    """

    def __init__(self, limit: int) -> None:
        """Raises: ValueError: *limit* is below 1."""
        if limit < 1:
            raise ValueError(f"max_queued: expected at least 1, was {limit}")
        self._limit = limit
        self._items: deque[Message | _Cursor] = deque()
        self._count = self._hurried = 0
        self._some, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._is_closed = False
        self.cursor = ""

    def __len__(self) -> int:
        return self._count

    async def put(self, messages: Sequence[Message], cursor: str) -> None:
        """Add a batch and the cursor behind it, which may be empty; waits while it is full."""
        if messages:
            await self._room.wait()
            self._items.extend(messages)
            self._count += len(messages)
        if cursor:
            self._items.append(_Cursor(cursor))
        self._settle()

    async def get(self) -> Message | None:
        """The next message, None when it is closed and empty; :attr:`cursor` moves with it."""
        while not self._count:
            if self._is_closed:
                return None
            self._some.clear()
            await self._some.wait()
        item = self._items.popleft()
        assert not isinstance(item, _Cursor)  # they go with the message before them
        self._count -= 1
        self._settle()
        return item

    def close(self) -> None:
        """Nothing more comes; what is there may still be taken."""
        self._is_closed = True
        self._settle()

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Take in whatever comes: somebody waits for an answer that is behind it."""
        self._hurried += 1
        self._settle()
        try:
            yield
        finally:
            self._hurried -= 1
            self._settle()

    def _settle(self) -> None:
        while self._items and isinstance(self._items[0], _Cursor):
            self.cursor = str(self._items.popleft())
        if self._count or self._is_closed:
            self._some.set()
        if self._count < self._limit or self._hurried or self._is_closed:
            self._room.set()
        else:
            self._room.clear()
