"""Chores: work that one of many processes does now and then, by a lease in the database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from storage.database import Database
from storage.errors import DatabaseUnavailable

_LEASE_S: Final = 3_600.0
"""After so long another may take over from a process that died at work."""

# The database's clock judges, so that processes need not agree on the time.
_CLAIM: Final = """
INSERT INTO chores AS c (chore, token, held_until)
VALUES (%s, 1, now() + make_interval(secs => %s))
ON CONFLICT (chore) DO UPDATE SET token = c.token + 1, held_until = excluded.held_until
WHERE c.held_until <= now()
    AND (c.done_at IS NULL OR c.done_at <= now() - make_interval(secs => %s))
RETURNING token
"""
_DONE: Final = """
UPDATE chores SET done_at = now(), held_until = now() WHERE chore = %s AND token = %s
"""
_GIVE_UP: Final = "UPDATE chores SET held_until = now() WHERE chore = %s AND token = %s"


class Chores:
    """Who may do a chore now. A chore must bear being done twice: a lease can run out at work."""

    def __init__(self, db: Database) -> None:
        """*db* stays the caller's."""
        self._db = db

    @asynccontextmanager
    async def claim(self, chore: str, *, every_s: float) -> AsyncIterator[bool]:
        """Whether the caller is to do *chore* now.

        That is so when it was done *every_s* ago or never, and nobody is at it. It counts as done
        when the block ends; an error in it leaves it to the next who asks.

        Raises:
            DatabaseUnavailable: it is away.
        """
        rows = await self._db.fetch("claim a chore", _CLAIM, [chore, _LEASE_S, every_s])
        if not rows:
            yield False
            return
        ((token,),) = rows
        done = False
        try:
            yield True
            done = True
        finally:
            statement = _DONE if done else _GIVE_UP
            await self._db.fetch("end a chore", statement, [chore, token])


async def in_turn(*works: Callable[[], Awaitable[int | None]]) -> int:
    """Do *works* one after another, each whatever became of those before; the sum of their results.

    Raises:
        DatabaseUnavailable: some could not be done; it is what the first of them raised.
    """
    total, failure = 0, None
    for work in works:
        try:
            total += await work() or 0
        except DatabaseUnavailable as exc:
            failure = failure or exc
    if failure is not None:
        raise failure
    return total
