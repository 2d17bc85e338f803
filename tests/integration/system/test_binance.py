"""Binance trades through the whole running system: stream, bars and history are exact."""

import asyncio
import contextlib
import csv
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.integration.system.dev import Dev, all_bars, dev, get

SYMBOL = "BINANCE:XRP-ETH"
LAST = "2019-10-13T11:19:00Z"  # start of the last bar
Row = tuple[float, float, float, float, float]


@pytest.fixture
def replay(market_data: Path, tmp_path: Path) -> Path:
    """The trades as a replay file."""
    path = tmp_path / "xrpeth.csv"
    with (
        gzip.open(market_data / "binance_xrpeth_trades.csv.gz", "rt") as source,
        path.open("w") as target,
    ):
        target.write("symbol,trade_id,event_ns,side,price,size\n")
        for row in csv.DictReader(source):
            event_ns = int(row["timestamp_ms"]) * 10**6
            values = (row["trade_id"], event_ns, row["side"], row["price"], row["size"])
            target.write(f"XRP-ETH,{','.join(map(str, values))}\n")
    return path


def venue_bars(market_data: Path, name: str) -> dict[str, Row]:
    """The venue's own bars by RFC 3339 start."""
    with gzip.open(market_data / f"binance_xrpeth_bars_{name}.csv.gz", "rt") as lines:
        return {
            rfc3339(int(row["open_time_ms"]) // 1000): tuple(
                float(row[key]) for key in ("open", "high", "low", "close", "volume")
            )
            for row in csv.DictReader(lines)
        }


def rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def prices(bar: dict[str, Any]) -> Row:
    return (bar["o"], bar["h"], bar["l"], bar["c"], bar["v"])


def rolled_up(bars: dict[str, Row], minutes: int) -> dict[str, Row]:
    """Longer bars from the venue's, the plainest way."""
    groups: dict[str, list[Row]] = {}
    for time, bar in sorted(bars.items()):
        seconds = int(datetime.fromisoformat(time).timestamp())
        groups.setdefault(rfc3339(seconds - seconds % (60 * minutes)), []).append(bar)
    return {
        time: (
            inside[0][0],
            max(b[1] for b in inside),
            min(b[2] for b in inside),
            inside[-1][3],
            sum(b[4] for b in inside),
        )
        for time, inside in groups.items()
    }


@contextlib.asynccontextmanager
async def subscribed(address: str) -> AsyncIterator[ClientConnection]:
    url = address.replace("http", "ws") + "/v1/stream"
    async with connect(url, max_size=None, compression=None) as socket:
        assert orjson.loads(await socket.recv()) == [{"T": "success", "msg": "connected"}]
        await socket.send(orjson.dumps({"action": "subscribe", "trades": [SYMBOL]}))
        assert orjson.loads(await socket.recv())[0]["trades"] == [SYMBOL]
        yield socket


