"""The text of a cursor: what it costs, and what is said of one that does not fit."""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
import pytest

from gateway.channels import Codec
from gateway.cursor import (
    Cursor,
    CursorError,
    CursorMaker,
    cursor_frame,
    decode_cursor,
    encode_cursor,
)
from gateway.positions import Positions
from storage.entry_id import ZERO_ID, EntryId
from storage.keys import StreamKeys

KEYS = StreamKeys("house", 2)
NOW_MS = 1_789_000_000_000
CURSOR = Cursor({"sim": (EntryId(NOW_MS, 0), EntryId(NOW_MS - 400, 7))}, (EntryId(3, 90), ZERO_ID))


def text_of(body: bytes) -> str:
    whole = body + zlib.crc32(body).to_bytes(4)
    return urlsafe_b64encode(whole).decode().rstrip("=")


def test_a_cursor_of_one_feed_and_16_shards_is_short() -> None:
    blocks = [EntryId(NOW_MS - 60 * shard, shard % 3) for shard in range(16)]
    bars = [EntryId(12, 40_000 + 97 * shard) for shard in range(16)]

    assert len(encode_cursor(Cursor({"coinbase": blocks}, bars), "tickgate")) <= 150


def test_a_cursor_of_another_installation_is_refused() -> None:
    text = encode_cursor(CURSOR, "house")

    with pytest.raises(CursorError, match="another installation"):
        decode_cursor(text, StreamKeys("garden", 2))
    with pytest.raises(CursorError, match="made with 2 shards, there are 4 now"):
        decode_cursor(text, StreamKeys("house", 4))


def test_a_cursor_of_a_newer_version_is_refused() -> None:
    with pytest.raises(CursorError, match=r"newer gateway .* \(version 2\)"):
        decode_cursor(text_of(b"\x02anything"), KEYS)


@pytest.mark.parametrize(
    "tail",
    [
        b"\x00",  # ends too soon
        b"\x01\xff" + b"\x80" * 10,  # a number without an end
        b"\x01\x01\xff\x00\x00\x00" + b"\x00" * 4,  # a name that is not UTF-8
        b"\x01\x01x\x05\x0f\x0f" + b"\x00" * 4,  # a position before zero
        b"\x00" + b"\x00" * 5,  # more than there should be
    ],
)
def test_a_cursor_that_only_its_sum_fits_is_garbled(tail: bytes) -> None:
    text = encode_cursor(CURSOR, "house")
    head = urlsafe_b64decode(text + "=" * (-len(text) % 4))[:5]  # version, digest, shards

    with pytest.raises(CursorError, match="garbled"):
        decode_cursor(text_of(head + tail), KEYS)


@pytest.mark.parametrize("text", ["", "A", "AQ+/", "é", "A" * 70_000, "AQlwMxABCGNvaW5iYXNl"])
def test_what_does_not_look_like_a_cursor_is_garbled(text: str) -> None:
    with pytest.raises(CursorError, match="garbled"):
        decode_cursor(text, KEYS)


def test_a_cursor_of_more_feeds_than_there_can_be_is_refused() -> None:
    cursor = Cursor({f"f{n}": [ZERO_ID, ZERO_ID] for n in range(257)}, [ZERO_ID, ZERO_ID])

    with pytest.raises(CursorError, match="names 257 feeds, at most 256 are accepted"):
        decode_cursor(encode_cursor(cursor, KEYS.namespace), KEYS)


def test_there_is_no_cursor_before_the_streams_are_known() -> None:
    positions = Positions()
    make = CursorMaker(positions, KEYS)
    for shard in range(2):
        positions.reach(KEYS.bars(shard), ZERO_ID)

    assert make() == ""

    positions.complete = True

    assert decode_cursor(make(), KEYS) == Cursor({}, [ZERO_ID, ZERO_ID])
    assert decode_cursor(make(), KEYS).time_ms == 0


@pytest.mark.parametrize("codec", Codec)
def test_a_cursor_may_be_a_message_of_its_own(codec: Codec) -> None:
    decode = msgspec.json.decode if codec.is_text else msgspec.msgpack.decode

    assert decode(cursor_frame("text", codec)[2:]) == [{"T": "cursor", "c": "text"}]
