"""ThreadedStore: a BarStore that writes its flushes from a thread of its own."""

from collections.abc import Callable

from core.runtime.loop_thread import LoopThread
from storage.bars import BarStore
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.rows import FlushBatch


class ThreadedStore(BarStore):
    """A BarStore that writes its flushes over a pool of their own, from a thread.

    Some 15 bytes a tick go to the server with the log: the thread that folds shall not pack and
    send them. Everything else goes over the other pool, from the caller's loop.
    """

    def __init__(self, db: Database, make: Callable[[], Database]) -> None:
        """*db*: see BarStore. *make* gives the pool of the flushes, whose owner this is."""
        super().__init__(db)
        self._make = make
        self._thread = LoopThread("flush")
        self._flushes: Database | None = None

    async def open(self) -> None:
        """Start the thread, and begin to connect there; the server need not be up."""
        self._thread.start()
        self._flushes = await self._thread.run(self._open)

    async def close(self) -> None:
        """Close the flushes' connections; one under way fails."""
        flushes, self._flushes = self._flushes, None
        if flushes is not None:
            await self._thread.run(flushes.close)
        await self._thread.close()

    async def flush(self, batch: FlushBatch) -> None:
        flushes = self._flushes
        if flushes is None:
            raise DatabaseUnavailable(self._db.server, "flush: the store is closed")
        await self._thread.run(lambda: BarStore(flushes).flush(batch))

    async def _open(self) -> Database:
        flushes = self._make()
        await flushes.open()
        return flushes
