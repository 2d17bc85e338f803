"""StreamRanges against a real server: what lies back, what is gone, and what never was."""

import pytest

from storage.embedded import ValkeyServer
from storage.entry_id import ZERO_ID, EntryId
from storage.errors import StreamUnavailable
from storage.redis import Redis, command, connect
from storage.stream_ranges import StreamRanges
from storage.stream_state import NO_STREAM, Range, StreamState


def at(ms: int) -> EntryId:
    return EntryId(ms, 0)


async def add(redis: Redis, key: str, *ids: int, payload: bytes = b"x") -> None:
    for ms in ids:
        await command(redis, "XADD", key, f"{ms}-0", "b", payload)


async def test_the_newest_entry_and_the_newest_before_a_time(redis: Redis, namespace: str) -> None:
    filled, late, none = (f"{namespace}-{n}" for n in range(3))
    await add(redis, filled, 100, 200, 300)
    await add(redis, late, 300)
    ranges = StreamRanges(redis)

    assert await ranges.newest([filled, late, none]) == {
        filled: at(300),
        late: at(300),
        none: ZERO_ID,
    }
    assert await ranges.newest([filled, late, none], before_ms=300) == {
        filled: at(200),
        late: ZERO_ID,
        none: ZERO_ID,
    }


async def test_what_is_gone_is_not_taken_for_what_never_was(redis: Redis, namespace: str) -> None:
    emptied, cut = f"{namespace}-emptied", f"{namespace}-cut"
    for key, keep in ((emptied, 0), (cut, 1)):
        await add(redis, key, 100, 200, 300)
        await command(redis, "XTRIM", key, "MAXLEN", "=", keep)
    ranges = StreamRanges(redis)

    assert await ranges.newest([emptied, cut], before_ms=250) == {emptied: at(300), cut: at(299)}


async def test_stretches_are_read_in_order_up_to_a_count(redis: Redis, namespace: str) -> None:
    keys = [f"{namespace}-{n}" for n in range(4)]
    for key in keys:
        await add(redis, key, 1, 2, 3, 4)
    wanted = [Range(key, at(2), at(4)) for key in keys]
    ranges = StreamRanges(redis)

    found = await ranges.read(wanted, count=2, max_bytes=1 << 20)
    last = await ranges.read([Range(keys[0], at(4), at(9))], count=2, max_bytes=1 << 20)

    assert found == {key: [(at(2), b"x"), (at(3), b"x")] for key in keys}
    assert last == {keys[0]: [(at(4), b"x")]}
    assert await ranges.read([], count=2, max_bytes=1) == {}


async def test_a_round_ends_when_it_has_its_bytes(redis: Redis, namespace: str) -> None:
    keys = [f"{namespace}-{n}" for n in range(7)]
    for key in keys:
        await add(redis, key, 1, payload=b"y" * 1_000)
    wanted = [Range(key, ZERO_ID, at(9)) for key in keys]

    found = await StreamRanges(redis).read(wanted, count=9, max_bytes=3_500)

    assert list(found) == keys[:6]


async def test_the_state_of_a_stream(redis: Redis, namespace: str) -> None:
    filled, cut, none = (f"{namespace}-{n}" for n in range(3))
    await add(redis, filled, 1, 2)
    await add(redis, cut, 1, 2, 3)
    await command(redis, "XTRIM", cut, "MINID", "=", "2-0")

    assert await StreamRanges(redis).states([filled, cut, none]) == {
        filled: StreamState(at(1), at(2), removed=False),
        cut: StreamState(at(2), at(3), removed=True),
        none: NO_STREAM,
    }


async def test_another_kind_of_key_is_refused(redis: Redis, namespace: str) -> None:
    await command(redis, "SET", namespace, "text")

    with pytest.raises(StreamUnavailable, match="WRONGTYPE"):
        await StreamRanges(redis).states([namespace])


async def test_a_server_that_is_away_is_told(valkey: ValkeyServer) -> None:
    client = connect(valkey.url)
    await valkey.stop()

    with pytest.raises(StreamUnavailable):
        await StreamRanges(client).newest(["key"])

    await client.aclose()


@pytest.mark.parametrize(
    ("position", "whole"),
    [(ZERO_ID, False), (at(4), False), (at(5), True), (at(9), True), (at(10), False)],
)
def test_a_trimmed_stream_is_whole_behind_what_it_still_has(position: EntryId, whole: bool) -> None:
    state = StreamState(at(5), at(9), removed=True)

    assert state.holds_all_after(position) is whole


def test_an_emptied_stream_has_lost_nothing_after_its_newest_id() -> None:
    state = StreamState(None, at(9), removed=True)

    assert state.holds_all_after(at(9))
    assert not state.holds_all_after(at(8))
    assert NO_STREAM.holds_all_after(ZERO_ID)


def test_the_hole_of_a_range_is_where_the_stream_begins_now() -> None:
    wanted = Range("key", at(3), at(8))

    assert StreamState(at(3), at(9), removed=True).hole(wanted) is None
    assert StreamState(at(5), at(9), removed=True).hole(wanted) == at(5)
    assert StreamState(at(9), at(9), removed=True).hole(wanted) == at(8)
    assert StreamState(None, at(9), removed=True).hole(wanted) == at(8)
    assert StreamState(at(1), at(8), removed=False).reaches(wanted.last)
    assert not StreamState(at(1), at(7), removed=False).reaches(wanted.last)
    assert not NO_STREAM.reaches(wanted.last)
