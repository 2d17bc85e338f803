"""TradePages on PostgreSQL and on TimescaleDB: logged trades, page by page."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market.amended import Amendment
from core.market.block import BlockMeta, decode_block, encode_block
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from core.market.timeframe import DAY_NS, MINUTE_NS
from storage.bars import BarStore, Checkpoint, FlushBatch
from storage.database import Database
from storage.keys import shard_of
from storage.rows import LoggedTicks
from storage.tick_codec import encode_slots
from storage.trade_order import TradeCursor
from storage.trade_pages import TradePages
from tests.contract.storage.market import DAY, own

SHARDS = 1  # all symbols are in one
A, B = Symbol("SIM:A"), Symbol("SIM:B")
MINUTES = (-6, -1, 0, 3, 5, 21, 300)  # in slots of their own, or together


def tick(minute: int, number: int, *, symbol: Symbol = A, trade_id: int | None = None) -> Tick:
    at = DAY + minute * MINUTE_NS
    return Tick(symbol, number if trade_id is None else trade_id, 1.5 + number, 0.1, at, seq=number)


async def fold(
    db: Database, number: int, ticks: Sequence[Tick], amendments: Sequence[Amendment] = ()
) -> None:
    """A flush that folded *ticks*, or made *amendments*."""
    meta = BlockMeta(number=1, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
    slots = encode_slots([decode_block(encode_block(meta, ticks))]) if ticks else []
    batch = FlushBatch(
        checkpoints=[Checkpoint(0, 1, number, b"", b"")],
        log=[LoggedTicks(0, 1, number, slot) for slot in slots],
        covered={0: DAY - DAY_NS},
        amendments=amendments,
    )
    await BarStore(db).flush(batch)


@pytest.fixture(autouse=True)
async def owned(database: Database) -> None:
    await own(database, {0: 1})


@pytest.fixture
def pages(database: Database) -> TradePages:
    return TradePages(database, shards=SHARDS)


def ordered(ticks: Sequence[Tick], descending: bool) -> list[Tick]:
    """By symbol, then (time, seq, id); trades that are alike in order of arrival, either way."""
    found = list(ticks)
    found.sort(key=lambda t: (t.event_ns, t.seq, t.trade_id), reverse=descending)
    found.sort(key=lambda t: t.symbol)
    return found


async def test_pages_of_any_size_have_every_trade_once_in_order(
    database: Database, pages: TradePages
) -> None:
    assert shard_of(A, SHARDS) == 0
    first = [tick(m, n, symbol=s) for n, m in enumerate(MINUTES) for s in (B, A)]
    first += [tick(m, m, symbol=B) for m in range(30, 300, 5)]  # slots in which A has none
    second = [tick(m, 3, trade_id=NO_ID) for m in (3, 3, 0, 3)]  # three that nothing tells apart
    await fold(database, 1, first)
    await fold(database, 2, second)
    queries: list[dict[str, Any]] = []

    @settings(max_examples=30, database=None, deadline=None)
    @given(
        st.fixed_dictionaries(
            {
                "symbols": st.lists(st.sampled_from([A, B, Symbol("SIM:C")]), max_size=3),
                "start_ns": st.sampled_from([-1, 0, *(DAY + m * MINUTE_NS for m in MINUTES)]),
                "end_ns": st.sampled_from([0, *(DAY + m * MINUTE_NS for m in MINUTES), 2**63 - 1]),
                "descending": st.booleans(),
                "limit": st.integers(1, 5) | st.just(100),
            }
        )
    )
    def draw(query: dict[str, Any]) -> None:
        queries.append(query)

    draw()
    for query in queries:
        found: list[Tick] = []
        after: TradeCursor | None = None
        for _ in range(80):
            page = await pages.page(**query, after=after)
            found += page.trades
            assert len(page.trades) == query["limit"] or page.after is None
            after = page.after
            if after is None:
                break

        expected = [
            t
            for t in [*first, *second]
            if t.symbol in query["symbols"] and query["start_ns"] <= t.event_ns <= query["end_ns"]
        ]
        assert found == ordered(expected, query["descending"]), query


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_trades_that_nothing_tells_apart_at_the_end_of_a_symbol_come_once(
    database: Database, pages: TradePages, descending: bool, limit: int
) -> None:
    alike = [tick(0, 1, trade_id=NO_ID), tick(0, 1, trade_id=NO_ID)]
    await fold(database, 1, [*alike, tick(0, 1, symbol=B), tick(0, 1, symbol=B)])
    query = {"symbols": [A, B], "start_ns": 0, "end_ns": 2**63 - 1, "descending": descending}
    found: list[Tick] = []
    after: TradeCursor | None = None

    for _ in range(8):
        page = await pages.page(**query, limit=limit, after=after)
        found += page.trades
        after = page.after
        if after is None:
            break

    assert [t.symbol for t in found] == [A, A, B, B]


@pytest.mark.parametrize("descending", [False, True])
async def test_trades_that_come_between_pages_neither_repeat_nor_hide_others(
    database: Database, pages: TradePages, descending: bool
) -> None:
    some = [tick(m, 1, trade_id=NO_ID) for m in (0, 3, 3, 3, 5, 21)]
    await fold(database, 1, some)
    query = {"symbols": [A], "start_ns": 0, "end_ns": 2**63 - 1, "descending": descending}

    first = await pages.page(**query, limit=3)  # ends among the three that are alike
    late = [tick(3, 1, trade_id=NO_ID), tick(-1, 1, trade_id=NO_ID), tick(300, 1, trade_id=NO_ID)]
    await fold(database, 2, late)
    rest = await pages.page(**query, limit=100, after=first.after)

    minutes = [(t.event_ns - DAY) // MINUTE_NS for t in [*first.trades, *rest.trades]]
    assert minutes == ([21, 5, 3, 3, 3, 3, 0, -1] if descending else [0, 3, 3, 3, 3, 5, 21, 300])


async def test_corrected_and_cancelled_trades_are_as_they_now_are(
    database: Database, pages: TradePages
) -> None:
    await fold(database, 1, [tick(0, 1), tick(0, 2), tick(3, 3), tick(0, 2, symbol=B)])
    said = [
        Correction(A, DAY + MINUTE_NS, 1, 2.5, 0.1, 9, 7.25, 0.5),
        Cancel(A, DAY + MINUTE_NS, 2, 3.5, 0.1),
    ]
    await fold(database, 2, [], said)

    page = await pages.page(symbols=[A, B], start_ns=0, end_ns=2**63 - 1, limit=10)

    assert [(t.symbol, t.trade_id, t.price, t.size) for t in page.trades] == [
        (A, 9, 7.25, 0.5), (A, 3, 4.5, 0.1), (B, 2, 3.5, 0.1)]  # fmt: skip
    assert page.after is None


@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_ends_after_a_day_of_log_and_leads_on(
    database: Database, pages: TradePages, descending: bool
) -> None:
    quiet = [tick(5 * n, n, symbol=B) for n in range(300)]  # each in a slot of its own
    await fold(database, 1, [*quiet, tick(0, 1), tick(5 * 299, 2)])
    query = {"symbols": [A], "start_ns": 0, "end_ns": 2**63 - 1, "descending": descending}

    first = await pages.page(**query, limit=10)
    second = await pages.page(**query, limit=10, after=first.after)

    ids = [2, 1] if descending else [1, 2]
    assert [t.trade_id for t in first.trades] == ids[:1]
    assert [t.trade_id for t in second.trades] == ids[1:]
    assert second.after is None


async def test_it_is_told_from_which_time_on_the_log_has_everything(
    database: Database, pages: TradePages
) -> None:
    assert await pages.covered_from([A, B]) == {}

    await fold(database, 1, [tick(0, 1)])

    assert await pages.covered_from([A]) == {A: DAY - DAY_NS}


@pytest.mark.parametrize("descending", [False, True])
async def test_a_corrected_trade_does_not_depend_on_where_a_range_begins(
    database: Database, pages: TradePages, descending: bool
) -> None:
    later = Tick(A, 2, 3.5, 1.0, DAY + 30 * 10**9, seq=2)  # of one minute: the two are one trade
    corrected = Correction(A, DAY + 40 * 10**9, 1, 2.5, 0.1, 2, 3.5, 1.0)
    await fold(database, 1, [tick(0, 1), later])
    await fold(database, 2, [], [corrected])

    async def ids(start_ns: int, end_ns: int) -> list[int]:
        page = await pages.page(
            symbols=[A], start_ns=start_ns, end_ns=end_ns, limit=9, descending=descending
        )
        return [t.trade_id for t in page.trades]

    assert await ids(DAY, DAY + MINUTE_NS) == [2]
    assert await ids(DAY, DAY) == [2]
    assert await ids(DAY + 1, DAY + MINUTE_NS) == []
