"""Parquet by pyarrow, which is installed only where somebody wants it: the extra ``parquet``."""

import importlib
import io
from collections.abc import Iterator, Sequence
from typing import IO, Any

from core.market.errors import TickgateError
from tickgate.files.columns import Column, Kind, Table

_BATCH_ROWS = 10_000


class ParquetMissing(TickgateError):
    """Parquet was asked for and pyarrow is not installed."""

    def __str__(self) -> str:
        return "Parquet needs pyarrow: `pip install pyarrow` where tickgate runs, or use csv"


class _Gate(io.RawIOBase):
    """Passes on what is written; nothing more once it is shut."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file, self.is_shut = file, False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if not self.is_shut:
            self._file.write(data)
        return len(data)


class ParquetSink:
    """Writes tables into a Parquet file, a row group each; owned by who writes."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        """*file* stays the caller's.

        Raises:
            ParquetMissing: there is no pyarrow.
        """
        self._arrow, parquet = _load()
        self._gate = _Gate(file)
        types = _types(self._arrow)
        fields = [self._arrow.field(column.name, types[column.kind]) for column in columns]
        self._schema = self._arrow.schema(fields)
        self._writer = parquet.ParquetWriter(self._gate, self._schema, compression="zstd")

    def write(self, table: Table) -> None:
        """Append the rows of *table*."""
        arrays = [self._arrow.array(table[f.name], f.type) for f in self._schema]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the end; the file is none without it."""
        self._writer.close()

    def abandon(self) -> None:
        """End without an end: what was written is no Parquet file."""
        self._gate.is_shut = True  # the writer insists on an end, be it when it is collected
        try:
            self._writer.close()
        except (self._arrow.ArrowException, OSError, ValueError):
            self._writer.is_open = False  # what it could not write before, it cannot now


def folded(name: str) -> str:
    """The name of a column as it is looked for, whatever its case."""
    return name.strip().lower()


def parquet_columns(file: IO[bytes]) -> list[str]:
    """The names of the columns of a file.

    Raises: as :func:`read_parquet`.
    """
    arrow, parquet = _load()
    try:
        return [str(name) for name in parquet.ParquetFile(file).schema_arrow.names]
    except (arrow.ArrowException, OSError) as exc:
        raise _unreadable(exc) from exc


def read_parquet(file: IO[bytes], names: Sequence[str]) -> Iterator[Table]:
    """Tables of the columns *names*, those that are there, some thousand rows at a time.

    Raises:
        ParquetMissing: there is no pyarrow.
        ValueError: it is no Parquet file, or is damaged.
    """
    arrow, parquet = _load()
    try:
        source = parquet.ParquetFile(file)
        spelled = {folded(name): name for name in source.schema_arrow.names}
        wanted = {name: spelled[name] for name in names if name in spelled}
        for batch in source.iter_batches(_BATCH_ROWS, columns=list(wanted.values())):
            yield {name: _values(arrow, batch.column(there)) for name, there in wanted.items()}
    except (arrow.ArrowException, OSError) as exc:
        raise _unreadable(exc) from exc


def _unreadable(error: Exception) -> ValueError:
    return ValueError(" ".join(str(error).split()))


def _values(arrow: Any, array: Any) -> list[Any]:
    if arrow.types.is_timestamp(array.type):
        array = array.cast(arrow.timestamp("ns", array.type.tz)).cast(arrow.int64())
    values: list[Any] = array.to_pylist()
    if arrow.types.is_decimal(array.type):
        number = float if array.type.scale > 0 else int
        return [None if value is None else number(value) for value in values]
    return values


def _load() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as exc:
        raise ParquetMissing from exc


def _types(arrow: Any) -> dict[Kind, Any]:
    return {
        Kind.TEXT: arrow.string(),
        Kind.WHOLE: arrow.int64(),
        Kind.FLOAT: arrow.float64(),
        Kind.FLAG: arrow.bool_(),
        Kind.TIME: arrow.timestamp("ns", "UTC"),
    }
