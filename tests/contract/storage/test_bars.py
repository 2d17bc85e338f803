"""BarStore on PostgreSQL and on TimescaleDB: what was flushed is read back, once and whole."""

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market.bar import Bar
from core.market.bar_range import BarRange
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from storage.bars import BarStore, Checkpoint, FlushBatch, SymbolRow
from storage.database import Database
from storage.errors import StaleOwner
from tests.contract.storage.market import DAY, make_row, make_tick, own, revised

ALL = range(16)
ALWAYS: dict[str, Any] = {"start_ns": 0, "end_ns": 2**63 - 1, "limit": 10_000}


@pytest.fixture
def store(database: Database) -> BarStore:
    return BarStore(database)


async def all_bars(store: BarStore, *symbols: str) -> list[Bar]:
    names = [Symbol(s) for s in symbols or ("SIM:A", "SIM:B")]
    bars: list[Bar] = []
    for timeframe in Timeframe:
        bars += await store.page(
            BarRange(symbols=names, resolution=Resolution.of(timeframe), **ALWAYS)
        )
    return bars


async def test_a_row_reads_back_as_it_was_flushed_to_the_last_bit(store: BarStore) -> None:
    rows = [
        make_row("SIM:A", 0),
        make_row("SIM:A", 15, Timeframe.MIN_15, rev=2, gap=True),
        make_row("KRAKEN:É/USD", 3, trades=2**62),
    ]
    await store.flush(FlushBatch(rows=rows))

    keys = [(row.bar.symbol, row.bar.timeframe, row.bar.start_ns) for row in rows]
    missing = (Symbol("SIM:A"), Timeframe.MIN_5, DAY)
    loaded = await store.load_rows([*keys, missing])

    assert sorted(map(repr, loaded)) == sorted(map(repr, rows))
    assert await store.load_rows([]) == []


async def test_flushing_again_changes_nothing(store: BarStore, database: Database) -> None:
    await own(database, {0: 1})
    batch = FlushBatch(
        rows=[make_row("SIM:A", n) for n in range(5)],
        checkpoints=[Checkpoint(0, 1, 1, b"state", b"outbox")],
        last_trades=[make_tick()],
    )

    for _ in range(3):
        await store.flush(batch)

    assert await all_bars(store) == [row.bar for row in batch.rows]
    assert await store.load_checkpoints(ALL) == list(batch.checkpoints)


async def test_an_empty_flush_is_fine(store: BarStore) -> None:
    await store.flush(FlushBatch())

    assert await store.load_checkpoints(ALL) == []
    assert await store.symbols() == []


async def test_a_revision_replaces_a_bar_and_an_older_one_does_not(store: BarStore) -> None:
    row = make_row("SIM:A", 0)
    await store.flush(FlushBatch(rows=[revised(row, 2, close=20.0)]))
    await store.flush(FlushBatch(rows=[revised(row, 1, close=10.0)]))
    assert [bar.close for bar in await all_bars(store)] == [20.0]

    await store.flush(FlushBatch(rows=[revised(row, 2, close=21.0), revised(row, 1)]))
    assert [(bar.rev, bar.close) for bar in await all_bars(store)] == [(2, 21.0)]

    await store.flush(FlushBatch(rows=[revised(row, 3), revised(row, 4, close=40.0)]))
    assert [(bar.rev, bar.close) for bar in await all_bars(store)] == [(4, 40.0)]


async def test_a_flush_with_an_error_in_the_middle_leaves_nothing(
    store: BarStore, database: Database
) -> None:
    await own(database, {0: 1})
    batch = FlushBatch(
        rows=[make_row("SIM:A", 0)],
        checkpoints=[Checkpoint(0, 1, 1, b"s", b"o")],
        last_trades=[make_tick("SIM:A", price=1.0), make_tick("SIM:\x00", price=1.0)],
    )

    with pytest.raises(Exception, match="0x00"):
        await store.flush(batch)

    assert await all_bars(store) == []
    assert await store.load_checkpoints(ALL) == []
    assert await store.symbols() == []


