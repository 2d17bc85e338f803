"""Source: the rows of a file, CSV (plain or gzip) or Parquet, as values by column."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from core.market.errors import TickgateError
from tickgate.files.columns import Table, Values
from tickgate.files.parquet import folded, parquet_columns, read_parquet

_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_MAX_HEADER_CHARS: Final = 100_000
_ESCAPED: Final = 0xDC00  # a byte that is no UTF-8 stands above it, until its line is refused
_CUT: Final = (
    "the last line does not end: the file looks cut off; if it is whole, end it with a line break"
)
_OPEN: Final = "a quote begins that does not end"
_UNREADABLE: Final = (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, ValueError)


class SourceError(TickgateError):
    """A file cannot be read at all."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(path, reason)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Line(NamedTuple):
    """A row and where it is: a line of a CSV file, or a row of Parquet counted from 1."""

    number: int
    values: Values


def is_parquet(path: str) -> bool:
    """Does the file begin as Parquet does?

    Raises:
        SourceError: it cannot be read.
    """
    with _readable(path), Path(path).open("rb") as file:
        return file.read(4) == _PARQUET


def read_lines(path: str, columns: Sequence[str], required: Sequence[str]) -> Iterator[Line]:
    """The rows of *path*, in order; further columns are left alone, empty lines passed over.

    Args:
        path: of a file.
        columns: that are wanted, those that are there.
        required: those of them that must be there.

    Raises:
        SourceError: it cannot be read, or a required column is not there.
        ParquetMissing: it is Parquet, and there is no pyarrow.
    """
    rows = _parquet(path, columns, required) if is_parquet(path) else _csv(path, required)
    with _readable(path):
        yield from rows


def _parquet(path: str, columns: Sequence[str], required: Sequence[str]) -> Iterator[Line]:
    with Path(path).open("rb") as file:
        _require(path, [folded(name) for name in parquet_columns(file)], required)
        rows = (row for table in read_parquet(file, columns) for row in _rows(table))
        yield from starmap(Line, enumerate(rows, start=1))


def _rows(table: Table) -> Iterator[Values]:
    names = list(table)
    for row in zip(*table.values(), strict=True):
        yield dict(zip(names, row, strict=True))


def line_problems(path: str) -> Iterator[str]:
    """For each line of a CSV file, the header's first, why it is not whole; empty where it is.

    Of a file whose rows are lines, as those of a replay are.

    Raises:
        SourceError: it cannot be read.
    """
    with _readable(path), _text(path) as text:
        for line in text:
            yield _problem(line) or _open_quote(line)


def csv_header(path: str) -> list[str]:
    """The names of the columns of a CSV file.

    Raises:
        SourceError: it cannot be read, or its first line is no header.
    """
    with _readable(path), _text(path) as text:
        line = text.readline(_MAX_HEADER_CHARS)
        if problem := _problem(line, may_end=True) or _open_quote(line):
            raise SourceError(f"{path}:1", problem)
        return [folded(name) for name in next(csv.reader([line]), [])]


def _csv(path: str, required: Sequence[str]) -> Iterator[Line]:
    names = csv_header(path)
    _require(path, names, required)
    with _text(path) as text:
        for row in _csv_rows(text):
            wrong = row.problem
            if row.fields and len(row.fields) != len(names):
                wrong = wrong or f"{len(row.fields)} fields, expected {len(names)}"
            if wrong:
                yield Line(row.first, {"": wrong})
            elif row.fields and row.first > 1:
                values = {
                    name: field.strip() or None
                    for name, field in zip(names, row.fields, strict=True)
                }
                values.pop("", None)  # the numbers of rows that pandas writes in front, say
                yield Line(row.last, values)


class _CsvRow(NamedTuple):
    first: int  # line
    last: int
    fields: list[str]
    problem: str


def _csv_rows(text: IO[str]) -> Iterator[_CsvRow]:
    """The rows of a file, its header first; nothing after one that breaks the quotes."""
    lines = _Lines(text)
    reader = csv.reader(lines, strict=True)
    while True:
        first = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            yield _CsvRow(first, reader.line_num, [], _quotes(exc))
            return
        yield _CsvRow(first, reader.line_num, fields, lines.problem())


class _Lines:
    """The lines of a file, and what is wrong with those that were read since it was asked."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._problem = ""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self._problem = self._problem or _problem(line)
        return line

    def problem(self) -> str:
        """What is wrong with the lines of the last row; empty: nothing."""
        found, self._problem = self._problem, ""
        return found


def _problem(line: str, *, may_end: bool = False) -> str:
    """Why a line is not whole; empty where it is. *may_end*: the last one needs no line break."""
    if not line.isascii():
        try:
            line.encode()
        except UnicodeEncodeError as exc:
            byte = ord(line[exc.start]) - _ESCAPED
            return f"byte {byte:#04x} at character {exc.start + 1} is no UTF-8"
    return "" if may_end or line.endswith(("\n", "\r")) else _CUT


def _open_quote(line: str) -> str:
    if '"' not in line:
        return ""
    try:
        list(csv.reader([line.rstrip("\r\n")], strict=True))
    except csv.Error as exc:
        return _quotes(exc)
    return ""


def _quotes(error: csv.Error) -> str:
    return _OPEN if "unexpected end" in str(error) else f"cannot be read: {error}"


def _require(path: str, names: Sequence[str], required: Sequence[str]) -> None:
    lacking = [name for name in required if name not in names]
    if lacking:
        said = ", ".join(names)[:100] or "none"
        raise SourceError(
            path, f"there is no column {', '.join(lacking)}: expected {', '.join(required)}; "
            f"its columns are {said}"
        )  # fmt: skip
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise SourceError(path, f"column {', '.join(twice)} is there more than once")


@contextmanager
def _text(path: str) -> Iterator[IO[str]]:
    with Path(path).open("rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
        with io.TextIOWrapper(
            file, encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as text:
            yield text


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise SourceError(path, "there is no such file") from exc
    except _UNREADABLE as exc:
        strerror = exc.strerror if isinstance(exc, OSError) else None
        raise SourceError(path, f"cannot be read: {strerror or exc}") from exc
