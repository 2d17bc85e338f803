"""What an import takes, what it leaves alone, and what it says."""

import asyncio
import gzip
import sys
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.integration.files.desk import ALL_TIME, Desk, replay_file
from tests.property.aggregator.harness import oracle, plain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
START_NS = 1_700_000_100_000_000_000 // (15 * MINUTE_NS) * 15 * MINUTE_NS
BARS = "symbol,start_ns,open,high,low,close,volume,trades,vwap\n"


def row(symbol: str, minute: int, *, close: float = 1.5, high: float = 2.0) -> str:
    start_ns = START_NS + minute * MINUTE_NS
    return f"{symbol},{start_ns},1.0,{high},0.5,{close},10.0,4,1.25\n"


def trade(symbol: str, minute: int, number: int) -> Tick:
    at_ns = START_NS + minute * MINUTE_NS + number
    return Tick(Symbol(symbol), number, 1.0 + number % 5, 0.5, at_ns, Side.BUY, seq=number)


def real_trades(folder: Path, count: int) -> list[Tick]:
    with gzip.open(folder / "binance_xrpeth_trades.csv.gz", "rt") as file:
        rows = [next(file).rstrip().split(",") for _ in range(count + 1)][1:]
    return [
        Tick(
            Symbol("BINANCE:XRPETH"), int(number), float(price), float(size), int(ms) * 10**6,
            Side[side.upper()], seq=int(number),
        )
        for ms, number, side, price, size in rows
    ]  # fmt: skip


async def test_a_file_of_real_trades_gives_the_exact_bars_however_often(
    desk: Desk, eventually: Eventually, market_data: Path
) -> None:
    ticks = real_trades(market_data, 3_000)
    newest_first = desk.file("trades.csv", replay_file(ticks[::-1]))

    said = await desk.done("import", "ticks", newest_first, "--venue", "binance")
    assert "3000 ticks of 1 symbols" in said
    expected = {key: bar[:6] for key, bar in oracle(ticks).items()}

    async def exact() -> bool:
        stored = await desk.bars(Symbol("BINANCE:XRPETH"))
        assert {k: plain(b)[:6] for k, b in stored.items()} == {
            k: b[:6] for k, b in expected.items()
        }
        return True

    await eventually(exact, timeout_s=30)
    before = await desk.bars(Symbol("BINANCE:XRPETH"))
    await desk.done("import", "ticks", newest_first, "--venue", "BINANCE")
    assert await desk.bars(Symbol("BINANCE:XRPETH")) == before
    assert await desk.logged(Symbol("BINANCE:XRPETH")) == len(ticks)


async def test_given_bars_become_stored_ones_with_parents_and_are_published(
    desk: Desk, eventually: Eventually
) -> None:
    text = BARS + "".join(row("V:A", minute, high=2.0 + minute) for minute in range(7))
    path = desk.file("bars.csv", text)

    said = await desk.done("import", "bars", path, "--dry-run")
    assert "7 bars would be new" in said
    assert await desk.bars(Symbol("V:A")) == {}
    assert "7 bars new, 0 the same" in await desk.done("import", "bars", path)

    stored = await desk.bars(Symbol("V:A"))
    five = stored["V:A", Timeframe.MIN_5, START_NS]
    assert (five.open, five.high, five.low, five.close) == (1.0, 6.0, 0.5, 1.5)
    assert (five.volume, five.trades, five.vwap) == (50.0, 20, 1.25)
    assert stored["V:A", Timeframe.MIN_15, START_NS].trades == 28
    published = await desk.rig.published()
    assert {(bar.symbol, bar.timeframe, bar.start_ns): bar for bar in published} == stored
    assert len(published) == len(stored)

    other = desk.file("other.csv", BARS + row("A", 2, high=9.0) + row("A", 8))
    said = await desk.done("import", "bars", other, "--venue", "V")
    assert "1 bars new, 0 the same as before, 1 revised" in said
    stored = await desk.bars(Symbol("V:A"))
    assert stored["V:A", Timeframe.MIN_1, START_NS + 2 * MINUTE_NS].rev == 1
    assert stored["V:A", Timeframe.MIN_5, START_NS].high == 9.0
    assert stored["V:A", Timeframe.MIN_15, START_NS].trades == 32

    late = desk.file("late.csv", replay_file([trade("V:A", 2, 7), trade("V:A", 40, 8)]))
    code, said = await desk.tickgate("import", "ticks", late, "--venue", "V")
    assert (code, "1 ticks were set aside" in said) == (1, True), said

    async def beside() -> bool:
        bars = await desk.bars(Symbol("V:A"))
        assert {key: bar for key, bar in bars.items() if key in stored} == stored
        return len(bars) == len(stored) + 3

    await eventually(beside, timeout_s=30)