async def test_a_cancelled_flush_leaves_nothing_or_all(store: BarStore, database: Database) -> None:
    await own(database, {0: 1})
    rows = [make_row("SIM:A", n) for n in range(2_000)]
    batch = FlushBatch(rows=rows, checkpoints=[Checkpoint(0, 1, 1, b"s", b"o")])
    for delay_s in (0.0, 0.002, 0.005, 0.01):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await store.flush(batch)

        found = len(await all_bars(store))
        assert found == 2_000 * len(await store.load_checkpoints(ALL))


async def test_checkpoints_are_kept_by_shard_and_never_go_back(
    store: BarStore, database: Database
) -> None:
    await own(database, {1: 5, 2: 5, 3: 5})
    first = [Checkpoint(shard, 5, 1, b"a", b"") for shard in (3, 1, 2)]
    await store.flush(FlushBatch(checkpoints=first))
    later = Checkpoint(2, 5, 2, b"b", b"x" * 100_000)
    await store.flush(FlushBatch(checkpoints=[later]))
    assert await store.load_checkpoints(ALL) == [first[1], later, first[0]]

    for stale in (Checkpoint(2, 5, 1, b"c", b""), Checkpoint(2, 4, 9, b"c", b"")):
        with pytest.raises(StaleOwner) as caught:
            await store.flush(FlushBatch(rows=[make_row()], checkpoints=[first[0], stale]))
        assert caught.value.stale == {2: (stale.token, 5)}

    assert await store.load_checkpoints(ALL) == [first[1], later, first[0]]
    assert await store.load_checkpoints([2, 0]) == [later]
    assert await all_bars(store) == []


async def test_the_newest_trade_stays_the_last_trade(store: BarStore) -> None:
    for event_ns, seq, price in [(10, 5, 1.0), (9, 9, 2.0), (10, 4, 3.0), (10, 5, 4.0)]:
        await store.flush(FlushBatch(last_trades=[make_tick("SIM:B", event_ns, seq, price=price)]))
    await store.flush(FlushBatch(rows=[make_row("SIM:A"), make_row("SIM:B")]))
    await store.flush(FlushBatch(last_trades=[make_tick("SIM:C", 7, 1), make_tick("SIM:C", 7, 0)]))

    assert await store.symbols() == [
        SymbolRow(Symbol("SIM:A")),
        SymbolRow(Symbol("SIM:B"), make_tick("SIM:B", 10, 5, price=4.0)),
        SymbolRow(Symbol("SIM:C"), make_tick("SIM:C", 7, 1)),
    ]


async def test_symbols_sort_by_code_point_whatever_the_servers_language(store: BarStore) -> None:
    names = ["SIM:A-B", "SIM:A.B", "SIM:A/B", "SIM:AB", "SIM:A_B", "SIM:A1"]
    await store.flush(FlushBatch(rows=[make_row(name) for name in names]))

    assert [row.symbol for row in await store.symbols()] == sorted(names)
    assert [bar.symbol for bar in await all_bars(store, *names)] == sorted(names)


async def test_two_flushes_of_the_same_bars_at_once_do_not_lock_each_other_out(
    store: BarStore,
) -> None:
    rows = [make_row(symbol, n) for n in range(200) for symbol in ("SIM:A", "SIM:B")]
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for seed in range(4):
            shuffled = random.Random(seed).sample(rows, len(rows))
            group.create_task(
                store.flush(FlushBatch(rows=[revised(row, seed) for row in shuffled]))
            )

    assert {bar.rev for bar in await all_bars(store)} == {3}


async def test_the_latest_bar_is_the_newest_of_its_timeframe(store: BarStore) -> None:
    rows = [make_row("SIM:A", n) for n in (3, 1, 2)] + [make_row("SIM:B", 9, Timeframe.MIN_5)]
    await store.flush(FlushBatch(rows=rows))
    both = [Symbol("SIM:A"), Symbol("SIM:B"), Symbol("SIM:C")]

    assert await store.latest(both, Timeframe.MIN_1) == {"SIM:A": rows[0].bar}
    assert await store.latest(both, Timeframe.MIN_5) == {"SIM:B": rows[3].bar}
    assert await store.latest([], Timeframe.MIN_1) == {}


