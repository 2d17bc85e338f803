"""Blocks that are read together hold what they hold one by one."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.market.block import BlockMeta, decode_block, decode_blocks, encode_block
from core.market.errors import BlockError
from core.market.symbol import Symbol
from core.market.tick import Side, Tick

ticks = st.builds(
    Tick,
    st.sampled_from([Symbol(f"X:{letter}") for letter in "ABCDE"]),
    st.integers(0, 3),
    st.floats(0.1, 9.9),
    st.just(1.5),
    st.integers(0, 10**18),
    st.sampled_from(Side),
    st.integers(0, 3),
)
payloads = st.lists(
    st.builds(
        lambda number, some: encode_block(
            BlockMeta(number=number, watermark_ns=1, feed_time_ns=2, sealed_ns=3), some
        ),
        st.integers(0, 9),
        st.lists(ticks, max_size=6),
    ),
    max_size=6,
)


@given(payloads)
def test_blocks_together(found: list[bytes]) -> None:
    blocks = [decode_block(payload) for payload in found]

    said, together = decode_blocks(found)

    assert said == [(block.meta, len(block)) for block in blocks]
    assert together.ticks() == [tick for block in blocks for tick in block.ticks()]
    assert len(set(together.symbols)) == len(together.symbols)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda whole: b"\x09" + whole[1:], "format version 9"),
        (lambda whole: whole[:70], "bytes cannot hold 2 ticks"),
        (lambda whole: whole + b"\nX:Z", "3 symbol names, expected 2"),
        (lambda whole: whole[:-8] + b"\x07" + whole[-7:], "side 7"),
        (lambda whole: whole[:-13] + struct.pack("<H", 2) + whole[-11:], "has no symbol"),
    ],
)
def test_one_that_cannot_be_read_spoils_all(spoil: object, reason: str) -> None:
    meta = BlockMeta(number=1, watermark_ns=1, feed_time_ns=2, sealed_ns=3)
    two = [Tick(Symbol(name), 1, 1.5, 2.5, 10, Side.BUY, 1) for name in ("X:A", "X:B")]
    whole = encode_block(meta, two)
    assert callable(spoil)

    with pytest.raises(BlockError, match=reason):
        decode_blocks([whole, spoil(whole), whole])
    assert len(decode_blocks([whole, whole])[1]) == 4
