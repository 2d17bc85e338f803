"""Blocks that piled up are joined, unless something about them needs a closer look."""

from typing import NamedTuple

import pytest

from aggregator.joined import MOST_BYTES, join, runs
from aggregator.shards import ShardState
from core.market.block import BlockMeta, decode_block, encode_block
from core.market.notice import Cancel
from core.market.symbol import Symbol
from core.market.tick import Tick

NEVER_NS = 10**18
CANCEL = Cancel(Symbol("X:A"), 1, 1, 1.0, 1.0)


class Entry(NamedTuple):
    key: str
    payload: bytes


def tick(number: int) -> Tick:
    return Tick(Symbol(f"X:{'AB'[number % 2]}"), number, 1.0 + number, 2.0, 10**9 * number)


def block(number: int, *, epoch: int = 1, end: bool = False, cancels: bool = False) -> bytes:
    meta = BlockMeta(
        number=number,
        epoch=epoch,
        watermark_ns=10 - number,
        feed_time_ns=20 + number,
        sealed_ns=30 + number,
        position=40 + number,
        end=end,
        notices=(CANCEL,) if cancels else (),
    )
    return encode_block(meta, [tick(2 * number), tick(2 * number + 1)])


def test_joined_blocks_have_all_ticks_and_end_where_the_last_one_does() -> None:
    found = join([block(7), block(8), block(9, end=True)])

    assert found is not None
    assert found.first == decode_block(block(7)).meta
    assert found.block.ticks() == [tick(number) for number in range(14, 20)]
    meta = found.block.meta
    assert (meta.number, meta.position, meta.end, meta.sealed_ns) == (9, 49, True, 39)
    assert (meta.watermark_ns, meta.feed_time_ns) == (3, 29)  # the furthest of all


@pytest.mark.parametrize(
    "payloads",
    [
        [block(7), block(9)],
        [block(7), block(7)],
        [block(7), block(8, epoch=2)],
        [block(7, cancels=True), block(8)],
        [block(7), b"no block"],
    ],
    ids=["one is missing", "a repeat", "another writer", "notices", "no block"],
)
def test_blocks_that_need_a_closer_look_are_not_joined(payloads: list[bytes]) -> None:
    assert join(payloads) is None


def test_runs_are_of_one_stream_each_and_bounded() -> None:
    half = bytes(MOST_BYTES // 2)
    a, b = Entry("a", half), Entry("b", b"")

    assert runs([]) == []
    assert runs([b, a, a, a, b, b, a]) == [[b], [a, a], [a], [b, b], [a]]


def test_only_what_comes_right_after_the_newest_block_of_the_same_writer_is_next() -> None:
    state = ShardState.fresh(0, token=1, keep_ids_ns=NEVER_NS)
    assert not state.is_next("sim", decode_block(block(1)).meta)
    state.fold("sim", "5-0", decode_block(block(7)))

    assert state.is_next("sim", decode_block(block(8)).meta)
    assert not state.is_next("sim", decode_block(block(9)).meta)
    assert not state.is_next("sim", decode_block(block(8, epoch=2)).meta)
    assert not state.is_next("other", decode_block(block(8)).meta)


def test_of_joined_blocks_none_is_missing() -> None:
    state = ShardState.fresh(0, token=1, keep_ids_ns=NEVER_NS)
    state.fold("sim", "5-0", decode_block(block(7)))
    payloads = [block(8), block(9), block(10)]
    found = join(payloads)
    assert found is not None

    assert state.fold("sim", "8-0", found.block, payloads=payloads) == 0
    assert state.is_next("sim", decode_block(block(11)).meta)
    assert state.fold("sim", "9-0", decode_block(block(13))) == 2
