"""Bars folded again from the tick log, by an aggregator that goes on folding meanwhile."""

import asyncio
import contextlib
import datetime as dt
import sys
from collections.abc import AsyncIterator

import pytest

from core.market.timeframe import MINUTE_NS
from tests.conftest import Eventually
from tests.integration.aggregator.rig import SHARDS, Rig
from tests.integration.aggregator.test_late import START_NS, told, trades
from tests.property.aggregator.harness import oracle, plain

WRONG = (
    "UPDATE bars_1min SET high = high + 9, trades = trades + 1, gap = true WHERE symbol = 'X:S1'"
)
GONE = "DELETE FROM bars_5min WHERE symbol = 'X:S2'"


@pytest.fixture
async def rig(redis_url: str, embedded_migrated_url: str, namespace: str) -> AsyncIterator[Rig]:
    """On one kind of database: what differs between them is tested with the log itself."""
    rig = Rig(redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace)
    yield rig
    await rig.close()


@contextlib.asynccontextmanager
async def aggregator(rig: Rig) -> AsyncIterator[None]:
    async with rig.store() as store, asyncio.TaskGroup() as group:
        service = rig.make_service(store)
        group.create_task(service.run())
        yield
        service.begin_drain()


async def rebuild(rig: Rig, *words: str, start_ns: int = START_NS, minutes: int = 5) -> tuple:
    """Exit code and lines of the command."""
    start, end = (
        dt.datetime.fromtimestamp(ns // 10**9, dt.UTC).isoformat()
        for ns in (start_ns, start_ns + minutes * MINUTE_NS)
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tickgate", "rebuild", *words, "--start", start, "--end", end),
        *("--database-url", rig.database_url, "--shards", str(SHARDS)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode().splitlines()


async def spoil(rig: Rig, *statements: str) -> None:
    async with rig.database() as database:
        for statement in statements:
            await database.fetch("spoil", statement)  # type: ignore[arg-type]


@pytest.mark.slow
async def test_bars_that_are_wrong_or_gone_are_made_good_and_published_once(
    rig: Rig, eventually: Eventually
) -> None:
    await rig.fold_one_by_one([trades(0), trades(1), trades(2)], eventually)
    await spoil(rig, WRONG, GONE)

    async with aggregator(rig):
        dry, would = await rebuild(rig, "S1", "--dry-run")
        assert dry == 1
        assert "X:S1: 0 1-minute bars are as the log says; 4 of 1Min would change" in would[-1]
        code, said = await rebuild(rig, "X:S1", "x:s2")
        again, nothing = await rebuild(rig, "X:S1", "X:S2")
        unknown, never = await rebuild(rig, "X:NEVER")

    assert (code, again, unknown) == (0, 0, 2)
    assert never[0] == "tickgate rebuild: X:NEVER: was never traded here"
    assert any("X:S1" in line and "1Min" in line and "high" in line for line in said)
    assert any("X:S2" in line and "5Min" in line and "rev 0" in line for line in said)
    assert [line.split(": ")[1] for line in nothing] == ["4 1-minute bars are as the log says"] * 2
    updated = [bar for bar in await rig.published() if bar.rev]
    assert [(bar.symbol, bar.timeframe.value, bar.rev, bar.gap) for bar in updated] == [
        ("X:S1", "1Min", 1, True)  # the log does not know of what is missing in it, too
    ] * 4
    stored = {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in await rig.stored()}
    expected = oracle(trades(0))
    assert {key: bar for key, bar in stored.items() if key in expected} == expected


@pytest.mark.slow
async def test_a_rebuild_among_live_trades_and_late_ones_leaves_exact_bars(
    rig: Rig, eventually: Eventually
) -> None:
    first, live = trades(0), trades(1, 1_200)
    late = [tick for tick in trades(0, 300) if tick not in first]
    await rig.fold_one_by_one([first], eventually)
    await spoil(rig, WRONG)

    async with aggregator(rig), asyncio.TaskGroup() as group:

        async def trade() -> None:
            for at in range(0, len(live), 60):
                await rig.write([*live[at : at + 60], *late[at // 20 : at // 20 + 3]])
                await asyncio.sleep(0)

        group.create_task(trade())
        codes = [(await rebuild(rig, "X:S1", "X:S2", minutes=120))[0] for _ in range(2)]
    await rig.write([], end=True)
    await rig.run_to_end()

    assert codes == [0, 0]
    await told(rig, [*first, *live, *late])


@pytest.mark.slow
async def test_without_a_log_of_the_range_bars_stay_and_it_is_said(
    rig: Rig, eventually: Eventually
) -> None:
    rig.keeps_log = False
    await rig.fold_one_by_one([trades(0)], eventually)
    await spoil(rig, WRONG)
    before = await rig.stored()

    async with aggregator(rig):
        never, said = await rebuild(rig, "X:S1")
    rig.keeps_log = True
    await rig.fold_one_by_one([trades(1)], eventually)
    async with aggregator(rig):
        code, partly = await rebuild(rig, "X:S1", minutes=65)

    assert (never, code) == (1, 1)
    assert said == ["X:S1: there is no log of its ticks; its bars are as they were"]
    assert "; 4 are from before the log begins and are as they were" in partly[-1]
    assert set(before) < set(await rig.stored())  # others were closed meanwhile


@pytest.mark.slow
async def test_bars_whose_minutes_are_nowhere_any_more_stay_and_it_is_said(
    rig: Rig, eventually: Eventually
) -> None:
    await rig.fold_one_by_one([trades(0), trades(1)], eventually)
    await spoil(rig, "DELETE FROM bars_1min WHERE symbol = 'X:S1'", "TRUNCATE tick_log")
    before = await rig.stored()

    async with aggregator(rig):
        code, said = await rebuild(rig, "X:S1")

    assert code == 1
    (line,) = said
    kept = "of 5Min and 15Min have minutes that are neither stored nor in the log"
    assert f"2 {kept} and are as they were" in line
    assert set(before) <= set(await rig.stored())
