"""ReplayFile: reads a CSV of trades, plain or gzip, in slices; blocking, for a worker thread."""

import csv
import gzip
import io
import zlib
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from ingest.errors import ReplayFileError, RowError
from ingest.replay_rows import HEADER, RowReader, TradeIdRanks, is_int64

_GZIP_MAGIC: Final = b"\x1f\x8b"
_MAX_LINE_CHARS: Final = 10_000  # a longer one is no row of six fields
_MAX_TEXT_IDS: Final = 20_000_000  # about 2 GB of ranks; larger files need integer ids


class Row(NamedTuple):
    """One row, counted from 1: its tick, or why it is none."""

    number: int
    tick: Tick | None
    error: RowError | None


class ReplayFile:
    """One file of trades. Its methods block: call them in a thread, one at a time."""

    def __init__(self, path: str, venue: str) -> None:
        self._path, self._venue = Path(path), venue
        self._lines: IO[str] | None = None
        self._reader: RowReader | None = None
        self._number = 0

    def open(self) -> str:
        """Check the header, look at all ids, and stand before the first row.

        Returns:
            A short name for what is in the file: equal for equal first lines, whatever the path,
            so that a replay that was interrupted finds its streams again and another file's
            replay does not take them.

        Raises:
            ReplayFileError: it cannot be read, or the header is not the expected one.
        """
        try:
            self._reader = RowReader(self._venue, self._scan_ids())
            self._lines = self._open()
            head = self._lines.readline() + self._lines.readline(_MAX_LINE_CHARS)
            self._lines.seek(0)
            self._lines.readline()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as exc:
            raise ReplayFileError(str(self._path), _reason(exc)) from exc
        return blake2b(head.encode(), digest_size=3).hexdigest()

    def read(self, count: int) -> list[Row]:
        """The next *count* rows; fewer only at the end. Empty lines count and say so.

        Raises:
            ReplayFileError: the file broke off or became unreadable.
        """
        assert self._lines is not None, "open() comes first"
        try:
            lines = list(islice(self._lines, count))
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as exc:
            raise ReplayFileError(str(self._path), _reason(exc)) from exc
        return [self._row(line) for line in lines]

    def skip(self, rows: int) -> None:
        """Go past *rows* rows unread."""
        assert self._lines is not None, "open() comes first"
        self._number += sum(1 for _ in islice(self._lines, rows))

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()

    def placeholder(self) -> Tick:
        """Stands in the quarantine for a row that is no trade."""
        nan = float("nan")
        return Tick(Symbol(f"{self._venue}:?"), NO_ID, nan, nan, 0)

    def _row(self, line: str) -> Row:
        assert self._reader is not None
        self._number += 1
        try:
            return Row(self._number, self._reader.read(_fields(line), self._number + 1), None)
        except RowError as exc:
            return Row(self._number, None, exc)

    def _scan_ids(self) -> TradeIdRanks | None:
        """None when every id is an integer or empty; else the order of them all."""
        with self._open() as lines:
            header = lines.readline(_MAX_LINE_CHARS).rstrip("\r\n").lstrip("\ufeff")
            names = tuple(name.strip().strip('"').lower() for name in header.split(","))
            if names != HEADER:
                reason = f"the first line must be {','.join(HEADER)}, was {header[:100]!r}"
                raise ReplayFileError(str(self._path), reason)
            if all(is_int64(text) for line in lines if (text := _id_text(line))):
                return None
        with self._open() as lines:
            next(lines)
            ids = {text for line in lines if (text := _id_text(line))}
        if len(ids) > _MAX_TEXT_IDS:
            reason = f"{len(ids)} ids that are no integers; at most {_MAX_TEXT_IDS} can be ordered"
            raise ReplayFileError(str(self._path), reason)
        return TradeIdRanks(ids)

    def _open(self) -> IO[str]:
        with self._path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
        raw: Any = gzip.GzipFile(self._path) if compressed else self._path.open("rb")
        # A byte that is no UTF-8 spoils its row only.
        return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace")


def _id_text(line: str) -> str:
    """The second field, where there are six."""
    fields = _fields(line)
    return fields[1] if len(fields) == len(HEADER) else ""


def _fields(line: str) -> list[str]:
    """Without a full parse, where nothing is quoted: quotes are rare."""
    text = line.rstrip("\r\n")[:_MAX_LINE_CHARS]
    return text.split(",") if '"' not in text else next(csv.reader([text]), [])


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"broken off or no readable gzip ({error})"
