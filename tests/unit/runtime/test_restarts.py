"""What a parent writes down of its children, and what the others read."""

from pathlib import Path

import pytest

from core.runtime.ops import crash_loops
from core.runtime.restarts import RestartBook, Restarts, read_books
from core.runtime.witness import Crash, Nobody

S = 10**9


class Book:
    """A book whose clock goes on by a second with each look."""

    def __init__(self, folder: Path) -> None:
        self.now_ns = 10**18
        self.path = folder / "restarts.json"
        self.book = RestartBook(self.path, now_ns=self._tick)

    def _tick(self) -> int:
        self.now_ns += S
        return self.now_ns

    def read(self) -> list[Restarts]:
        return read_books([self.path.with_name("none"), self.path])


def crash(in_a_row: int, *, name: str = "gateway", is_loop: bool = False) -> Crash:
    return Crash(name, "ended with exit code 1", in_a_row, 4.0, is_loop)


def test_without_a_crash_there_is_nothing_to_tell(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.book.lasted("gateway")

    assert book.read() == []
    assert list(tmp_path.iterdir()) == []


def test_crashes_in_a_row_have_a_first_one_and_a_next_start(tmp_path: Path) -> None:
    book = Book(tmp_path)
    for in_a_row in (1, 2, 3):
        book.book.crashed(crash(in_a_row, is_loop=in_a_row == 3))
    book.book.crashed(crash(1, name="ingest"))

    gateway, ingest = book.read()
    assert gateway == Restarts(
        role="gateway",
        total=3,
        in_a_row=3,
        crash_loop=True,
        exit="ended with exit code 1",
        since_ns=10**18 + S,
        next_ns=10**18 + 7 * S,
    )
    assert (ingest.role, ingest.total, ingest.crash_loop) == ("ingest", 1, False)
    assert list(tmp_path.iterdir()) == [book.path]


def test_a_run_that_lasts_ends_the_row_and_keeps_the_total(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.book.crashed(crash(1))
    book.book.crashed(crash(2, is_loop=True))
    book.book.lasted("gateway")
    book.book.crashed(crash(1))

    (found,) = book.read()
    assert (found.total, found.in_a_row, found.crash_loop) == (3, 1, False)
    assert found.since_ns == 10**18 + 3 * S


def test_readyz_names_the_roles_that_crash_again_and_again(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.book.crashed(crash(1, is_loop=True))
    book.book.crashed(crash(1, name="ingest"))

    assert crash_loops(book.read(), now_ns=10**18 + 31 * S + S // 2) == [
        {
            "role": "gateway",
            "crashes": 1,
            "since": "2001-09-09T01:46:41.000Z",
            "since_s": 30.5,
            "reason": "ended with exit code 1",
            "next_start": "2001-09-09T01:46:45.000Z",
        }
    ]


def test_a_book_that_cannot_be_written_does_not_end_the_parent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = RestartBook(tmp_path / "gone" / "restarts.json", now_ns=lambda: 1)

    book.crashed(crash(1))

    assert "cannot be told" in caplog.text


def test_nobody_takes_no_notice() -> None:
    Nobody().crashed(crash(1))
    Nobody().lasted("gateway")
