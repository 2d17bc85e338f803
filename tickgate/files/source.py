"""Source: the rows of a file, CSV (plain or gzip) or Parquet, as values by column."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from core.market.errors import TickgateError
from tickgate.files.columns import Table, Values
from tickgate.files.parquet import read_parquet

_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
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
    number = 0
    with Path(path).open("rb") as file:
        for table in read_parquet(file, columns):
            _require(path, list(table), required)
            for row in _rows(table):
                number += 1
                yield Line(number, row)
    if not number:
        _require(path, [], required)


def _rows(table: Table) -> Iterator[Values]:
    names = list(table)
    for row in zip(*table.values(), strict=True):
        yield dict(zip(names, row, strict=True))


def _csv(path: str, required: Sequence[str]) -> Iterator[Line]:
    with _text(path) as text:
        reader = csv.reader(text)
        names = [name.strip().lower() for name in next(reader, [])]
        _require(path, names, required)
        for row in reader:
            if len(row) > len(names):
                yield Line(reader.line_num, {"": f"{len(row)} fields, expected {len(names)}"})
            elif row:
                values = dict(zip(names, (field or None for field in row), strict=False))
                yield Line(reader.line_num, values)


def _require(path: str, names: Sequence[str], required: Sequence[str]) -> None:
    lacking = [name for name in required if name not in names]
    if lacking:
        said = ", ".join(names)[:100] or "none"
        raise SourceError(
            path, f"there is no column {', '.join(lacking)}: expected {', '.join(required)}; "
            f"its columns are {said}"
        )  # fmt: skip


@contextmanager
def _text(path: str) -> Iterator[IO[str]]:
    with Path(path).open("rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
        with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
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
