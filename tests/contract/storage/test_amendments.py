"""What was said of trades is stored once, with its bars, and goes with the ticks."""

import msgspec
import pytest

from core.market.amended import Sighting
from core.market.bar import Bar, BarRow
from core.market.bar_range import BarRange
from core.market.notice import Cancel, CancelAction, Correction
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from storage import tick_log
from storage.amendments import MOST, drop_amendments
from storage.bars import BarStore
from storage.database import Database
from storage.errors import TickLogError
from storage.rows import FlushBatch, Retold

A, B = Symbol("X:A"), Symbol("X:B")
AT_NS = 1_700_000_000_000_000_000
CORRECTION = Correction(A, AT_NS, 7, 10.0, 2.0, 8, 10.5, 3.0)
CANCEL = Cancel(A, AT_NS + DAY_NS, 7, 10.0, 2.0, Side.SELL, CancelAction.ERROR)
OTHER = Cancel(B, AT_NS, 7, 10.0, 2.0)
SIGHTING = Sighting(A, AT_NS, 7, AT_NS - DAY_NS)


def tick(ident: int) -> Tick:
    return Tick(A, ident, 10.0, 2.0, AT_NS + ident, Side.BUY, ident)


def row(start_ns: int, *, trades: int, rev: int = 0) -> BarRow:
    values = (5.0, 5.0, 5.0, 5.0, float(trades), trades, 5.0 if trades else 0.0)
    bar = Bar(A, Timeframe.MIN_1, start_ns, *values, rev)
    return BarRow(bar, (1, 1), (1, 1), (float(trades),), (float(trades),))


@pytest.fixture
def store(database: Database) -> BarStore:
    return BarStore(database)


async def test_what_was_said_is_kept_once_and_found_by_its_symbol(store: BarStore) -> None:
    log = store.tick_log(shards=4)
    await store.flush(FlushBatch(amendments=[CORRECTION, CANCEL, OTHER, SIGHTING]))
    await store.flush(FlushBatch(amendments=[CANCEL, CORRECTION]))

    found = await log.amendments(A)
    assert len(found) == 3
    assert set(found) == {CORRECTION, CANCEL, SIGHTING}
    assert await log.amendments(B) == [OTHER]
    assert await log.amendments(Symbol("X:C")) == []


async def test_what_another_program_wrote_is_refused_in_words(
    store: BarStore, database: Database
) -> None:
    payload = msgspec.msgpack.encode([["other", "X:A", 1]])
    await database.fetch(
        "write", "INSERT INTO amendments VALUES ('X:A', 1, 1, %s) RETURNING 1", [payload]
    )

    with pytest.raises(TickLogError, match="an amendment of X:A cannot be read"):
        await store.tick_log(shards=4).amendments(A)


async def test_of_too_many_the_newest_are_found_and_it_is_said_once(
    store: BarStore, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    insert = """
        INSERT INTO amendments SELECT 'X:A', said, said, %s FROM generate_series(%s, %s) said
    """
    payload = msgspec.msgpack.encode((CANCEL,))

    def said() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name == tick_log.__name__]

    first_ns, last_ns = AT_NS + 1, AT_NS + MOST
    await database.fetch("insert", insert, [payload, first_ns, last_ns])
    log = store.tick_log(shards=4)

    assert len(await log.amendments(A)) == MOST
    assert not said()
    await store.flush(FlushBatch(amendments=[CORRECTION, OTHER]))
    for _ in range(2):
        found = await log.amendments(A)
        assert len(found) == MOST
        assert CORRECTION not in found  # it is the oldest
    assert await log.amendments(B) == [OTHER]

    (warned,) = said()
    assert warned.startswith("X:A: more than 10000 corrections and cancels are logged; those said ")


async def test_it_goes_by_age(store: BarStore, database: Database) -> None:
    await store.flush(FlushBatch(amendments=[CORRECTION, CANCEL]))

    await drop_amendments(database, AT_NS + 1)

    assert await store.tick_log(shards=4).amendments(A) == [CANCEL]


async def test_a_last_trade_is_replaced_where_it_is_the_last_still(store: BarStore) -> None:
    async def last() -> Tick | None:
        (found,) = await store.symbols()
        return found.last_trade

    await store.flush(FlushBatch(last_trades=[tick(5)]))
    await store.flush(FlushBatch(retold=[Retold(A, 4, tick(3)), Retold(B, 5, tick(3))]))
    assert await last() == tick(5)
    await store.flush(FlushBatch(retold=[Retold(A, 5, tick(3))], last_trades=[tick(3)]))
    assert await last() == tick(3)
    await store.flush(FlushBatch(retold=[Retold(A, 3, None)]))
    assert await last() is None
    await store.flush(FlushBatch(last_trades=[tick(1)]))

    assert await last() == tick(1)


async def test_a_bar_without_trades_is_shown_to_nobody_but_its_writer(store: BarStore) -> None:
    day_ns = AT_NS // DAY_NS * DAY_NS
    await store.flush(FlushBatch(rows=[row(day_ns, trades=2), row(day_ns + MINUTE_NS, trades=1)]))
    await store.flush(FlushBatch(rows=[row(day_ns + MINUTE_NS, trades=0, rev=1)]))
    span = {"resolution": Resolution(1), "start_ns": day_ns, "end_ns": day_ns + DAY_NS}

    for symbols in ([A], [A, B]):
        for descending in (False, True):
            wanted = BarRange(symbols=symbols, limit=9, descending=descending, **span)
            page = await store.page(wanted)
            assert [bar.start_ns for bar in page] == [day_ns]
    assert (await store.latest([A], Timeframe.MIN_1))[A].start_ns == day_ns
    assert (await store.day_bars([A], day_ns))[A].trades == 2
    assert await store.newest_windows([A, B]) == {A: day_ns + MINUTE_NS}
    (found,) = await store.load_rows([(A, Timeframe.MIN_1, day_ns + MINUTE_NS)])
    assert (found.bar.trades, found.bar.rev) == (0, 1)
