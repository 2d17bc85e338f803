"""Page reads: pages that many ask for at a time, read by a few statements.

A statement costs the gateway 0.3 ms and the server 0.3 ms before its first row, whatever it reads.
So while some are under way, whoever asks waits for the next one, which reads all that waits. Who
is alone is not held up, and is read by the same plan: see :mod:`storage.page_statement`.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.page_statement import StoredPage, page_statement

_STATEMENTS: Final = 2  # under way at a time: the server works on one while the other travels
_MOST_STATEMENTS: Final = 6  # while those under way are slow
_SLOW_S: Final = 0.05
MAX_ROWS: Final = 10_000
"""Stored bars that a page of longer bars is made of, read at a time."""

_PAGES: Final = 32  # in one statement
_ROWS: Final = 20_000  # of one statement, unless one page alone has more: 10 ms of work in one go
_MAX_WAITING: Final = 1_000  # pages; one more is refused


class _Wanted(msgspec.Struct, frozen=True, eq=False):
    """A page that somebody waits for."""

    page: StoredPage
    asked_s: float
    row: "asyncio.Future[Sequence[Any]]"

    def answer(self, row: Sequence[Any]) -> None:
        if not self.row.done():  # as it is when its caller was cancelled
            self.row.set_result(row)

    def fail(self, error: Exception) -> None:
        if not self.row.done():
            self.row.set_exception(error)


class PageReads:
    """Reads pages of bars. Any number of tasks of one event loop may share one.

    A statement that fails, or takes too long, fails for all whose pages it was to read.
    """

    def __init__(self, db: Database) -> None:
        """*db* stays the caller's."""
        self._db = db
        self._waiting: deque[_Wanted] = deque()
        self._readers: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def read(self, page: StoredPage) -> Sequence[Any]:
        """The bars of *page* as the columns of :data:`storage.bar_queries.PAGES`.

        Raises:
            DatabaseUnavailable: it is away, or too slow, or too many are waiting.
            SchemaError: a table is missing.
        """
        if len(self._waiting) >= _MAX_WAITING:
            reason = f"page: {_MAX_WAITING} others are waiting for theirs"
            raise DatabaseUnavailable(self._db.server, reason)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        loop = self._loop
        wanted = _Wanted(page, loop.time(), loop.create_future())
        self._waiting.append(wanted)
        is_slow = wanted.asked_s - self._waiting[0].asked_s > _SLOW_S
        if len(self._readers) < (_MOST_STATEMENTS if is_slow else _STATEMENTS):
            reader = loop.create_task(self._read_on(), name="pages of bars")
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
        return await wanted.row

    async def _read_on(self) -> None:
        """Read until nobody waits; each time takes no longer than the limits of the database."""
        while some := self._next():
            try:
                rows = await self._rows(some)
            except Exception as exc:  # noqa: BLE001 - it is theirs who wait
                for wanted in some:
                    wanted.fail(exc)
            else:
                for place, *row in rows:
                    some[place].answer(row)
            finally:
                for wanted in some:
                    wanted.row.cancel()  # only when this task was cancelled is it not done yet

    def _next(self) -> list[_Wanted]:
        """What the next statement reads; whoever waited too long is told so."""
        some: list[_Wanted] = []
        rows, now_s = 0, asyncio.get_running_loop().time()
        while self._waiting and len(some) < _PAGES:
            wanted = self._waiting[0]
            if some and rows + wanted.page.limit > _ROWS:
                break
            self._waiting.popleft()
            if wanted.row.done():
                continue  # nobody waits any more
            if now_s - wanted.asked_s > self._db.acquire_timeout_s:
                wanted.fail(self._too_late())
                continue
            rows += wanted.page.limit
            some.append(wanted)
        return some

    def _too_late(self) -> DatabaseUnavailable:
        reason = f"page: not read within {self._db.acquire_timeout_s:g} s, others were before it"
        return DatabaseUnavailable(self._db.server, reason)

    async def _rows(self, some: Sequence[_Wanted]) -> Sequence[Sequence[Any]]:
        statement, parameters = page_statement([wanted.page for wanted in some])
        return await self._db.fetch("pages", statement, parameters)
