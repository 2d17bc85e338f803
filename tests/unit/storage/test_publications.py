"""What is kept of a bar stream, and what is known to be gone."""

from storage.entry_id import ZERO_ID, EntryId
from storage.publications import Publications, Published


def test_what_a_stream_lacks_is_given_in_order() -> None:
    kept = Publications()
    for flush in (1, 2, 4):
        kept.add(EntryId(7, flush), b"%d" % flush)
    kept.add(EntryId(7, 2), b"again")

    assert kept.newest == EntryId(7, 4)
    assert kept.after(EntryId(7, 1)) == [
        Published(EntryId(7, 2), b"2"),
        Published(EntryId(7, 4), b"4"),
    ]
    assert len(kept.after(ZERO_ID)) == 3
    assert not kept.lacks_all_after(ZERO_ID)


def test_the_oldest_go_by_number_and_by_bytes_and_that_is_known() -> None:
    for kept in (Publications(max_entries=2), Publications(max_bytes=25)):
        for flush in (1, 2, 3):
            kept.add(EntryId(7, flush), b"x" * 10)

        assert [entry.entry_id.seq for entry in kept.after(ZERO_ID)] == [2, 3]
        assert kept.lacks_all_after(ZERO_ID)
        assert not kept.lacks_all_after(EntryId(7, 1))
