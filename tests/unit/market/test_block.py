"""Blocks: what is refused. That they read back as written is a property test."""

import struct

import pytest
from msgspec import structs

from core.market.block import (
    MAX_TICKS,
    BlockMeta,
    decode_block,
    decode_blocks,
    decode_meta,
    encode_block,
    has_notices,
)
from core.market.errors import BlockError
from core.market.notice import Cancel, Correction, Gap, GapState
from core.market.symbol import Symbol
from core.market.tick import Side, Tick

META = BlockMeta(number=7, watermark_ns=-1, feed_time_ns=2, sealed_ns=3, position=4, end=True)
TICKS = [
    Tick(Symbol("SIM:A"), 1, 1.5, 2.5, 10, Side.BUY, 1),
    Tick(Symbol("SIM:B"), 2, 3.5, 4.5, 11, Side.SELL, 2),
]
HEADER = 56


def test_an_empty_block_carries_only_its_meta() -> None:
    payload = encode_block(META, [])

    assert len(payload) == HEADER
    assert decode_meta(payload) == META
    assert len(decode_block(payload)) == 0
    assert decode_block(payload).ticks() == []


def test_the_order_column_is_left_out_where_it_is_the_trade_id() -> None:
    apart = [Tick(Symbol("SIM:A"), 1, 1.5, 2.5, 10, Side.BUY, 9)]

    assert len(encode_block(META, apart)) == len(encode_block(META, TICKS[:1])) + 8
    assert decode_block(encode_block(META, apart)).ticks() == apart
    assert decode_block(encode_block(META, TICKS)).ticks() == TICKS


NOTICES = (
    Gap(Symbol("SIM:A"), GapState.OPEN, 10, 20, 5, 7),
    Correction(Symbol("SIM:B"), 30, 2, 3.5, 4.5, 8, 3.25, 4.0),
    Cancel(Symbol("SIM:A"), 31, 1, 1.5, 2.5, Side.BUY),
)
TOLD = structs.replace(META, notices=NOTICES)


@pytest.mark.parametrize("ticks", [[], TICKS])
def test_notices_come_with_a_block_and_stand_behind_its_ticks(ticks: list[Tick]) -> None:
    payload = encode_block(TOLD, ticks)

    assert decode_meta(payload) == TOLD
    assert decode_block(payload).ticks() == ticks
    ((meta, count),), together = decode_blocks([payload])
    assert (meta, count, together.ticks()) == (TOLD, len(ticks), ticks)


def test_whether_a_block_has_notices_shows_without_reading_it() -> None:
    assert has_notices(encode_block(TOLD, []))
    assert not has_notices(encode_block(META, []))
    assert not has_notices(b"")


def test_notices_that_are_cut_or_unknown_are_refused() -> None:
    payload = encode_block(TOLD, TICKS)
    unknown = encode_block(META, [])[:1] + b"\x06" + encode_block(META, [])[2:]

    with pytest.raises(BlockError, match="cannot hold"):
        decode_meta(payload[:-4] + b"\xff\xff\xff\x00")
    with pytest.raises(BlockError, match="notices cannot be read"):
        decode_meta(unknown + b"\x91\xc0" + b"\x02\x00\x00\x00")


def test_more_ticks_than_a_block_holds_are_refused() -> None:
    assert len(decode_block(encode_block(META, TICKS[:1] * MAX_TICKS))) == MAX_TICKS
    with pytest.raises(ValueError, match="expected at most 1000"):
        encode_block(META, TICKS[:1] * (MAX_TICKS + 1))


@pytest.mark.parametrize("length", [0, 1, HEADER - 1])
def test_less_than_a_header_is_refused(length: int) -> None:
    payload = encode_block(META, TICKS)[:length]

    with pytest.raises(BlockError, match="shorter than the header"):
        decode_meta(payload)
    with pytest.raises(BlockError, match="shorter than the header"):
        decode_block(payload)


def test_another_format_version_is_refused_with_the_remedy() -> None:
    with pytest.raises(BlockError, match="format version 2, expected 1; upgrade this role"):
        decode_meta(b"\x02" + encode_block(META, TICKS)[1:])


def test_columns_that_were_cut_off_are_refused() -> None:
    payload = encode_block(META, TICKS)

    with pytest.raises(BlockError, match="cannot hold 2 ticks"):
        decode_block(payload[: HEADER + 2 * 35 - 1])


def names_replaced(names: bytes) -> bytes:
    return encode_block(META, TICKS)[: HEADER + 2 * 35] + names


@pytest.mark.parametrize("names", [b"", b"SIM:A", b"SIM:A\nSIM:B\nSIM:C"])
def test_a_wrong_number_of_names_is_refused(names: bytes) -> None:
    with pytest.raises(BlockError, match="symbol names, expected 2"):
        decode_block(names_replaced(names))


def test_names_that_are_no_utf_8_are_refused() -> None:
    with pytest.raises(BlockError, match="not UTF-8"):
        decode_block(names_replaced(b"SIM:\xff\nSIM:B"))


def test_an_index_beyond_the_names_is_refused() -> None:
    payload = bytearray(encode_block(META, TICKS))
    struct.pack_into("<H", payload, HEADER + 2 * 32, 2)

    with pytest.raises(BlockError, match="2 symbol names, expected 2"):
        decode_block(bytes(payload))


def test_an_unknown_side_is_refused() -> None:
    payload = bytearray(encode_block(META, TICKS))
    payload[HEADER + 2 * 34] = 3

    with pytest.raises(BlockError, match="side 3, expected at most 2"):
        decode_block(bytes(payload))
