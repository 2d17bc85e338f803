"""Bars and ticks go through files and come back as they were, to the last bit."""

from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import MINUTE_NS
from ingest.replay_file import ReplayFile
from tests.conftest import Eventually
from tests.integration.files.desk import ALL_TIME, Desk, are_alike, replay_file
from tests.property.aggregator.harness import oracle, plain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
START_NS = 1_700_000_000 * 10**9

prices = st.floats(1e-9, 1e9) | st.sampled_from([0.1, 1 / 3, 64_000.12])
trades = st.lists(
    st.tuples(
        st.integers(0, 40 * MINUTE_NS),
        prices,
        prices,
        st.sampled_from(Side),
        st.sampled_from("ABCD"),
    ),
    min_size=20,
    max_size=100,
)


def replayed(path: str, venue: str) -> list[Tick]:
    file = ReplayFile(path, venue)
    file.open()
    rows = file.read(10_000)
    file.close()
    return [row.tick for row in rows if row.tick is not None]


@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking would take minutes
)
@given(told=trades)
async def test_any_ticks_and_their_bars_survive_export_and_import(
    desk: Desk, eventually: Eventually, told: list[tuple[int, float, float, Side, str]]
) -> None:
    name = uuid4().hex[:8].upper()  # keeps the examples apart
    ticks = [
        Tick(Symbol(f"X:{name}{letter}"), n, price, size, START_NS + at, side, seq=n)
        for n, (at, price, size, side, letter) in enumerate(told, start=1)
    ]
    symbols = sorted({tick.symbol for tick in ticks})

    await desk.done("import", "ticks", desk.file("in.csv", replay_file(ticks)), "--venue", "x")
    expected = {key: bar[:6] for key, bar in oracle(ticks).items()}

    async def stored_whole() -> bool:
        bars = await desk.bars(*symbols)
        assert {key: plain(bar)[:6] for key, bar in bars.items()} == expected
        return True

    await eventually(stored_whole, timeout_s=30)
    stored = await desk.bars(*symbols)

    async def logged() -> bool:
        return await desk.logged(*symbols) == len(ticks)

    await eventually(logged, timeout_s=30)
    for path in ("out.csv.gz", "out.parquet"):
        out = ("--output", desk.path(path), "--force")
        await desk.done("export", "ticks", *symbols, *ALL_TIME, *out)
    ordered = sorted(ticks, key=lambda tick: (tick.event_ns, tick.symbol, tick.seq))
    assert replayed(desk.path("out.csv.gz"), "X") == ordered
    table = pq.read_table(desk.path("out.parquet"))
    assert table.column("price").to_pylist() == [tick.price for tick in ordered]
    assert table.column("symbol").to_pylist() == [tick.symbol for tick in ordered]

    await desk.done("import", "ticks", desk.path("out.parquet"))
    await desk.done("import", "ticks", desk.path("out.csv.gz"), "--venue", "X")
    assert await desk.bars(*symbols) == stored

    for ending in (".csv", ".parquet"):
        out = ("--output", desk.path("bars" + ending), "--force")
        await desk.done("export", "bars", *symbols, *ALL_TIME, *out)
        said = await desk.done("import", "bars", desk.path("bars" + ending))
        minutes = sum(key[1] == "1Min" for key in stored)
        assert f"0 bars new, {minutes} the same as before" in said
    text = desk.text("bars.csv").replace("X:", "Y:")
    said = await desk.done("import", "bars", desk.file("other.csv", text))
    assert f"{minutes} bars new, 0 the same" in said
    for symbol in symbols:
        given_bars = await desk.bars(Symbol(symbol.replace("X:", "Y:")))
        assert are_alike(given_bars, await desk.bars(symbol))
