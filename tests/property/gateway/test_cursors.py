"""A cursor says the same to whoever reads it, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cursor import Cursor, CursorError, CursorMaker, decode_cursor, encode_cursor
from gateway.positions import Positions
from storage.entry_id import ZERO_ID, EntryId
from storage.keys import StreamKeys

SHARDS = 3
KEYS = StreamKeys("house", SHARDS)
numbers = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
entry_ids = st.one_of(st.just(ZERO_ID), st.builds(EntryId, numbers, numbers))
positions = st.lists(entry_ids, min_size=SHARDS, max_size=SHARDS).map(tuple)
cursors = st.builds(
    Cursor, feeds=st.dictionaries(st.text(max_size=20), positions, max_size=4), bars=positions
)


@given(cursors)
def test_a_cursor_comes_back_as_it_was(cursor: Cursor) -> None:
    found = decode_cursor(encode_cursor(cursor, "house"), KEYS)

    assert {feed: tuple(ids) for feed, ids in found.feeds.items()} == cursor.feeds
    assert tuple(found.bars) == cursor.bars
    assert found.time_ms == cursor.time_ms


@given(st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_\-]{0,80}", fullmatch=True)))
def test_other_text_is_no_cursor(text: str) -> None:
    with pytest.raises(CursorError, match=r"^resume: .*cursor"):
        decode_cursor(text, KEYS)


@given(cursors, st.data())
def test_a_cursor_with_a_wrong_character_is_garbled(cursor: Cursor, data: st.DataObject) -> None:
    text = encode_cursor(cursor, "house")
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=127).filter(lambda c: c != text[at]))

    with pytest.raises(CursorError, match="garbled"):
        decode_cursor(text[:at] + other + text[at + 1 :], KEYS)


def test_bits_that_nobody_needs_are_garbled_as_well() -> None:
    texts = [
        encode_cursor(Cursor({"f" * size: (ZERO_ID,) * 3}, (ZERO_ID,) * 3), "house")
        for size in range(1, 4)
    ]
    (text, *_) = (text for text in texts if len(text) % 4 == 2)  # four bits are left over
    other = {"A": "B", "Q": "R", "g": "h", "w": "x"}[text[-1]]

    with pytest.raises(CursorError, match="garbled"):
        decode_cursor(text[:-1] + other, KEYS)


@given(cursors, st.integers(0, 200))
def test_a_part_of_a_cursor_is_garbled(cursor: Cursor, size: int) -> None:
    text = encode_cursor(cursor, "house")

    with pytest.raises(CursorError, match="garbled"):
        decode_cursor(text[: min(size, len(text) - 1)], KEYS)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 1 << 42), st.integers(0, 9))))
def test_a_maker_follows_the_positions(moves: list[tuple[int, int, int]]) -> None:
    reached = Positions()
    make = CursorMaker(reached, KEYS)
    reached.complete = True
    streams = [KEYS.ticks("a", shard) for shard in range(SHARDS)]
    for key in streams:
        reached.follow(key, "a")
    streams += [KEYS.bars(shard) for shard in range(SHARDS)]
    for key in streams:
        reached.reach(key, ZERO_ID)

    for stream, ms, seq in moves:
        reached.reach(streams[stream], EntryId(ms, seq))

        assert decode_cursor(make(), KEYS).positions(KEYS) == reached.reached()
        assert make() is make()
