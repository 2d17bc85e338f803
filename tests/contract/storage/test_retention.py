"""Deleting old bars, on PostgreSQL and on TimescaleDB."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.market.bar_range import BarRange
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from storage.bars import BarStore, FlushBatch
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.migrations import migrate
from storage.retention import Retention
from tests.contract.storage.market import DAY, make_row

A = Symbol("SIM:A")
WEEK = 7 * 1440  # minutes


async def starts(store: BarStore, timeframe: Timeframe) -> list[int]:
    """Window starts of SIM:A, in minutes from DAY."""
    resolution = Resolution.of(timeframe)
    bars = await store.page(
        BarRange(symbols=[A], resolution=resolution, start_ns=0, end_ns=2**63 - 1, limit=10**6)
    )
    return [(bar.start_ns - DAY) // MINUTE_NS for bar in bars]


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """A pool on a migrated database."""
    await migrate(url)
    database = Database(url)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def fill(database: Database, days: int, *, every: int = 15) -> BarStore:
    store = BarStore(database)
    for day in range(days):
        rows = [
            make_row(symbol, day * 1440 + minute, timeframe)
            for symbol in ("SIM:A", "SIM:B")
            for timeframe in Timeframe
            for minute in range(0, 1440, max(every, timeframe.minutes))
        ]
        await store.flush(FlushBatch(rows=rows))
    return store


async def chunks(database: Database) -> list[tuple[str, int]]:
    """How many chunks each hypertable of bars has."""
    return await database.fetch(
        "chunks",
        "SELECT hypertable_name, num_chunks FROM timescaledb_information.hypertables"
        " WHERE hypertable_name ~ '^bars' ORDER BY 1",
    )  # type: ignore[return-value]  # text and bigint


async def test_bars_older_than_their_symbols_newest_by_more_than_is_kept_go(
    embedded_database_url: str,
) -> None:
    async with opened(embedded_database_url) as database:
        store = await fill(database, 3, every=120)
        old = [make_row("SIM:OLD", -1_000_000 - minute) for minute in (0, 60, 2_000)]
        await store.flush(FlushBatch(rows=old))

        deleted = await store.drop_older(Timeframe.MIN_1, DAY_NS)

        assert deleted == 2 * 23 + 1
        assert (await starts(store, Timeframe.MIN_1))[0] == 1440 + 22 * 60
        assert len(await starts(store, Timeframe.MIN_5)) == 36
        assert await store.drop_older(Timeframe.MIN_1, DAY_NS) == 0
        assert await store.latest([Symbol("SIM:OLD")], Timeframe.MIN_1)


class Failing(Database):
    """Cannot delete once it has deleted so many times; remembers how long each might take."""

    left = 1 << 30
    limits_s: list[float | None]

    async def fetch(self, name: Any, sql: Any, parameters: Any = (), **options: Any) -> Any:
        if name == "delete old bars":
            self.limits_s.append(options.get("timeout_s"))
            self.left -= 1
            if self.left < 0:
                raise DatabaseUnavailable(self.server, "too slow")
        return await super().fetch(name, sql, parameters, **options)


async def test_a_backlog_of_a_plain_table_goes_week_by_week_and_what_is_gone_stays_gone(
    embedded_migrated_url: str,
) -> None:
    db = Failing(embedded_migrated_url)
    db.limits_s = []
    await db.open()
    try:
        store = BarStore(db)
        ages = [*range(-3_000, -2_990), *range(0, 21, 2), 50]  # in days; years lie in between
        rows = [make_row(symbol, day * 1440) for symbol in ("SIM:A", "SIM:B") for day in ages]
        await store.flush(FlushBatch(rows=rows))
        db.left = 2
        with pytest.raises(DatabaseUnavailable):
            await store.drop_older(Timeframe.MIN_1, 36 * DAY_NS)
        assert await starts(store, Timeframe.MIN_1) == [d * 1440 for d in ages if d >= 0]

        db.left = 1 << 30
        assert await store.drop_older(Timeframe.MIN_1, 36 * DAY_NS) == 2 * 7

        assert await starts(store, Timeframe.MIN_1) == [d * 1440 for d in ages if d >= 14]
        assert len(db.limits_s) == 3 + 2
        assert all(limit_s is not None and limit_s > 60 for limit_s in db.limits_s)
    finally:
        await db.close()


async def test_of_a_hypertable_the_chunks_go_in_which_nothing_is_to_be_kept(
    timescaledb_url: str,
) -> None:
    async with opened(timescaledb_url) as database:
        store = BarStore(database)
        rows = [make_row("SIM:A", week * WEEK, each) for week in range(5) for each in Timeframe]
        await store.flush(FlushBatch(rows=rows))
        assert (await chunks(database))[1] == ("bars_1min", 5)

        assert await store.drop_older(Timeframe.MIN_1, 28 * DAY_NS) == 0
        assert await store.drop_older(Timeframe.MIN_1, 14 * DAY_NS) == 2

        assert await starts(store, Timeframe.MIN_1) == [2 * WEEK, 3 * WEEK, 4 * WEEK]
        assert (await chunks(database))[1] == ("bars_1min", 3)
        assert len(await starts(store, Timeframe.MIN_5)) == 5


async def test_a_chunk_with_bars_of_a_symbol_that_ended_keeps_those_and_loses_the_others(
    timescaledb_url: str,
) -> None:
    async with opened(timescaledb_url) as database:
        store = BarStore(database)
        ended = [make_row("SIM:ENDED", minute) for minute in (0, 60, 1380)]
        rows = [make_row("SIM:A", week * WEEK + minute) for week in range(5) for minute in (0, 60)]
        await store.flush(FlushBatch(rows=[*rows, *ended]))

        deleted = await store.drop_older(Timeframe.MIN_1, 60 * MINUTE_NS)

        assert deleted == (2 + 2) + 3 * 2  # rows of the first chunk, and three chunks
        assert (await chunks(database))[1] == ("bars_1min", 2)
        assert await starts(store, Timeframe.MIN_1) == [4 * WEEK, 4 * WEEK + 60]
        left = await store.latest([Symbol("SIM:ENDED")], Timeframe.MIN_1)
        assert [bar.start_ns for bar in left.values()] == [ended[2].bar.start_ns]
        assert await store.drop_older(Timeframe.MIN_1, 60 * MINUTE_NS) == 0


async def test_without_bars_nothing_is_old(database: Database) -> None:
    assert await BarStore(database).drop_older(Timeframe.MIN_1, DAY_NS) == 0


async def test_a_database_under_its_cap_is_left_alone(database: Database) -> None:
    store = await fill(database, 2, every=120)

    assert await store.prune(max_bytes=1 << 40) == 0
    assert len(await starts(store, Timeframe.MIN_1)) == 24


async def test_over_its_cap_the_oldest_days_go_until_there_is_room(
    embedded_database_url: str,
) -> None:
    async with opened(embedded_database_url) as database:
        store = await fill(database, 8, every=2)
        retention = Retention(database)
        cap = await retention.used_bytes() - 1_000_000

        deleted = await store.prune(max_bytes=cap)

        left = await starts(store, Timeframe.MIN_1)
        assert deleted > 0
        assert await retention.used_bytes() <= cap
        assert left[0] % 1440 == 0  # whole days
        assert left[0] > 0
        assert left[-1] == 8 * 1440 - 2
        whole = len(await starts(store, Timeframe.MIN_5)) == 8 * 288
        assert whole or left[0] == 7 * 1440  # 5-minute bars go only after the 1-minute bars


async def test_over_its_cap_a_hypertable_gives_up_chunks_of_one_minute_bars_first(
    timescaledb_url: str,
) -> None:
    async with opened(timescaledb_url) as database:
        store = await fill(database, 30, every=15)
        retention = Retention(database)
        used = await retention.used_bytes()
        assert await chunks(database) == [("bars_15min", 1), ("bars_1min", 6), ("bars_5min", 2)]

        deleted = await store.prune(max_bytes=used - 1)
        assert deleted > 0
        assert await retention.used_bytes() < used
        left = await chunks(database)
        assert left[1][1] < 6
        assert (left[0][1], left[2][1]) == (1, 2)

        await store.prune(max_bytes=1)
        assert await chunks(database) == [("bars_15min", 1), ("bars_1min", 1), ("bars_5min", 1)]
        assert (await starts(store, Timeframe.MIN_1))[-1] == 30 * 1440 - 15


async def test_a_chunk_that_lost_all_its_bars_does_not_pass_for_the_newest(
    timescaledb_migrated_url: str,
) -> None:
    async with opened(timescaledb_migrated_url) as database:
        store = await fill(database, 1, every=120)
        await store.flush(FlushBatch(rows=[make_row("SIM:A", WEEK)]))
        later = f"DELETE FROM bars_1min WHERE time >= to_timestamp({(DAY + DAY_NS) // 10**9})"
        await database.fetch("delete", later)

        assert await store.prune(max_bytes=1) == 0
        assert len(await starts(store, Timeframe.MIN_1)) == 12


async def test_what_was_freed_is_used_again_and_does_not_cost_more_bars(
    embedded_migrated_url: str,
) -> None:
    db = Database(embedded_migrated_url)
    await db.open()
    try:
        store = await fill(db, 6, every=2)
        retention = Retention(db)
        cap = await retention.used_bytes() - 1_000_000
        await store.prune(max_bytes=cap)

        assert await store.prune(max_bytes=cap) == 0
        ((size,),) = await db.fetch("size", "SELECT pg_relation_size('bars_1min')")
        rows = [make_row(s, 6 * 1440 + m) for s in ("SIM:A", "SIM:B") for m in range(1440)]
        await store.flush(FlushBatch(rows=rows))
        ((again,),) = await db.fetch("size", "SELECT pg_relation_size('bars_1min')")

        assert again == size
    finally:
        await db.close()


@pytest.mark.parametrize("days", [0, 1])
async def test_the_newest_day_is_never_pruned(database: Database, days: int) -> None:
    store = await fill(database, days, every=120)

    assert await store.prune(max_bytes=1) == 0
    assert len(await starts(store, Timeframe.MIN_1)) == 12 * days
