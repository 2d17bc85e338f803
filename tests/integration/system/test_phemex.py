"""Phemex trades replayed through the running system, in orders that feeds really have."""

import csv
import gzip
import random
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.integration.system.dev import dev

MINUTE_NS = 60 * 10**9
Row = dict[str, str]


def in_event_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (int(row["event_ns"]), int(row["trade_id"])))


def shuffled(rows: list[Row]) -> list[Row]:
    noise = random.Random(11)
    return sorted(rows, key=lambda row: int(row["event_ns"]) + noise.uniform(0, MINUTE_NS))


def twice_side_by_side(rows: list[Row]) -> list[Row]:
    return [row for row in in_event_order(rows) for _ in range(2)]


def twice_far_apart(rows: list[Row]) -> list[Row]:
    """The whole day once more after its end: beyond the hour for which ids are known, too."""
    return in_event_order(rows) * 2


@pytest.mark.timeout(120)
@pytest.mark.parametrize("order", [in_event_order, shuffled, twice_side_by_side, twice_far_apart])
async def test_all_2121_complete_bars_equal_the_venues(
    order: Callable[[list[Row]], list[Row]],
    market_data: Path,
    tmp_path: Path,
    embedded_migrated_url: str,
) -> None:
    with gzip.open(market_data / "oracle/phemex_trades.csv.gz", "rt") as lines:
        rows = list(csv.DictReader(lines))
    replay = tmp_path / "phemex.csv.gz"
    with gzip.open(replay, "wt") as target:
        writer = csv.DictWriter(target, rows[0].keys())
        writer.writeheader()
        writer.writerows(order(rows))

    spec = f"replay:{replay}?speed=max&venue=PHEMEX"
    url = embedded_migrated_url
    arguments = ("--feed", spec, "--database-url", url, "--exit-at-end")
    async with dev(*arguments, data_dir=tmp_path / "data") as running:
        assert await running.exit_code() == 0, running.output()

    with gzip.open(market_data / "oracle/phemex_bars_1m.csv.gz", "rt") as lines:
        candles = [row for row in csv.DictReader(lines) if row["complete"] == "1"]
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "SELECT symbol, date_part('epoch', time)::bigint, open, high, low, close, volume"
            " FROM bars WHERE timeframe = '1Min'"
        )
        ours = {(symbol, start_s): prices for symbol, start_s, *prices in await cursor.fetchall()}
    assert len(candles) == 2_121
    for candle in candles:
        key = (f"PHEMEX:{candle['symbol'].upper()}", int(candle["open_s"]))
        names = ("open", "high", "low", "close", "volume")
        assert ours[key] == [float(candle[name]) for name in names], key