async def test_bars_made_of_ticks_stay_unless_they_are_to_be_replaced(
    desk: Desk, eventually: Eventually
) -> None:
    ticks = desk.file("ticks.csv", replay_file([trade("V:B", minute, minute) for minute in (1, 2)]))
    await desk.done("import", "ticks", ticks, "--venue", "V")

    async def there() -> bool:
        return len(await desk.bars(Symbol("V:B"))) == 4

    await eventually(there, timeout_s=30)
    made = await desk.bars(Symbol("V:B"))
    given = desk.file("bars.csv", BARS + row("V:B", 1) + row("V:B", 3))

    code, said = await desk.tickgate("import", "bars", given)
    assert code == 1
    assert f"{given}:2: V:B 2023-11-14T22:16:00Z: there is a bar that was made of ticks" in said
    assert "1 bars new, 0 the same as before, 1 refused" in said
    key = ("V:B", Timeframe.MIN_1, START_NS + MINUTE_NS)
    assert (await desk.bars(Symbol("V:B")))[key] == made[key]

    assert "1 the same as before, 1 revised" in await desk.done(
        "import", "bars", given, "--replace"
    )
    stored = await desk.bars(Symbol("V:B"))
    assert stored[key].volume == 10.0
    assert stored["V:B", Timeframe.MIN_5, START_NS].volume == 20.5

    async with desk.rig.database() as database:
        await database.fetch("forget", "DELETE FROM bars_1min WHERE symbol = 'V:B'")
    code, said = await desk.tickgate("import", "bars", given, "--replace")
    assert (code, said.count("minutes that are not stored any more")) == (1, 2), said
    assert await desk.bars(Symbol("V:B")) == {
        k: v for k, v in stored.items() if k[1] != Timeframe.MIN_1
    }


async def test_while_a_row_is_bad_nothing_of_any_file_is_imported(desk: Desk) -> None:
    good = desk.file("good.csv", BARS + row("V:C", 1))
    now_ns = wall_ns() // MINUTE_NS * MINUTE_NS
    bad = desk.file("bad.csv", BARS + row("V:C", 5) + row("V:C", 4) + row("C", 6)
                    + f"V:C,{now_ns},1,1,1,1,1,1,1\n")  # fmt: skip

    code, said = await desk.tickgate("import", "bars", good, bad)
    assert code == 1
    assert f"{bad}:3: V:C at 2023-11-14T22:19:00Z comes after 2023-11-14T22:20:00Z" in said
    assert f"{bad}:4: symbol 'C' names no venue: say which by --venue" in said
    assert f"{bad}:5: " in said
    assert "its trades may still come; expected windows that end by" in said
    assert "nothing was imported" in said
    assert await desk.bars(Symbol("V:C")) == {}

    ticks = desk.file(
        "ticks.csv", replay_file([trade("V:C", 1, 1)]) + "C,,1700000000000000000,,1,1\n"
    )
    code, said = await desk.tickgate("import", "ticks", ticks, "--venue", "V")
    assert (code, f"{ticks}:3: there is no trade_id" in said) == (1, True), said
    one = desk.file("one.csv", replay_file([trade("V:C", 1, 1), trade("V:C", 2, 2)]))
    changed = msgspec.structs.replace(trade("V:C", 2, 2), price=9.0)
    other = desk.file("other.csv", replay_file([trade("V:C", 1, 1), changed]))
    code, said = await desk.tickgate("import", "ticks", one, other, "--venue", "V")
    assert f"{other}:3: there is another time, price or size" in said
    assert f"under the same trade_id in {one}:3\n" in said
    assert "1 ticks are there more than once" in said
    assert (code, "nothing was imported" in said) == (1, True), said
    code, said = await desk.tickgate("import", "ticks", ticks)
    assert (code, "its symbols name no venue" in said) == (1, True), said
    code, said = await desk.tickgate("import", "bars", desk.path("none.csv"))
    assert (code, "there is no such file" in said) == (1, True), said
    code, said = await desk.tickgate("import", "bars", ticks)
    assert (code, "there is no column open, high, low, close, volume" in said) == (1, True), said


