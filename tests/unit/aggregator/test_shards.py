"""ShardState: which blocks of a stream are new, missing or repeated."""

import pytest

from aggregator.shards import ShardState
from core.market.block import BlockMeta, decode_block, encode_block

NEVER_NS = 10**18


def meta(number: int, epoch: int) -> BlockMeta:
    return BlockMeta(number=number, watermark_ns=0, feed_time_ns=0, sealed_ns=0, epoch=epoch)


def test_a_block_published_once_more_is_known_also_after_a_restart() -> None:
    state = ShardState.fresh(0, token=1, keep_ids_ns=NEVER_NS)
    assert not state.is_repeat("sim", meta(7, 3))
    state.fold("sim", "5-0", decode_block(encode_block(meta(7, 3), [])))

    assert state.is_repeat("sim", meta(7, 3))
    assert state.is_repeat("sim", meta(6, 3))
    assert not state.is_repeat("other", meta(7, 3))

    state.skip("sim", "6-0")
    checkpoint = state.take_flush(0).checkpoint
    restored = ShardState.restored(checkpoint, token=2, keep_ids_ns=NEVER_NS)
    assert restored.positions["sim"].entry_id == "6-0"
    assert restored.is_repeat("sim", meta(7, 3))
    assert not restored.is_repeat("sim", meta(8, 3))


@pytest.mark.parametrize(("number", "missing"), [(8, 0), (10, 2), (3, 0)])
def test_another_writer_may_go_on_from_less_than_was_folded(number: int, missing: int) -> None:
    state = ShardState.fresh(0, token=1, keep_ids_ns=NEVER_NS)
    state.fold("sim", "5-0", decode_block(encode_block(meta(7, 3), [])))

    assert not state.is_repeat("sim", meta(number, 4))
    assert state.fold("sim", "6-0", decode_block(encode_block(meta(number, 4), []))) == missing
