"""The tick log, on PostgreSQL and on TimescaleDB."""

from collections.abc import Sequence

import pytest

from core.market.block import BlockMeta, decode_block, encode_block
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import DAY_NS, MINUTE_NS
from storage.bars import BarStore, Checkpoint, FlushBatch
from storage.chores import Chores
from storage.database import Database
from storage.errors import StaleOwner
from storage.keys import shard_of
from storage.log_retention import LogRetention, log_bytes, tend_log
from storage.rows import LoggedTicks
from storage.tick_codec import encode_slots
from storage.tick_log import FlushId, TickLog
from tests.contract.storage.market import DAY, own

A, B = Symbol("SIM:A"), Symbol("SIM:B")
SHARDS = 4
SHARD = shard_of(A, SHARDS)
LATER = 2**63 - 1


def tick(at_ns: int, number: int, *, symbol: Symbol = A, trade_id: int | None = None) -> Tick:
    return Tick(symbol, number if trade_id is None else trade_id, 1.5 + number, 0.1, DAY + at_ns)


def flush(
    number: int, ticks: Sequence[Tick], *, token: int = 1, start: int = -(2**63)
) -> FlushBatch:
    """A flush of shard SHARD that folded *ticks*."""
    meta = BlockMeta(number=1, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
    parts = [
        decode_block(encode_block(meta, ticks[at : at + 1000])) for at in range(0, len(ticks), 1000)
    ]
    log = [LoggedTicks(SHARD, token, number, slot) for slot in encode_slots(parts)]
    checkpoints = [Checkpoint(SHARD, token, number, b"", b"")]
    return FlushBatch(checkpoints=checkpoints, log=log, covered={SHARD: start})


async def read(log: TickLog, symbol: Symbol = A, start: int = 0, end: int = LATER) -> list[Tick]:
    return [tick async for tick in log.ticks(symbol, start, end)]


@pytest.fixture(autouse=True)
async def owned(database: Database) -> None:
    await own(database, {SHARD: 1})


@pytest.fixture
def log(database: Database) -> TickLog:
    return TickLog(database, shards=SHARDS)


async def test_ticks_are_read_in_order_of_events_then_of_arrival(
    database: Database, log: TickLog
) -> None:
    store = BarStore(database)
    minute = [tick(30_000, 0), tick(10_000, 1), tick(10_000, 2, trade_id=-5)]
    await store.flush(flush(1, minute))
    late = [tick(10_000, 3), tick(-DAY_NS, 4), tick(10 * MINUTE_NS, 5)]
    await store.flush(flush(2, late))

    assert await read(log) == [late[1], minute[1], minute[2], late[0], minute[0], late[2]]
    assert await read(log, start=DAY + 10_000, end=DAY + 30_000) == [minute[1], minute[2], late[0]]
    assert await read(log, start=DAY + 10_001, end=DAY + 10_000) == []
    assert await read(log, B) == []


async def test_a_flush_that_is_repeated_logs_its_ticks_once(
    database: Database, log: TickLog
) -> None:
    store, ticks = BarStore(database), [tick(n * MINUTE_NS, n) for n in range(20)]
    await store.flush(flush(1, ticks))
    await store.flush(flush(1, ticks))

    assert await read(log) == ticks


async def test_a_flush_that_is_refused_logs_nothing(database: Database, log: TickLog) -> None:
    store = BarStore(database)
    await own(database, {SHARD: 2})
    await store.flush(flush(1, [tick(0, 0)], token=2))

    with pytest.raises(StaleOwner):
        await store.flush(flush(9, [tick(1, 1)], token=1))

    assert await read(log) == [tick(0, 0)]


async def test_a_range_of_many_flushes_is_read_page_by_page(
    database: Database, log: TickLog
) -> None:
    store = BarStore(database)
    ticks = [tick(n * 7 * 10**9, n, symbol=A if n % 3 else B) for n in range(150)]
    for number in range(50):
        await store.flush(flush(number, ticks[number * 3 : number * 3 + 3]))

    assert await read(log) == [t for t in ticks if t.symbol == A]
    slots = [slot async for slot in log.slots(A, DAY, LATER, without=frozenset({FlushId(1, 7)}))]
    assert [len({t.event_ns // (5 * MINUTE_NS) for t in slot}) for slot in slots] == [1] * 4
    assert [t for slot in slots for t in slot] == [
        t for n, t in enumerate(ticks) if t.symbol == A and n // 3 != 7
    ]


async def test_the_log_says_from_when_on_it_is_complete(database: Database, log: TickLog) -> None:
    store = BarStore(database)
    assert await log.covered_from(A) is None
    await store.flush(flush(1, [], start=DAY))
    await store.flush(flush(2, [], start=DAY + DAY_NS))  # an aggregator that started again
    assert await log.covered_from(A) == DAY

    await store.flush(FlushBatch(covered={SHARD: None}))  # one that logs nothing

    assert await log.covered_from(A) is None


async def test_old_ticks_go_by_age_and_are_covered_no_more(
    database: Database, log: TickLog
) -> None:
    store, retention = BarStore(database), LogRetention(database)
    await retention.drop_older(DAY_NS)
    ticks = [tick(day * DAY_NS + 5, day) for day in range(6)]
    await store.flush(flush(1, ticks))

    await retention.drop_older(2 * DAY_NS)

    assert await read(log) == ticks[3:]
    assert await log.covered_from(A) == DAY + 3 * DAY_NS

    await retention.drop_older(0)

    assert (await read(log), await log.covered_from(A)) == ([], None)


async def test_over_its_cap_the_log_gives_up_its_oldest_ticks(
    database: Database, log: TickLog
) -> None:
    store, retention = BarStore(database), LogRetention(database)
    await retention.drop_older(0)  # its files have the size that others before left them
    ticks = [tick(n * 10**9, n * 7919 % 1009) for n in range(40_000)]
    for number in range(40):
        await store.flush(flush(number, ticks[number * 1000 : number * 1000 + 1000]))
    size = await log_bytes(database)
    await retention.prune(size)
    assert await read(log) == ticks

    await retention.prune(size // 3)

    left = await read(log)
    assert 0 < len(left) < len(ticks) // 2
    assert left == ticks[-len(left) :]
    assert await log.covered_from(A) == left[0].event_ns - left[0].event_ns % (5 * MINUTE_NS)
    await retention.prune(1)
    assert await read(log) == ticks[-(len(ticks) % 300 or 300) :]  # the newest five minutes stay


async def test_upkeep_is_done_once_a_day_and_without_a_log_empties_it(
    database: Database, log: TickLog
) -> None:
    store, retention, chores = BarStore(database), LogRetention(database), Chores(database)
    ticks = [tick(day * DAY_NS, day) for day in range(4)]
    await store.flush(flush(1, ticks))

    await tend_log(retention, chores, keep_ns=DAY_NS, max_bytes=0)
    assert await read(log) == ticks[2:]
    await tend_log(retention, chores, keep_ns=0, max_bytes=1)

    assert await read(log) == ticks[2:]  # done today already
