"""Blocks read back as they were written, and nothing that is read breaks the reader."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from core.market.block import BlockMeta, decode_block, decode_meta, encode_block
from core.market.errors import BlockError
from core.market.notice import Cancel, Correction, Gap, GapState
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick

int64s = st.one_of(st.sampled_from([0, 1, -1, 2**63 - 1, NO_ID]), st.integers(-(2**63), 2**63 - 1))
positions = st.integers(0, 2**64 - 1)
symbols = st.sampled_from(["SIM:A", "SIM:B", "X:1", "COINBASE:BTC-USD"]).map(Symbol)
numbers = st.floats(allow_nan=False)
ticks = st.builds(Tick, symbols, int64s, numbers, numbers, int64s, st.sampled_from(Side), int64s)
states = st.from_type(GapState)
gaps = st.builds(Gap, symbols, states, int64s, int64s, int64s, int64s)
corrections = st.builds(
    Correction, symbols, int64s, int64s, numbers, numbers, int64s, numbers, numbers
)
cancels = st.builds(Cancel, symbols, int64s, int64s, numbers, numbers, st.from_type(Side))
metas = st.builds(
    BlockMeta,
    number=positions,
    watermark_ns=int64s,
    feed_time_ns=int64s,
    sealed_ns=int64s,
    position=positions,
    end=st.booleans(),
    notices=st.lists(gaps | corrections | cancels, max_size=3).map(tuple),
)


@given(metas, st.lists(ticks, max_size=8))
def test_a_block_reads_back_as_it_was_written(meta: BlockMeta, written: list[Tick]) -> None:
    payload = encode_block(meta, written)
    block = decode_block(payload)

    assert decode_meta(payload) == block.meta == meta
    assert block.ticks() == written
    assert len(block) == len(written)
    assert set(block.symbols) == {tick.symbol for tick in written}


@given(metas, st.lists(ticks, max_size=4), st.data())
def test_a_damaged_block_is_refused_or_read_but_never_breaks_the_reader(
    meta: BlockMeta, written: list[Tick], data: st.DataObject
) -> None:
    payload = bytearray(encode_block(meta, written))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(payload[: data.draw(st.integers(0, len(payload)))])

    with contextlib.suppress(BlockError):
        decode_block(damaged).ticks()
