"""The table of counts that workers share."""

from pathlib import Path

from gateway import tally, tally_memory
from gateway.tally import Layout, Tally

SECOND_NS = 1_000_000_000


def test_a_full_bucket_lets_further_names_in_uncounted_until_one_is_free() -> None:
    layout = Layout(regions=1, buckets=1)
    view = Tally(memoryview(bytearray(8 * layout.words)).cast("Q"), layout, own=0)
    marks = [view.mark("ip", str(n)) for n in range(17)]
    for mark in marks[:16]:
        assert view.enter(mark, 0) == 1

    assert view.enter(marks[16], 0) == 0
    assert view.hit(view.mark("rate", "x"), 1, 0) == 0
    assert view.uncounted == 2

    view.leave(marks[3])
    assert view.enter(marks[16], 0) == 1
    view.leave(marks[16])
    view.leave(marks[16])  # the one that was not counted
    assert view.total(marks[16]) == 0


def test_a_window_that_is_over_makes_room() -> None:
    layout = Layout(regions=1, buckets=1)
    view = Tally(memoryview(bytearray(8 * layout.words)).cast("Q"), layout, own=0)
    for n in range(16):
        view.hit(view.mark("rate", str(n)), 1, 0)

    assert view.hit(view.mark("rate", "late"), 1, SECOND_NS - 1) == 0
    assert view.hit(view.mark("rate", "late"), 1, SECOND_NS) == 1


def test_processes_that_map_the_same_file_see_each_other(tmp_path: Path) -> None:
    layout = Layout(regions=2)
    parent = tally_memory.create(tmp_path / "tally", layout)
    one, two = (
        Tally(tally_memory.attach(tmp_path / "tally", layout), layout, own) for own in (0, 1)
    )
    mark = one.mark("key", "K")

    assert mark == two.mark("key", "K") != two.mark("ip", "K")
    assert (one.enter(mark, 0), two.enter(mark, 0)) == (1, 2)

    one.announce(17, listens=False)
    two.announce(18, listens=True)
    assert one.running() == [17, 18]
    assert [tally.runs(parent, layout, n) for n in (0, 1)] == [True, True]
    assert [tally.listens(parent, layout, n) for n in (0, 1)] == [False, True]

    tally.clear(parent, layout, 1)
    assert (one.total(mark), two.total(mark)) == (1, 1)
    assert one.running() == [17, 0]


def test_marks_are_not_the_same_in_another_gateway() -> None:
    assert tally_memory.private().mark("ip", "::1") != tally_memory.private().mark("ip", "::1")
