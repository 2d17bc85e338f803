"""The upkeep of bars: one of many processes does it, once a day."""

import asyncio
from typing import Any

import pytest

from core.market.timeframe import DAY_NS, Timeframe
from storage.bars import BarStore, FlushBatch
from storage.chores import Chores
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.upkeep import tend_bars
from tests.contract.storage.market import make_row

MONTH = 30 * 1440  # minutes


async def tend(db: Database, **limits: Any) -> int:
    limits = {"keep_minutes_ns": 0, "max_bytes": 0} | limits
    return await tend_bars(BarStore(db), Chores(db), **limits)


async def test_of_many_processes_one_deletes_old_bars_and_not_again_before_a_day_is_over(
    database: Database,
) -> None:
    store = BarStore(database)
    old = [make_row("SIM:A", 0, each) for each in Timeframe]
    await store.flush(FlushBatch(rows=[*old, make_row("SIM:A", MONTH)]))

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(tend(database, keep_minutes_ns=DAY_NS)) for _ in range(8)]
    assert sorted(task.result() for task in asked) == [0] * 7 + [1]
    bars = await database.fetch("bars", "SELECT timeframe FROM bars ORDER BY 1")
    assert bars == [("15Min",), ("1Min",), ("5Min",)]

    await store.flush(FlushBatch(rows=[make_row("SIM:A", 0)]))
    assert await tend(database, keep_minutes_ns=DAY_NS) == 0

    await database.fetch("a day later", "UPDATE chores SET done_at = done_at - interval '1 day'")
    assert await tend(database, keep_minutes_ns=DAY_NS) == 1


async def test_room_is_made_at_once_when_it_is_short(database: Database) -> None:
    store = BarStore(database)
    rows = [make_row("SIM:A", week * 7 * 1440) for week in range(3)]
    await store.flush(FlushBatch(rows=rows))

    assert await tend(database) == 0
    assert await tend(database, max_bytes=1) == 2


class Slow(BarStore):
    """Cannot delete by age in time."""

    async def drop_older(self, timeframe: Timeframe, keep_ns: int) -> int:
        raise DatabaseUnavailable("here", "too slow")


async def test_room_is_made_also_where_old_bars_cannot_be_deleted(database: Database) -> None:
    store = Slow(database)
    rows = [make_row("SIM:A", week * 7 * 1440) for week in range(3)]
    await store.flush(FlushBatch(rows=rows))

    with pytest.raises(DatabaseUnavailable, match="too slow"):
        await tend_bars(store, Chores(database), keep_minutes_ns=DAY_NS, max_bytes=1)

    ((left,),) = await database.fetch("bars", "SELECT count(*) FROM bars")
    assert left == 1


async def test_after_it_the_index_answers_alone(database: Database) -> None:
    await BarStore(database).flush(FlushBatch(rows=[make_row("SIM:A", n) for n in range(1_000)]))
    visible = "SELECT sum(relallvisible) FROM pg_class WHERE relkind = 'r' AND reltuples >= 1000"

    await tend(database)

    assert (await database.fetch("visible", visible))[0][0] >= 10
