"""Real trades through the aggregator, on real servers: bars equal the venue's own candles."""

import asyncio
import csv
import gzip
import random
from pathlib import Path

import pytest

from core.market.bar import Bar
from core.market.symbol import make_symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS
from tests.integration.aggregator.rig import Rig, minutes
from tests.property.aggregator.harness import oracle, plain

Candle = tuple[float, float, float, float, float, int]


@pytest.fixture(scope="module")
def trades(market_data: Path) -> list[Tick]:
    """Phemex trades in event order, equal times by id."""
    with gzip.open(market_data / "oracle/phemex_trades.csv.gz", "rt") as lines:
        ticks = [
            Tick(
                make_symbol("PHEMEX", row["symbol"]),
                int(row["trade_id"]),
                float(row["price"]),
                float(row["size"]),
                int(row["event_ns"]),
                seq=int(row["trade_id"]),
            )
            for row in csv.DictReader(lines)
        ]
    return sorted(ticks, key=lambda tick: (tick.event_ns, tick.trade_id))


@pytest.fixture(scope="module")
def candles(market_data: Path) -> dict[tuple[str, int], Candle]:
    """The venue's own complete candles by symbol and start."""
    with gzip.open(market_data / "oracle/phemex_bars_1m.csv.gz", "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if row["complete"] == "1"]
    names = ("open", "high", "low", "close", "volume")
    return {
        (make_symbol("PHEMEX", r["symbol"]), int(r["open_s"]) * 10**9): (
            *(float(r[name]) for name in names),
            int(r["count"] or 0),
        )
        for r in rows
    }


def by_key(bars: list[Bar]) -> dict[tuple[str, str, int], Bar]:
    """The newest of each bar: what a subscriber ends up with."""
    return {(bar.symbol, bar.timeframe, bar.start_ns): bar for bar in bars}


def by_symbol(trades: list[Tick]) -> list[Tick]:
    """What the log must hold: every trade once, also after kills and repeats."""
    return sorted(trades, key=lambda tick: tick.symbol)  # stable: trades are in event order


def check(bars: list[Bar], trades: list[Tick], candles: dict[tuple[str, int], Candle]) -> None:
    """The venue's candles, and for all three timeframes an independent fold of the trades."""
    assert {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in bars} == oracle(trades)
    ours = {(b.symbol, b.start_ns): b for b in minutes(bars)}
    assert len(candles) == 2121
    for key, candle in candles.items():
        bar = ours[key]  # type: ignore[index]
        assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == candle[:5], key


async def test_in_event_order(rig: Rig, trades: list, candles: dict) -> None:
    await rig.write(trades, end=True)
    await rig.run_to_end()

    bars = await rig.stored()
    check(bars, trades, candles)
    assert await rig.logged() == by_symbol(trades)
    assert all(bar.rev == 0 for bar in bars)
    assert by_key(await rig.published()) == by_key(bars)


async def test_shuffled_within_a_minute(rig: Rig, trades: list, candles: dict) -> None:
    noise = random.Random(7)
    shuffled = sorted(trades, key=lambda tick: tick.event_ns + noise.uniform(0, MINUTE_NS))
    await rig.write(shuffled, end=True)
    await rig.run_to_end()

    bars = await rig.stored()
    check(bars, trades, candles)
    assert rig.counted("late_ticks") > 0
    assert by_key(await rig.published()) == by_key(bars)


async def test_delivered_twice_side_by_side(rig: Rig, trades: list, candles: dict) -> None:
    await rig.write([tick for tick in trades for _ in range(2)], end=True)
    await rig.run_to_end()

    check(await rig.stored(), trades, candles)
    assert await rig.logged() == by_symbol(trades)
    assert rig.counted("duplicates") == len(trades)


async def test_delivered_again_after_half_an_hour(rig: Rig, trades: list, candles: dict) -> None:
    """Each half hour comes a second time once it is over."""
    half_hour_ns = 30 * MINUTE_NS
    parts: dict[int, list[Tick]] = {}
    for tick in trades:
        parts.setdefault(tick.event_ns // half_hour_ns, []).append(tick)
    await rig.write([tick for part in parts.values() for tick in part * 2], end=True)
    await rig.run_to_end()

    check(await rig.stored(), trades, candles)
    assert await rig.logged() == by_symbol(trades)
    assert rig.counted("duplicates") == len(trades)


@pytest.mark.parametrize("seed", range(3))
async def test_cut_anywhere_by_a_restart(rig: Rig, trades: list, candles: dict, seed: int) -> None:
    cuts = random.Random(seed)
    noise = random.Random(seed)
    shuffled = sorted(trades, key=lambda tick: tick.event_ns + noise.uniform(0, MINUTE_NS))

    async def write() -> None:
        for start in range(0, len(shuffled), 500):
            await rig.write(shuffled[start : start + 500])
            await asyncio.sleep(0.02)
        await rig.write([], end=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for _ in range(6):
            await rig.run_and_kill(cuts.uniform(0.02, 0.25))
    await rig.run_to_end()

    bars = await rig.stored()
    check(bars, trades, candles)
    assert await rig.logged() == by_symbol(trades)
    assert by_key(await rig.published()) == by_key(bars)