async def test_a_day_bar_rolls_up_the_one_minute_bars_of_24_hours(store: BarStore) -> None:
    inside = [make_row("SIM:A", n) for n in (0, 7, 1439)]
    outside = [make_row("SIM:A", n) for n in (-1, 1440)]
    other = [make_row("SIM:A", 5, Timeframe.MIN_5), make_row("SIM:B", 60, gap=True)]
    await store.flush(FlushBatch(rows=[*inside, *outside, *other]))

    days = await store.day_bars(None, DAY)

    day, bars = days[Symbol("SIM:A")], [row.bar for row in inside]
    volume = sum(bar.volume for bar in bars)
    assert (day.open, day.close) == (bars[0].open, bars[-1].close)
    assert day.high == max(bar.high for bar in bars)
    assert day.low == min(bar.low for bar in bars)
    assert day.trades == sum(bar.trades for bar in bars)
    assert day.volume == pytest.approx(volume, rel=1e-12)
    assert day.vwap == pytest.approx(sum(b.vwap * b.volume for b in bars) / volume, rel=1e-12)
    assert (day.start_ns, day.gap) == (DAY, False)
    assert days[Symbol("SIM:B")].gap
    assert set(days) == {"SIM:A", "SIM:B"}
    assert set(await store.day_bars([Symbol("SIM:B"), Symbol("X:Y")], DAY)) == {"SIM:B"}
    assert await store.day_bars([], DAY) == {}
    assert await store.day_bars(None, DAY + 10 * DAY_NS) == {}


async def test_the_average_of_a_day_of_one_price_is_that_price(store: BarStore) -> None:
    flat = dict.fromkeys(("open", "high", "low", "close", "vwap"), 0.1)
    for number, volumes in enumerate([(3.0,), (3.3, 0.3), (0.7, 0.1, 1.7), (6.0, 7.0)]):
        rows = [make_row(f"SIM:{number}", n, volume=v, **flat) for n, v in enumerate(volumes)]
        await store.flush(FlushBatch(rows=rows))

    assert {day.vwap for day in (await store.day_bars(None, DAY)).values()} == {0.1}


async def test_bars_of_several_weeks_are_in_several_chunks(timescaledb_url: str) -> None:
    from storage.migrations import migrate

    await migrate(timescaledb_url)
    db = Database(timescaledb_url)
    await db.open()
    try:
        rows = [
            make_row("SIM:A", week * 7 * 1440, timeframe)
            for timeframe in Timeframe
            for week in range(12)
        ]
        await BarStore(db).flush(FlushBatch(rows=rows))

        hypertables = await db.fetch(
            "hypertables",
            "SELECT hypertable_name, num_chunks FROM timescaledb_information.hypertables"
            " WHERE hypertable_name ~ '^bars'",
        )
        assert set(hypertables) == {("bars_1min", 12), ("bars_5min", 4), ("bars_15min", 2)}
        assert await all_bars(BarStore(db)) == [row.bar for row in rows]
    finally:
        await db.close()


SYMBOLS = ["SIM:A", "SIM:B", "SIM:C", "SIM:D"]
MINUTES = range(-5, 32)  # around a midnight, so that a hypertable has two chunks
GRID = [DAY + n * MINUTE_NS for n in MINUTES]
moments = st.builds(
    lambda start, off: start + off, st.sampled_from(GRID), st.sampled_from([-1, 0, 1, 999, 1000])
)
far = st.sampled_from([-(10**30), -1, 0, 2**63 - 1, 10**30])
cursors = st.tuples(st.sampled_from([*SYMBOLS, "SIM:BB"]), st.sampled_from(GRID))

page_queries = st.fixed_dictionaries(
    {
        "symbols": st.lists(st.sampled_from(SYMBOLS), max_size=5),
        "resolution": st.sampled_from([1, 5, 15, 2, 3, 7, 10, 1440]).map(Resolution),
        "start_ns": moments | far,
        "end_ns": moments | far,
        "limit": st.integers(1, 9) | st.just(10_000),
        "descending": st.booleans(),
        "after": st.none() | cursors,
        "running_ns": st.dictionaries(st.sampled_from(SYMBOLS), st.sampled_from(GRID), max_size=2),
    }
)


