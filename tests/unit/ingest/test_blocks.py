import pytest

from core.market.block import BlockMeta, decode_block
from core.market.notice import Cancel
from core.market.symbol import Symbol
from core.market.tick import Tick
from ingest.blocks import END_OF_TIME, MAX_BATCH, Moment, ShardBlocks
from ingest.feed_clock import NEVER
from storage.keys import shard_of
from tests.unit.ingest.ticks import START_NS, S, tick

GRACE_NS = 2 * S


def blocks_for(shards: int = 1, resume: dict[int, BlockMeta] | None = None) -> ShardBlocks:
    return ShardBlocks(shards=shards, resume=resume or {}, grace_ns=GRACE_NS)


def at(after_s: float) -> Moment:
    return Moment(START_NS + round(after_s * S), round(after_s * S), 77)


def meta(number: int, position: int, *, after_s: float = 0.0, end: bool = False) -> BlockMeta:
    time_ns = START_NS + round(after_s * S)
    return BlockMeta(
        number=number, watermark_ns=time_ns - GRACE_NS, feed_time_ns=time_ns, sealed_ns=0,
        position=position, end=end,
    )  # fmt: skip


def test_a_block_says_its_number_watermark_feed_time_and_position() -> None:
    blocks = blocks_for()
    blocks.add([tick(1)], position=10, now=at(1))

    (sealed,) = blocks.take(at(3), idle_ns=S)

    assert decode_block(sealed.payload).meta == BlockMeta(
        number=1, watermark_ns=START_NS + S, feed_time_ns=START_NS + 3 * S, sealed_ns=77,
        position=10,
    )  # fmt: skip
    assert (sealed.shard, sealed.number, sealed.ticks) == (0, 1, 1)
    assert decode_block(sealed.payload).ticks() == [tick(1)]


def test_an_idle_shard_gets_an_empty_block_and_a_busy_one_does_not() -> None:
    blocks = blocks_for(2)
    shard = shard_of("X:A", 2)
    assert len(blocks.take(at(1), idle_ns=S)) == 2
    blocks.add([tick(1.5)], position=0, now=at(1.5))
    assert [block.shard for block in blocks.take(at(1.5), idle_ns=S)] == [shard]

    idle = blocks.take(at(2), idle_ns=S)

    assert [(block.shard, block.ticks) for block in idle] == [(1 - shard, 0)]
    assert blocks.take(at(2), idle_ns=S) == []


def test_the_watermark_never_moves_back() -> None:
    blocks = blocks_for()
    first = blocks.take(at(10), idle_ns=0)
    second = blocks.take(at(5)._replace(monotonic_ns=11 * S), idle_ns=0)
    third = blocks.take(Moment(NEVER, 12 * S, 0), idle_ns=0)

    marks = [decode_block(b.payload).meta.watermark_ns for b in (*first, *second, *third)]
    assert marks == [START_NS + 8 * S] * 3


def test_a_block_is_sealed_before_a_batch_that_may_not_fit_with_what_was_known_then() -> None:
    blocks = blocks_for()
    for n in range(1, 6):
        batch = [tick(n, trade_id=1000 * n + k) for k in range(MAX_BATCH)]
        blocks.add(batch, position=n * MAX_BATCH, now=at(n))
    assert blocks.waiting == 5 * MAX_BATCH

    full, rest = blocks.take(at(9), idle_ns=S)

    assert (full.ticks, rest.ticks) == (1_000, MAX_BATCH)
    sealed = decode_block(full.payload).meta
    assert (sealed.position, sealed.feed_time_ns) == (1_000, START_NS + 4 * S)
    assert (full.number, rest.number) == (1, 2)
    assert blocks.waiting == 0


def test_after_a_restart_each_shard_goes_on_where_its_own_stream_ends() -> None:
    ahead, behind = shard_of("X:A", 2), 1 - shard_of("X:A", 2)
    other = next(f"X:{c}" for c in "BCDEFGH" if shard_of(f"X:{c}", 2) == behind)
    blocks = blocks_for(2, {ahead: meta(7, 3, after_s=9), behind: meta(5, 1)})
    assert (blocks.position, blocks.catch_up_until) == (1, 3)

    for row, name in enumerate(("X:A", other, "X:A", other), start=2):
        blocks.add([tick(row, symbol=name, trade_id=row)], position=row, now=at(row))
    taken = {block.shard: block for block in blocks.take(at(5), idle_ns=10 * S)}

    assert [t.trade_id for t in decode_block(taken[ahead].payload).ticks()] == [4]
    assert [t.trade_id for t in decode_block(taken[behind].payload).ticks()] == [3, 5]
    assert (taken[ahead].number, taken[behind].number) == (8, 6)
    assert decode_block(taken[behind].payload).meta.watermark_ns == START_NS + 7 * S


def test_a_shard_that_was_ahead_does_not_write_a_smaller_position() -> None:
    blocks = blocks_for(1, {0: meta(7, 3)})
    partial = blocks_for(2, {0: meta(7, 3)})

    assert blocks.position == 3
    assert partial.position == 0  # the other shard has nothing yet
    positions = {
        b.shard: decode_block(b.payload).meta.position for b in partial.take(at(1), idle_ns=0)
    }
    assert positions == {0: 3, 1: 0}  # fmt: skip


def test_the_end_is_put_on_every_shard_that_has_none() -> None:
    blocks = blocks_for(2, {0: meta(3, 9, end=True), 1: meta(2, 8)})
    assert not blocks.ended

    blocks.end(at(1))

    (end,) = blocks.take(at(1), idle_ns=0)
    assert (end.shard, decode_block(end.payload).meta.watermark_ns) == (1, END_OF_TIME)
    assert decode_block(end.payload).meta.end
    assert blocks.ended
    assert blocks.take(at(100), idle_ns=0) == []


def test_a_feed_whose_shards_all_have_their_end_is_over() -> None:
    assert blocks_for(1, {0: meta(3, 9, end=True)}).ended


@pytest.mark.parametrize("names", [60_000])
def test_any_number_of_symbols_is_routed_in_bounded_memory(names: int) -> None:
    blocks = blocks_for(2)

    for first in range(0, names, MAX_BATCH):
        span = range(first, first + MAX_BATCH)
        blocks.add([tick(symbol=f"X:{n}") for n in span], position=0, now=at(0))

    assert blocks.waiting == names
    assert len(blocks._routes) <= 50_000


def test_notices_stand_behind_what_came_before_them_on_the_shard_of_their_symbol() -> None:
    blocks = blocks_for(2)
    symbols = [Symbol(f"SIM:S{number}") for number in range(8)]
    ticks = [Tick(symbol, 1, 1.0, 1.0, START_NS) for symbol in symbols]

    blocks.add(ticks, position=8, now=at(0))
    blocks.tell([Cancel(symbol, START_NS, 1, 1.0, 1.0) for symbol in symbols], now=at(0))
    blocks.add(ticks[:1], position=9, now=at(0))
    read = [decode_block(sealed.payload) for sealed in blocks.take(at(0), idle_ns=10 * S)]

    told = [block for block in read if block.meta.notices]
    assert len(told) == 2
    assert len(read) == 3
    for block in told:
        assert {notice.symbol for notice in block.meta.notices} == set(block.symbols)
        assert len(block.meta.notices) == len(block)
