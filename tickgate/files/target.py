"""Target: the file that an export writes. It is there as a whole, or not at all."""

import contextlib
import gzip
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final, Protocol, cast

from core.market.errors import TickgateError
from tickgate.files.columns import Column, Table, header, lines
from tickgate.files.options import CSV, PARQUET, STDOUT
from tickgate.files.parquet import ParquetSink

_NAMES: Final = {".csv": CSV, ".csv.gz": CSV, ".parquet": PARQUET}


class TargetError(TickgateError):
    """A file cannot be written."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(path, reason)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Sink(Protocol):
    """Takes tables, one after the other."""

    def write(self, table: Table) -> None:
        """Append the rows of *table*."""
        ...

    def close(self) -> None:
        """Write what belongs at the end."""
        ...

    def abandon(self) -> None:
        """Write nothing any more: the file will not be whole."""
        ...


class CsvSink:
    """Writes tables as lines of CSV."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        """*file* stays the caller's."""
        self._file, self._columns = file, columns
        file.write(header(columns).encode())

    def write(self, table: Table) -> None:
        self._file.write(lines(self._columns, table).encode())

    def close(self) -> None:
        """There is no end to write."""

    def abandon(self) -> None:
        """There is nothing that it would write by itself."""


def format_of(path: str) -> str | None:
    """The format that the name of a file tells; None where it tells none."""
    return next((named for ending, named in _NAMES.items() if path.lower().endswith(ending)), None)


@contextlib.contextmanager
def open_target(path: str, kind: str, columns: Sequence[Column], *, force: bool) -> Iterator[Sink]:
    """Where to write *columns* to; at the end of the block the file appears under its name.

    An error within the block leaves nothing behind. ``-`` is the standard output.

    Raises:
        TargetError: it cannot be written, or is there already and *force* is False.
        ParquetMissing: it is to be Parquet, and there is no pyarrow.
    """
    try:
        with _open(path, force=force) as raw, _packed(raw, path, kind) as file:
            sink = ParquetSink(file, columns) if kind == PARQUET else CsvSink(file, columns)
            try:
                yield sink
                sink.close()
            except BaseException:
                sink.abandon()
                raise
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise TargetError(path, (exc.strerror or str(exc)).lower()) from exc


@contextlib.contextmanager
def _open(path: str, *, force: bool) -> Iterator[IO[bytes]]:
    if path == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path).resolve()  # a link stays, and leads to what is written
    _check_free(target, force=force)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _check_free(target, force=force)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _check_free(target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise TargetError(str(target), "is a folder: expected the name of a file")
    if target.exists() and not target.is_file():
        raise TargetError(str(target), "is no regular file; - is the standard output")
    if target.exists() and not force:
        raise TargetError(str(target), "is there already; --force writes over it")


@contextlib.contextmanager
def _packed(raw: IO[bytes], path: str, kind: str) -> Iterator[IO[bytes]]:
    if kind == CSV and path.lower().endswith(".gz"):
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as file:
            yield cast("IO[bytes]", file)
    else:
        yield raw