def of_length(bars: Sequence[Bar], minutes: int, running_ns: Mapping[str, int]) -> list[Bar]:
    """The stored bars of that length, or such made of the longest of which whole ones fit."""
    base = max((t for t in Timeframe if minutes % t.minutes == 0), key=lambda t: t.minutes)
    parts: dict[tuple[Symbol, int, int], list[Bar]] = {}
    for bar in sorted(bars, key=lambda bar: bar.start_ns):
        if bar.timeframe == base:
            day, minute = divmod(bar.start_ns // MINUTE_NS, 1440)
            parts.setdefault((bar.symbol, day, minute // minutes), []).append(bar)
    if base.minutes == minutes:
        return [bar for some in parts.values() for bar in some]
    made = []
    for (symbol, day, window), some in parts.items():
        start = day * 1440 + window * minutes
        end = min(start + minutes, day * 1440 + 1440)
        if symbol in running_ns and end * MINUTE_NS > running_ns[symbol]:
            continue
        volume = float(sum(Fraction(bar.volume) for bar in some))
        spent = float(sum(Fraction(bar.vwap * bar.volume) for bar in some))
        made.append(
            Bar(
                symbol,
                base,
                start * MINUTE_NS,
                some[0].open,
                max(bar.high for bar in some),
                min(bar.low for bar in some),
                some[-1].close,
                volume,
                sum(bar.trades for bar in some),
                some[0].vwap if len(some) == 1 else spent / volume,
                sum(bar.rev for bar in some),
                gap=any(bar.gap for bar in some),
            )
        )
    return made


def oracle(
    bars: Sequence[Bar],
    *,
    symbols: Sequence[str],
    resolution: Resolution,
    start_ns: int,
    end_ns: int,
    limit: int,
    descending: bool,
    after: tuple[str, int] | None,
    running_ns: Mapping[str, int],
) -> list[Bar]:
    """A page in plain Python."""
    sign = -1 if descending else 1
    found = [
        bar
        for bar in sorted(
            of_length(bars, resolution.minutes, running_ns),
            key=lambda bar: (bar.symbol, sign * bar.start_ns),
        )
        if bar.symbol in symbols
        and start_ns <= bar.start_ns <= end_ns
        and (after is None or (bar.symbol, sign * bar.start_ns) > (after[0], sign * after[1]))
    ]
    return found[:limit]


async def test_a_page_is_what_plain_python_makes_of_the_same_bars(database: Database) -> None:
    chance = random.Random(1)
    rows = [
        make_row(symbol, minute, timeframe, rev=minute % 3, gap=minute == 4)
        for symbol in SYMBOLS[:3]
        for timeframe in Timeframe
        for minute in MINUTES
        if minute % timeframe.minutes == 0 and chance.random() < 0.7
    ]
    store = BarStore(database)
    await store.flush(FlushBatch(rows=rows))
    bars = [row.bar for row in rows]
    queries: list[dict[str, Any]] = []

    @settings(max_examples=250, database=None, deadline=None)
    @given(page_queries)
    def draw(query: dict[str, Any]) -> None:
        queries.append(query)

    draw()

    for query in queries:
        wanted = BarRange(**{name: query[name] for name in query if name != "running_ns"})
        page = await store.page(wanted, running_ns=query.get("running_ns"))
        assert page == oracle(bars, **query), query


@pytest.mark.parametrize("descending", [False, True])
async def test_paging_through_meets_every_bar_once_also_while_bars_are_added(
    store: BarStore, descending: bool
) -> None:
    rows = [make_row(symbol, n) for symbol in ("SIM:A", "SIM:B") for n in range(0, 50, 2)]
    await store.flush(FlushBatch(rows=rows))
    names = [Symbol("SIM:A"), Symbol("SIM:B")]
    met: list[Bar] = []
    after: tuple[Symbol, int] | None = None

    while page := await store.page(
        BarRange(
            symbols=names,
            resolution=Resolution(1),
            start_ns=DAY,
            end_ns=DAY + DAY_NS,
            limit=7,
            descending=descending,
            after=after,
        )
    ):
        met += page
        after = (page[-1].symbol, page[-1].start_ns)
        await store.flush(FlushBatch(rows=[make_row("SIM:A", 1 + 2 * (len(met) % 25))]))

    even = [bar for bar in met if (bar.start_ns - DAY) // MINUTE_NS % 2 == 0]
    assert len(even) == len({(bar.symbol, bar.start_ns) for bar in even}) == len(rows)
    assert len(met) == len({(bar.symbol, bar.start_ns) for bar in met})
