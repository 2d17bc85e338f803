"""Rows of files, one by one: what each gives, or why it gives nothing, and where it stands."""

from collections.abc import Callable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from core.market.bar import Bar
from core.market.tick import Tick
from ingest.errors import ReplayFileError
from ingest.replay_file import ReplayFile, Row
from tickgate.files.columns import Values
from tickgate.files.given import (
    BAR_COLUMNS,
    BAR_REQUIRED,
    TICK_COLUMNS,
    TICK_REQUIRED,
    BarReader,
    Names,
    TickReader,
)
from tickgate.files.source import SourceError, csv_header, is_parquet, line_problems, read_lines

T = TypeVar("T")

_SLICE_ROWS: Final = 2_000
_OF_BARS: Final = ("open", "high", "low", "close")


class GivenRow(NamedTuple, Generic[T]):
    """A row by its line (of Parquet: its number): a bar or tick, or an error instead."""

    line: int
    value: T | None
    error: str = ""


def bar_rows(path: str, venue: str, *, until_ns: int) -> Iterator[GivenRow[Bar]]:
    """The 1-minute bars of a file.

    Args:
        path: of a CSV or Parquet file.
        venue: of symbols that name none.
        until_ns: a window that ends after it cannot be given.

    Raises:
        SourceError: it cannot be read, or lacks a column.
        ParquetMissing: it is Parquet, and there is no pyarrow.
    """
    reader = BarReader(Names(venue), until_ns=until_ns)
    return _judged(path, BAR_COLUMNS, BAR_REQUIRED, reader.read)


def tick_rows(path: str, venue: str, *, until_ns: int) -> Iterator[GivenRow[Tick]]:
    """The ticks of a file: CSV as a replay reads it, of one venue, or Parquet.

    Args:
        path: of the file.
        venue: of symbols that name none, as those of a replay do.
        until_ns: the present.

    Raises:
        SourceError: it cannot be read, or lacks a column; or symbols have no venue.
        ParquetMissing: it is Parquet, and there is no pyarrow.
    """
    reader = TickReader(Names(venue), until_ns=until_ns)
    if is_parquet(path):
        return _judged(path, TICK_COLUMNS, TICK_REQUIRED, reader.read)
    if set(csv_header(path)).issuperset(_OF_BARS):
        raise SourceError(path, "its columns are those of bars: take them by `import bars`")
    if not venue:
        raise SourceError(path, "its symbols name no venue: say which by --venue")
    return _replayed(path, venue, reader)


def _judged(
    path: str,
    columns: tuple[str, ...],
    required: tuple[str, ...],
    read: Callable[[Values], T],
) -> Iterator[GivenRow[T]]:
    for line in read_lines(path, columns, required):
        try:
            yield GivenRow(line.number, read(line.values))
        except ValueError as exc:
            yield GivenRow(line.number, None, str(exc))


def _replayed(path: str, venue: str, reader: TickReader) -> Iterator[GivenRow[Tick]]:
    file = ReplayFile(path, venue)
    try:
        file.open()
        problems = line_problems(path)
        header = next(problems, "")
        if header:
            yield GivenRow(1, None, header)
        while rows := file.read(_SLICE_ROWS):
            for row in rows:
                yield _judged_row(row, next(problems, "there is another line by now"), reader)
    except ReplayFileError as exc:
        raise SourceError(path, exc.reason) from exc
    finally:
        file.close()


def _judged_row(row: Row, problem: str, reader: TickReader) -> GivenRow[Tick]:
    line = row.number + 1  # the header is the first
    if problem:
        return GivenRow(line, None, problem)
    if row.tick is None:
        return GivenRow(line, None, row.error.reason if row.error else "")
    try:
        return GivenRow(line, reader.judge(row.tick))
    except ValueError as exc:
        return GivenRow(line, None, str(exc))
