"""Chores: of many processes one does it, once in so long, and a dead one's turn is not lost."""

import asyncio

import pytest

from storage.chores import Chores
from storage.database import Database


async def ask(db: Database, *, every_s: float = 3_600.0) -> bool:
    async with Chores(db).claim("sweep", every_s=every_s) as mine:
        return mine


async def test_of_many_that_ask_at_once_one_has_the_chore(database: Database) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(database)) for _ in range(12)]

    assert sorted(task.result() for task in asked) == [False] * 11 + [True]


async def test_while_one_is_at_it_others_are_not_and_another_chore_is_free(
    database: Database,
) -> None:
    chores = Chores(database)
    async with chores.claim("sweep", every_s=0) as mine:
        assert mine
        async with chores.claim("sweep", every_s=0) as also:
            assert not also
        async with chores.claim("dust", every_s=0) as dust:
            assert dust

    assert await ask(database, every_s=0)


async def test_it_is_due_again_only_after_its_time(database: Database) -> None:
    assert await ask(database)
    assert not await ask(database)

    await database.fetch("wait", "UPDATE chores SET done_at = done_at - interval '1 hour'")
    assert await ask(database)


async def test_after_an_error_the_next_who_asks_has_it(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Chores(database).claim("sweep", every_s=3_600):
            raise ZeroDivisionError

    assert await ask(database)


async def test_who_died_at_it_loses_it_when_the_lease_is_over_and_cannot_end_it_later(
    database: Database,
) -> None:
    late = Chores(database).claim("sweep", every_s=3_600)
    assert await late.__aenter__()
    assert not await ask(database)

    await database.fetch("wait", "UPDATE chores SET held_until = held_until - interval '1 hour'")
    async with Chores(database).claim("sweep", every_s=3_600) as mine:
        assert mine
        await late.__aexit__(None, None, None)
        assert not await ask(database, every_s=0)
    assert not await ask(database)