async def test_an_export_is_whole_or_not_there_and_says_what_it_lacks(
    desk: Desk, eventually: Eventually
) -> None:
    ticks = desk.file("ticks.csv", replay_file([trade("V:D", minute, minute) for minute in (1, 2)]))
    await desk.done("import", "ticks", ticks, "--venue", "V")

    async def logged() -> bool:
        return await desk.logged(Symbol("V:D")) == 2

    await eventually(logged, timeout_s=30)
    target = desk.file("out.csv", "kept")
    export = ("export", "ticks", "V:D", *ALL_TIME)

    code, said = await desk.tickgate(*export, "--output", target)
    assert (code, f"{target}: is there already; --force" in said) == (1, True), said
    assert desk.text("out.csv") == "kept"
    assert f"{target}: 2 ticks of 1 symbols" in await desk.done(
        *export, "--output", target, "--force"
    )
    assert desk.text("out.csv") == replay_file([trade("V:D", 1, 1), trade("V:D", 2, 2)])

    url, read = desk.rig.database_url, f"{sys.executable} -m tickgate export bars V:D"
    shell = f"{read} {' '.join(ALL_TIME)} --output - --database-url '{url}' | head -n 2"
    head = await asyncio.create_subprocess_shell(shell, stdout=-1, stderr=-1)
    out, said_there = await asyncio.wait_for(head.communicate(), 60)
    first = "2023-11-14T22:16:00Z,1700000160000000000,2.0,2.0,2.0,2.0,0.5,1,2.0,0,false"
    assert out.decode().splitlines()[1] == f"V:D,1Min,{first}"
    assert said_there.decode() == "-: 2 1Min bars of 1 symbols\n"

    days = ("--timeframe", "1Day", "--output", desk.path("days.csv"))
    await desk.done("export", "bars", "V:D", *ALL_TIME, *days)
    day = "2023-11-14T00:00:00Z,1699920000000000000,2.0,3.0,2.0,3.0,1.0,2,2.5,0,false"
    assert desk.text("days.csv").splitlines()[1:] == [f"V:D,1Day,{day}"]

    code, said = await desk.tickgate(*export, "--output", desk.path("no/such/folder.csv"))
    assert (code, "no such file or directory" in said) == (1, True), said
    code, said = await desk.tickgate(*export, "--output", desk.path("name"))
    assert (code, "--format: expected csv or parquet" in said) == (2, True), said
    code, said = await desk.tickgate(*export, "--output", "x.csv", "--timeframe", "5Min")
    assert (code, "--timeframe: ticks have none" in said) == (2, True), said

    async with desk.rig.database() as database:
        await database.fetch("cut", "UPDATE tick_log_cover SET from_ns = %s", [START_NS])
    code, said = await desk.tickgate(*export, "--output", desk.path("less.csv"))
    assert code == 1
    assert "V:D: the log of its ticks begins at 2023-11-14T22:15:00Z; before it is nothing" in said
    assert sorted(path.name for path in desk.folder.iterdir()) == [
        "days.csv",
        "less.csv",
        "out.csv",
        "ticks.csv",
    ]


async def test_a_parquet_file_of_several_venues_is_imported_whole(
    desk: Desk, eventually: Eventually
) -> None:
    given = [trade("P1:A", 1, 1), trade("P2:A", 1, 2), trade("P1:B", 2, 3)]
    path = desk.path("venues.parquet")
    columns = {
        "symbol": [tick.symbol for tick in given],
        "trade_id": [tick.trade_id for tick in given],
        "event_ns": [tick.event_ns for tick in given],
        "side": ["buy"] * len(given),
        "price": [tick.price for tick in given],
        "size": [tick.size for tick in given],
    }
    pq.write_table(pa.table(columns), path)

    said = await desk.done("import", "ticks", path)

    assert "2 ticks of P1 from" in said
    assert "1 ticks of P2 from" in said

    async def there() -> bool:
        stored = await desk.bars(Symbol("P1:A"), Symbol("P2:A"), Symbol("P1:B"))
        return {key[0] for key in stored} == {"P1:A", "P2:A", "P1:B"}

    await eventually(there, timeout_s=30)
