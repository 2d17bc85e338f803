"""Keys, shards and entry ids."""

import pytest

from storage.entry_id import ZERO_ID, EntryId
from storage.keys import SLOTS, StreamKeys, shard_of, shard_tags, slot_of


def test_keys_name_the_namespace_the_shard_and_the_feed() -> None:
    keys = StreamKeys("tickgate", 16)
    (tag,) = {keys.bars(3)[len("tickgate:{") : -len("}:bars")]}

    assert keys.ticks("sim", 3) == f"tickgate:{{{tag}}}:ticks:sim"
    assert keys.running(3) == f"tickgate:{{{tag}}}:running"
    assert (keys.quarantine, keys.feeds, keys.roles) == (
        "tickgate:quarantine",
        "tickgate:feeds",
        "tickgate:roles",
    )


@pytest.mark.parametrize("shards", [1, 2, 3, 16, 100, 1024])
def test_the_shards_spread_evenly_over_the_slots_of_a_cluster(shards: int) -> None:
    width = SLOTS / shards
    slots = [slot_of(f"x:{{{tag}}}:y") for tag in shard_tags(shards)]

    assert len(slots) == shards
    assert all(abs(slot - (k + 0.5) * width) <= width / 4 + 1e-6 for k, slot in enumerate(slots))


def test_all_keys_of_a_shard_share_a_slot() -> None:
    keys = StreamKeys("n", 16)

    for shard in range(16):
        assert len({slot_of(k) for k in (keys.ticks("a", shard), keys.bars(shard))}) == 1


@pytest.mark.parametrize(
    ("key", "slot"),
    # The first is the check value of the Redis Cluster specification for CRC16.
    [("123456789", 0x31C3), ("a{123456789}b", 0x31C3), ("{}123456789", slot_of("{}123456789"))],
)
def test_a_slot_is_the_crc_of_the_tag_or_else_of_the_key(key: str, slot: int) -> None:
    assert slot_of(key) == slot % SLOTS


def test_an_empty_or_unclosed_tag_is_no_tag() -> None:
    assert slot_of("{}x") != slot_of("{}y")
    assert slot_of("{ax") != slot_of("{ay")


@pytest.mark.parametrize("namespace", ["", "a b", "a{b}", "a:b", "é", "x" * 65])
def test_a_namespace_that_would_break_keys_is_refused(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        StreamKeys(namespace, 16)


@pytest.mark.parametrize("shards", [0, -1, 1025])
def test_a_number_of_shards_out_of_range_is_refused(shards: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 1024"):
        StreamKeys("tickgate", shards)


def test_a_symbol_has_the_same_shard_everywhere() -> None:
    # Fixed for ever: another hash would split a symbol over two shards at an upgrade.
    assert [shard_of(f"SIM:S{n:03}", 16) for n in range(8)] == [0, 6, 12, 10, 9, 15, 5, 3]
    assert {shard_of(f"SIM:S{n:03}", 16) for n in range(500)} == set(range(16))


def test_entry_ids_are_read_and_compared_as_the_server_does() -> None:
    assert EntryId.parse(b"5-10") > EntryId.parse("5-9") > EntryId.parse("5")
    assert EntryId.parse("4-99") < EntryId.parse("5-0")
    assert str(EntryId.parse("1700000000000-3")) == "1700000000000-3"
    with pytest.raises(ValueError, match="invalid literal"):
        EntryId.parse("x-1")


def test_the_next_id_follows_the_clock_or_else_the_last_id() -> None:
    last = EntryId(1000, 4)

    assert last.following(1001) == (1001, 0)
    assert last.following(1000) == (1000, 5)
    assert last.following(3) == (1000, 5)
    assert ZERO_ID.following(0) == (0, 1)  # the least id that a stream takes


def test_what_is_known_of_a_feeds_ids_has_a_key_of_its_own() -> None:
    assert StreamKeys("n", 16).gaps("sim") == "n:gaps:sim"
