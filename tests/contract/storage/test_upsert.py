"""The upsert against a plain dict: whatever comes, in whatever order, the tables hold the same."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market.bar import BarRow
from core.market.bar_range import BarRange
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, TIMEFRAMES, Timeframe
from storage.bar_upsert import COPY_FROM_ROWS
from storage.bars import BarStore, Checkpoint, FlushBatch
from storage.database import Database
from storage.embedded import PostgresServer
from storage.errors import DatabaseUnavailable
from storage.migrations import migrate
from tests.contract.storage.market import DAY, make_row, make_tick, own, revised

Key = tuple[Symbol, Timeframe, int]

EXTREME = (5e-324, 2.2250738585072014e-308, 0.1, 1.0, 9007199254740993.0, 1.7976931348623157e308)
floats = st.sampled_from([*EXTREME, *(-x for x in EXTREME), 0.0, -0.0])
whole = st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1])
parts = st.lists(floats, max_size=4).map(tuple)
# Around a Thursday's midnight, where a hypertable's week begins.
minutes = st.sampled_from([1438, 1439, 1440, 1441, 1455])


@st.composite
def bar_rows(draw: st.DrawFn) -> BarRow:
    """A row of few possible keys and few revisions, its numbers from the ends of their ranges."""
    row = make_row(
        draw(st.sampled_from(["SIM:A", "SIM:B", "KRAKEN:É/USD"])),
        draw(minutes),
        draw(st.sampled_from(Timeframe)),
        rev=draw(st.sampled_from([0, 0, 0, 1, 2])),
        gap=draw(st.booleans()),
        trades=draw(st.sampled_from([1, 2, 2**63 - 1])),
        **{name: draw(floats) for name in ("open", "high", "low", "close", "volume", "vwap")},
    )
    keys = draw(st.tuples(whole, whole)), draw(st.tuples(whole, whole))
    return BarRow(row.bar, *keys, draw(parts), draw(parts))


def many_new(minute: int) -> list[BarRow]:
    """So many new bars that they are copied, beginning at one that others may have stored."""
    rows = [make_row("SIM:A", minute + n) for n in range(COPY_FROM_ROWS)]
    return rows + [make_row("SIM:B", 5 * n, Timeframe.MIN_5) for n in range(3)]


batches = st.lists(bar_rows(), max_size=8) | st.builds(
    lambda minute, more, at: [*many_new(minute)[:at], *more, *many_new(minute)[at:]],
    minutes,
    st.lists(bar_rows(), max_size=3),
    st.sampled_from([0, 20, 35]),
)
histories = st.lists(batches, min_size=1, max_size=4)


def key_of(row: BarRow) -> Key:
    return row.bar.symbol, row.bar.timeframe, row.bar.start_ns


def model(stored: dict[Key, BarRow], batch: Iterable[BarRow]) -> None:
    """The same in plain Python: of a bar the largest revision stays, of equal ones the later."""
    for row in batch:
        known = stored.get(key_of(row))
        if known is None or row.bar.rev >= known.bar.rev:
            stored[key_of(row)] = row


async def everything(store: BarStore) -> dict[Key, str]:
    """All stored rows by key, written out, so that -0.0 is not 0.0."""
    keys: list[Key] = []
    for timeframe in TIMEFRAMES:
        symbols = [row.symbol for row in await store.symbols()]
        bars = await store.page(
            BarRange(
                symbols=symbols,
                resolution=Resolution.of(timeframe),
                start_ns=0,
                end_ns=2**63 - 1,
                limit=100_000,
            )
        )
        keys += [(bar.symbol, bar.timeframe, bar.start_ns) for bar in bars]
    return written_out(await store.load_rows(keys))


def written_out(rows: Iterable[BarRow]) -> dict[Key, str]:
    return {key_of(row): repr(row) for row in rows}


async def test_the_tables_hold_what_a_dict_holds_after_the_same_flushes(
    database: Database,
) -> None:
    store = BarStore(database)
    drawn: list[Sequence[Sequence[BarRow]]] = []

    @settings(max_examples=60, database=None, deadline=None)
    @given(histories)
    def draw(history: Sequence[Sequence[BarRow]]) -> None:
        drawn.append(history)

    draw()

    for history in drawn:
        stored: dict[Key, BarRow] = {}
        for batch in history:
            await store.flush(FlushBatch(rows=batch))
            model(stored, batch)
        assert await everything(store) == written_out(stored.values()), history
        await database.fetch(
            "empty", "TRUNCATE bars_1min, bars_5min, bars_15min, symbols, shard_checkpoints"
        )


@pytest.mark.parametrize("count", [1, COPY_FROM_ROWS - 1, COPY_FROM_ROWS, 3_000])
async def test_a_repeated_flush_changes_nothing_and_a_revision_all_whatever_the_size(
    database: Database, count: int
) -> None:
    store = BarStore(database)
    rows = [make_row("SIM:A", 15 * n, t) for n in range(count) for t in TIMEFRAMES][:count]

    for _ in range(2):
        await store.flush(FlushBatch(rows=rows))
        assert await everything(store) == written_out(rows)

    later = [revised(row, 1, close=7.0, gap=True) for row in rows]
    for batch in (later, rows, [*rows, *later]):
        await store.flush(FlushBatch(rows=batch))
        assert await everything(store) == written_out(later)


async def test_bars_that_are_there_do_not_keep_new_ones_of_the_same_flush_out(
    database: Database,
) -> None:
    store = BarStore(database)
    rows = [make_row("SIM:A", n) for n in range(200)]
    await store.flush(FlushBatch(rows=[revised(rows[150], 3)]))

    await store.flush(FlushBatch(rows=rows))

    assert await everything(store) == written_out([*rows[:150], revised(rows[150], 3), *rows[151:]])


async def test_an_error_after_the_bars_leaves_nothing_of_a_copy(database: Database) -> None:
    store = BarStore(database)
    rows = [make_row("SIM:A", n) for n in range(500)]
    broken = FlushBatch(rows=rows, last_trades=[make_tick("SIM:\x00")])

    with pytest.raises(Exception, match="0x00"):
        await store.flush(broken)

    assert await database.fetch("count", "SELECT count(*) FROM bars") == [(0,)]


@pytest.mark.parametrize("revision", [0, 1])
async def test_a_server_killed_inside_the_transaction_has_none_of_it_afterwards(
    postgres: PostgresServer, revision: int, eventually: Any
) -> None:
    """The bars are in, the commit is not: the last statement waits for a lock when it happens."""
    await migrate(postgres.url)
    db = Database(postgres.url, acquire_timeout_s=10)
    await db.open()
    store = BarStore(db)
    await own(db, {0: 1})
    rows = [revised(make_row("SIM:A", n), revision) for n in range(1_000)]
    batch = FlushBatch(rows=rows, checkpoints=[Checkpoint(0, 1, 1, b"s", b"o")])
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    try:
        async with asyncio.TaskGroup() as group:
            with contextlib.suppress(DatabaseUnavailable):
                async with db.transaction("lock") as connection:
                    await connection.execute("LOCK TABLE symbols")
                    flush = group.create_task(_refused(store, batch))
                    await eventually(lambda: _is(db, waiting, 1))
                    await postgres.kill()
            assert await flush
        await postgres.start()
        await eventually(lambda: _is(db, "SELECT count(*) FROM bars", 0), timeout_s=15)
        assert await store.load_checkpoints([0]) == []

        await store.flush(batch)

        assert await everything(store) == written_out(rows)
    finally:
        await db.close()


async def _refused(store: BarStore, batch: FlushBatch) -> bool:
    try:
        await store.flush(batch)
    except DatabaseUnavailable:
        return True
    return False


async def _is(db: Database, sql: Any, count: int) -> bool:
    try:
        return await db.fetch("count", sql) == [(count,)]
    except DatabaseUnavailable:
        return False


async def test_a_slow_flush_is_logged_with_its_rows_and_without_their_values(
    embedded_migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    db = Database(embedded_migrated_url, slow_query_s=1e-9)
    await db.open()
    try:
        with caplog.at_level(logging.WARNING, "storage.database"):
            await BarStore(db).flush(FlushBatch(rows=[make_row("SIM:A", n) for n in range(40)]))
    finally:
        await db.close()

    (record,) = caplog.records
    assert isinstance(record.args, tuple)
    assert (record.args[0], record.args[2]) == ("flush", 41)  # 40 bars and a symbol
    assert "SIM:A" not in record.getMessage()


def test_the_midnight_of_the_property_test_is_where_a_week_of_chunks_begins() -> None:
    assert (DAY + 1440 * MINUTE_NS) % (7 * DAY_NS) == 0
