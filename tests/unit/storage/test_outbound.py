"""Outbound and the replay ring: what goes on its way again after a server changed."""

from storage.entry_id import ZERO_ID, EntryId
from storage.outbound import Outbound
from storage.replay_ring import ReplayRing, Stored


def stream(blocks: int, *, ring: ReplayRing, stored: int) -> Outbound:
    """A stream with *blocks* blocks, of which *stored* were acknowledged; ids are 1-0, 2-0, …"""
    outbound = Outbound(0)
    for number in range(1, blocks + 1):
        outbound.put(number, b"%d" % number, now_ms=number)
    for entry in outbound.stored(stored):
        ring.add(entry)
    return outbound


def ids(outbound: Outbound) -> list[str]:
    return [str(entry.entry_id) for entry in outbound.batch(max_bytes=1000)]


def ring_of(size: int = 1000) -> ReplayRing:
    return ReplayRing(max_bytes=size, keep_ms=1000)


def test_a_batch_is_bounded_by_bytes_and_never_empty() -> None:
    outbound = stream(3, ring=ring_of(), stored=0)

    assert [entry.number for entry in outbound.batch(max_bytes=2)] == [1, 2]
    assert [entry.number for entry in outbound.batch(max_bytes=0)] == [1]


def test_what_was_stored_though_the_reply_was_lost_is_not_sent_again() -> None:
    outbound = stream(4, ring=ring_of(), stored=1)

    found = outbound.repair(EntryId(3, 0), 3, ring_of())

    assert [entry.number for entry in found.confirmed] == [2, 3]
    assert (found.again, found.missing, found.foreign) == (0, 0, False)
    assert ids(outbound) == ["4-0"]
    assert outbound.stored_id == EntryId(3, 0)


def test_what_the_server_lost_goes_out_again_under_the_same_ids() -> None:
    ring = ring_of()
    outbound = stream(5, ring=ring, stored=4)

    found = outbound.repair(EntryId(2, 0), 2, ring)

    assert (found.confirmed, found.again, found.missing, found.foreign) == ([], 2, 0, False)
    assert ids(outbound) == ["3-0", "4-0", "5-0"]
    assert outbound.stored_id == EntryId(2, 0)
    assert len(ring) == 2


def test_what_the_ring_does_not_hold_any_more_is_counted() -> None:
    ring = ring_of(size=2)
    outbound = stream(5, ring=ring, stored=5)

    found = outbound.repair(EntryId(1, 0), 1, ring)

    assert (found.again, found.missing) == (2, 2)
    assert ids(outbound) == ["4-0", "5-0"]


def test_an_empty_ring_cannot_help_a_server_that_lost_all() -> None:
    outbound = Outbound(0)
    outbound.begin(EntryId(9, 0), 9)

    found = outbound.repair(ZERO_ID, 0, ring_of())

    assert (found.again, found.missing, found.foreign) == (0, 9, False)
    assert len(outbound) == 0


def test_behind_somebody_elses_entry_blocks_get_ids_that_fit() -> None:
    outbound = stream(3, ring=ring_of(), stored=1)

    found = outbound.repair(EntryId(2, 5), 2, ring_of())

    assert found.foreign
    assert ids(outbound) == ["2-6", "3-0"]
    assert outbound.repair(EntryId(3, 0), 1, ring_of()).foreign  # the id is ours, the block not
    assert ids(outbound) == ["3-1", "3-2"]
    outbound.put(4, b"4", now_ms=1)
    assert ids(outbound)[-1] == "3-3"


def test_an_end_that_is_where_it_was_left_needs_nothing() -> None:
    outbound = stream(2, ring=ring_of(), stored=2)

    assert outbound.repair(EntryId(2, 0), 2, ring_of()) == ([], 0, 0, False)


def test_the_ring_is_bounded_by_bytes_and_by_age() -> None:
    ring = ReplayRing(max_bytes=10, keep_ms=100)
    for number in range(1, 6):
        ring.add(Stored(number % 2, EntryId(number, 0), number, b"xxx"))
    assert (len(ring), ring.size_bytes) == (3, 9)

    ring.add(Stored(0, EntryId(105, 0), 6, b"x"))
    assert (len(ring), ring.size_bytes) == (2, 4)
    assert [entry.number for entry in ring.take_after(1, ZERO_ID)] == [5]
    assert [entry.number for entry in ring.take_after(1, ZERO_ID)] == []
    assert (len(ring), ring.size_bytes) == (1, 1)
