"""Pages that many ask for at a time: each gets its own, by few statements, or an error in time."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg

from core.market.bar_range import BarRange
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import MINUTE_NS
from storage.bar_pages import BarPages
from storage.bars import BarStore, FlushBatch
from storage.database import Database
from storage.errors import DatabaseUnavailable, SchemaError
from tests.contract.storage.market import DAY, make_row

MINUTE = Resolution(1)
ROWS = [make_row(f"SIM:S{n}", minute) for n in range(5) for minute in range(30)]


class Counting(Database):
    """Notes which statements it ran."""

    ran: list[str]

    async def fetch(self, name: LiteralString, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
        self.ran.append(name)
        return await super().fetch(name, *args, **options)


@asynccontextmanager
async def counting(url: str, **limits: float) -> AsyncIterator[Counting]:
    database = Counting(url, **limits)  # type: ignore[arg-type]  # all of them are seconds
    database.ran = []
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def page(pages: BarPages, number: int) -> list[tuple[str, int]]:
    """One of many that differ in symbols, span, limit and order."""
    some = [Symbol(f"SIM:S{n}") for n in range(number % 5, min(5, number % 5 + 1 + number % 3))]
    bars = await pages.columns(
        BarRange(
            symbols=some,
            resolution=MINUTE,
            start_ns=DAY + number % 7 * MINUTE_NS,
            end_ns=DAY + 29 * MINUTE_NS,
            limit=1 + number % 11,
            descending=number % 2 == 1,
        )
    )
    return [(bar.symbol, bar.start_ns) for bar in bars.bars(MINUTE.base)]


async def each(wanted: Iterable[Awaitable[Any]]) -> list[Any]:
    """What they give, all at once, or the errors that they end with."""

    async def result(one: Awaitable[Any]) -> Any:
        try:
            return await one
        except (DatabaseUnavailable, SchemaError) as exc:
            return exc

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(result(one)) for one in wanted]
    return [task.result() for task in tasks]


async def test_pages_of_all_kinds_at_once_are_those_read_one_by_one(
    database: Database, migrated_url: str
) -> None:
    await BarStore(database).flush(FlushBatch(rows=ROWS))
    async with counting(migrated_url) as counted:
        pages = BarPages(counted)
        alone = [await page(pages, number) for number in range(100)]
        statements = len(counted.ran)

        at_once = await each(page(pages, number) for number in range(100))

        assert at_once == alone
        assert all(alone)
        assert statements == 100
        assert len(counted.ran) - statements <= 12


async def test_a_caller_that_leaves_costs_nobody_else_a_page(
    database: Database, migrated_url: str
) -> None:
    await BarStore(database).flush(FlushBatch(rows=ROWS))
    async with counting(migrated_url) as counted:
        pages = BarPages(counted)
        async with asyncio.TaskGroup() as group:
            wanted = [group.create_task(page(pages, number)) for number in range(40)]
            await asyncio.sleep(0)  # all of them wait now
            for leaving in wanted[::2]:
                leaving.cancel()

        assert all(one.cancelled() for one in wanted[::2])
        stayed = [one.result() for one in wanted[1::2]]
        assert stayed == [await page(pages, number) for number in range(1, 40, 2)]


async def test_an_error_reaches_all_whose_pages_it_cost(
    database: Database, migrated_url: str
) -> None:
    await database.fetch("break", "DROP TABLE bars_1min CASCADE")
    async with counting(migrated_url) as counted:
        pages = BarPages(counted)
        found = await each(page(pages, number) for number in range(20))

    assert [type(error) for error in found] == [SchemaError] * 20


async def test_who_waits_too_long_or_comes_when_too_many_wait_is_told(
    database: Database, migrated_url: str
) -> None:
    await BarStore(database).flush(FlushBatch(rows=ROWS))
    async with (
        await psycopg.AsyncConnection.connect(migrated_url) as other,
        counting(migrated_url, acquire_timeout_s=0.5, statement_timeout_s=1.0) as counted,
    ):
        await other.execute("LOCK TABLE bars_1min")
        pages = BarPages(counted)

        told = [str(error) for error in await each(page(pages, n) for n in range(1_100))]
        await other.rollback()

        assert sum("1000 others are waiting" in text for text in told) == 100
        assert sum("others were before it" in text for text in told) > 800
        # A busy machine may take longer than that to connect.
        tried = re.compile("no answer within 1 s|no connection within 0.5 s")
        assert sum(bool(tried.search(text)) for text in told) in range(2 * 32, 6 * 32 + 1)
        assert await page(pages, 0) == [("SIM:S0", DAY)]
