"""Roll-ups of a venue's own 1-minute candles are the longer candles that the venue gives."""

import csv
import gzip
import math
from pathlib import Path

import pytest

from core.market.bar import Bar
from core.market.bar_columns import columns_of, rolled_columns
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe

SYMBOL = Symbol("BINANCE:XRPETH")
MINUTE_MS = 60_000


def candles(path: Path) -> list[Bar]:
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    return [
        Bar(SYMBOL, Timeframe.MIN_1, int(row["open_time_ms"]) * 1_000_000, float(row["open"]),
            float(row["high"]), float(row["low"]), float(row["close"]), float(row["volume"]), 1,
            float(row["close"]))
        for row in rows
    ]  # fmt: skip


def shown(bars: list[Bar]) -> dict[int, tuple[float, ...]]:
    return {bar.start_ns: (bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars}


def rolled_up(bars: list[Bar], resolution: Resolution) -> dict[int, tuple[float, ...]]:
    traded = [bar for bar in bars if bar.volume]
    made, left = rolled_columns(columns_of(traded), resolution, descending=False, is_last=True)
    assert len(left) == 0
    return shown(made.bars(Timeframe.MIN_1))


@pytest.fixture(scope="module")
def one(market_data: Path) -> list[Bar]:
    return candles(market_data / "binance_xrpeth_bars_1m.csv.gz")


@pytest.fixture(scope="module")
def five(market_data: Path) -> list[Bar]:
    return candles(market_data / "binance_xrpeth_bars_5m.csv.gz")


def test_five_minutes_of_candles_are_the_venues_five_minute_candle(
    one: list[Bar], five: list[Bar]
) -> None:
    found, expected = rolled_up(one, Resolution(5)), shown([bar for bar in five if bar.volume])

    assert len(expected) > 700
    assert found == expected


@pytest.mark.parametrize("minutes", [15, 35, 60, 240, 420, 1440])
def test_longer_bars_are_the_same_from_either_of_the_venues_candles(
    one: list[Bar], five: list[Bar], minutes: int
) -> None:
    found, other = (rolled_up(bars, Resolution(minutes)) for bars in (one, five))

    assert len(found) > 2
    assert found == other
    assert math.fsum(bar[4] for bar in found.values()) == math.fsum(bar.volume for bar in one)
