"""Trades that come hours late, on real servers: the tick log tells new ones from repeats."""

import asyncio
from collections.abc import Sequence

import msgspec

from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS
from storage.quarantine import QuarantineWriter
from tests.conftest import Eventually
from tests.integration.aggregator.rig import Rig
from tests.property.aggregator.harness import oracle, plain

HOUR_NS = 60 * MINUTE_NS
START_NS = 1_700_000_000 * 10**9 // HOUR_NS * HOUR_NS


def trades(hour: int, count: int = 240, *, every: int = 1) -> list[Tick]:
    """One trade a second over four symbols, from *hour* on, or every so manyth of them."""
    return [
        Tick(
            Symbol(f"X:S{n % 4}"), hour * 10_000 + n, 1.0 + n % 7, 0.1,
            START_NS + hour * HOUR_NS + n * 10**9, seq=hour * 10_000 + n,
        )
        for n in range(0, count, every)
    ]  # fmt: skip


def without(ticks: Sequence[Tick], others: Sequence[Tick]) -> list[Tick]:
    left_out = {tick.trade_id for tick in others}
    return [tick for tick in ticks if tick.trade_id not in left_out]


async def told(rig: Rig, ticks: Sequence[Tick]) -> None:
    """Bars and log are what *ticks* say, each counted once."""
    bars = {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in await rig.stored()}
    assert bars == oracle(ticks)
    assert sorted(await rig.logged(), key=_key) == sorted(ticks, key=_key)


def _key(tick: Tick) -> tuple[str, int]:
    return tick.symbol, tick.trade_id


async def test_late_ones_revise_their_bars_and_repeats_change_nothing(
    rig: Rig, eventually: Eventually
) -> None:
    first, late = trades(0), trades(0, every=3)
    parts = [without(first, late), trades(5), trades(7), trades(9), late, first]
    await rig.fold_one_by_one(parts, eventually)

    assert rig.counted("looked_up") == len(first)  # hour 0 is forgotten, save for the late ones
    assert rig.counted("duplicates") == len(first)
    assert rig.counted("late_ticks") == len(late)
    await rig.write([], end=True)
    await rig.run_to_end()
    await told(rig, [*first, *trades(5), *trades(7), *trades(9)])


async def test_repeats_are_known_across_restarts_and_feeds(rig: Rig) -> None:
    first, late, later = trades(0), trades(0, every=3), trades(9)
    for part in (without(first, late), trades(5), trades(7), later):
        await rig.write(part)
    await rig.run_and_kill(0.3)
    other = Rig(
        redis_url=rig.redis_url,
        database_url=rig.database_url,
        namespace=rig.namespace,
        feed="history",
    )
    await other.write([*first, *later], end=True)
    await rig.run_and_kill(0.3)
    await rig.write([*late, *first], end=True)
    await rig.run_to_end()
    await other.close()

    await told(rig, [*first, *trades(5), *trades(7), *later])


async def test_without_a_log_of_their_time_they_are_quarantined_unless_nothing_was_there(
    rig: Rig, eventually: Eventually
) -> None:
    before, unknown = trades(0), trades(2)
    rig.keeps_log = False
    await rig.fold_one_by_one([before], eventually)
    rig.keeps_log = True
    fresh = [msgspec.structs.replace(tick, trade_id=tick.trade_id + 5_000) for tick in before]
    parts = [trades(5), trades(7), trades(9), [*fresh, *unknown, *unknown]]
    await rig.fold_one_by_one(parts, eventually)
    counted = rig.counted("unverifiable")
    await rig.write([], end=True)
    await rig.run_to_end()

    bars = {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in await rig.stored()}
    assert bars == oracle([*before, *trades(5), *trades(7), *trades(9), *unknown])
    assert counted == len(fresh)
    kept_out = await QuarantineWriter(rig.redis, rig.keys).newest(1_000)
    assert {(record.tick.trade_id, record.reason) for record in kept_out} == {
        (tick.trade_id, "unverifiable") for tick in fresh
    }


async def test_late_ones_are_told_from_repeats_whatever_is_killed_when(rig: Rig) -> None:
    first, late, later = trades(0), trades(0, every=3), trades(5)
    much = [*without(first, late), *later, *late, *first, *trades(7), *first, *late, *trades(8)]

    async def write() -> None:
        for start in range(0, len(much), 100):
            await rig.write(much[start : start + 100])
        await rig.write([], end=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for _ in range(6):
            await rig.run_and_kill(0.15)
    await rig.run_to_end()

    await told(rig, [*first, *later, *trades(7), *trades(8)])