async def trades_until(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    trades: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while len(trades) < count:
            trades += [m for m in orjson.loads(await socket.recv()) if m["T"] == "t"]
    return trades


@pytest.mark.timeout(180)
async def test_binance_xrpeth_is_exact_on_the_stream_and_in_the_history(
    market_data: Path, replay: Path, tmp_path: Path, migrated_url: str
) -> None:
    spec = f"replay:{replay}?speed=max&venue=BINANCE&start=subscribed"
    arguments = ("--feed", spec, "--database-url", migrated_url)
    async with dev(*arguments, data_dir=tmp_path / "data") as running:
        address = await running.address()
        async with subscribed(address) as socket:
            trades = await trades_until(socket, 12_477)
            await ended_at(running, address, LAST)
            with pytest.raises(TimeoutError):  # and nothing more
                await asyncio.wait_for(socket.recv(), 0.5)
        bars = {name: await all_bars(address, [SYMBOL], name, 700) for name in TIMEFRAMES}
        assert await running.stop() == 0, running.output()

    expected = await asyncio.to_thread(lambda: replay.read_text().splitlines()[1:])
    assert [(t["i"], t["p"], t["s"]) for t in trades] == [
        (int(row[1]), float(row[4]), float(row[5])) for row in (r.split(",") for r in expected)
    ]
    minutes, fives = venue_bars(market_data, "1m"), venue_bars(market_data, "5m")
    assert len(minutes) == 2_469
    assert len(fives) == 706
    for name, venue in (("1Min", minutes), ("5Min", fives), ("15Min", rolled_up(fives, 15))):
        assert [bar["t"] for _, bar in bars[name]] == sorted(venue), name  # no gap, no repeat
        assert {bar["t"]: prices(bar) for _, bar in bars[name]} == venue, name


TIMEFRAMES = ("1Min", "5Min", "15Min")


@pytest.mark.timeout(180)
async def test_kill_dash_nine_in_the_middle_and_a_new_start_give_the_same_bars(
    market_data: Path, replay: Path, tmp_path: Path
) -> None:
    """The embedded servers die with the program; the next one goes on over the same folder."""
    arguments = ("--feed", f"replay:{replay}?speed=30000&venue=BINANCE")
    for after_s in (1.0, 1.5):
        async with dev(*arguments, data_dir=tmp_path / "data") as running:
            await running.address()
            await asyncio.sleep(after_s)
            running.process.kill()
            await running.process.wait()

    async with dev(*arguments, data_dir=tmp_path / "data") as running:
        address = await running.address()
        await ended_at(running, address, LAST)
        bars = await all_bars(address, [SYMBOL], "1Min", 10_000)
        assert await running.stop() == 0, running.output()

    assert {bar["t"]: prices(bar) for _, bar in bars} == venue_bars(market_data, "1m")


async def ended_at(running: Dev, address: str, time: str) -> None:
    """Wait until the newest bar starts at or after *time* and is final."""
    async with asyncio.timeout(60):
        while True:
            latest = await get(f"{address}/v1/bars/latest", symbols=SYMBOL)
            bar = latest.get("bars", {}).get(SYMBOL, {})
            if bar.get("final") and bar["t"] >= time:
                return
            await asyncio.sleep(0.1)
            assert running.process.returncode is None, running.output()


@pytest.mark.timeout(180)
async def test_exit_at_end_returns_once_every_bar_is_in_the_database(
    replay: Path, tmp_path: Path, database_url: str, request: pytest.FixtureRequest
) -> None:
    """The database is empty at first: `dev` migrates it, on TimescaleDB to a hypertable."""
    spec = f"replay:{replay}?speed=max&venue=BINANCE"
    arguments = ("--feed", spec, "--database-url", database_url, "--exit-at-end")
    async with dev(*arguments, data_dir=tmp_path / "data") as running:
        assert await running.exit_code() == 0, running.output()

    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute(
            "SELECT timeframe, count(*) FROM bars GROUP BY timeframe ORDER BY timeframe"
        )
        counts = dict(await cursor.fetchall())
        cursor = await connection.execute("SELECT 1 FROM pg_extension WHERE extname='timescaledb'")
        on_timescaledb = await cursor.fetchone() is not None
        chunks = await chunks_of_bars(connection) if on_timescaledb else 0
    assert (counts["1Min"], counts["5Min"]) == (2_469, 706)
    assert on_timescaledb == request.node.name.endswith("[timescaledb]")
    assert chunks >= 1 or not on_timescaledb


async def chunks_of_bars(connection: psycopg.AsyncConnection) -> int:
    """Of the hypertable that 1-minute bars are in; none if they are in a plain table."""
    cursor = await connection.execute(
        "SELECT num_chunks FROM timescaledb_information.hypertables"
        " WHERE hypertable_name = 'bars_1min'"
    )
    found = await cursor.fetchone()
    return int(found[0]) if found else 0
