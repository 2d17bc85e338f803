"""Repeats: trades that come twice in the files of one import, and whether they are the same.

Ids are kept in a temporary file, in parts by id that are looked at one by one: memory is that of
some 100,000 trades and a 64th of the ids, which are 28 bytes each.
"""

import tempfile
from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.market.symbol import Symbol
from core.market.tick import Tick
from tickgate.files.source import SourceError

_HELD: Final = 100_000  # rows in memory, before they go into the file
_PARTS_BITS: Final = 6
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: ids in a row spread evenly
_LINE_BITS: Final = 44
_ROW: Final = np.dtype([("symbol", "i4"), ("id", "i8"), ("told", "i8"), ("where", "i8")])

Rows = NDArray[Any]


class Place(NamedTuple):
    """A line of a file."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class Contradiction(NamedTuple):
    """Two rows with one id that are not one trade: their time, price or size differ."""

    place: Place
    before: Place


class Repeats:
    """Takes the trades of an import, file by file. Used by one thread; close it."""

    def __init__(self, *, held: int = _HELD) -> None:
        """*held*: so many rows are in memory before they are written to a temporary file."""
        self._most_held = held
        self._paths: list[str] = []
        self._symbols: dict[Symbol, int] = {}
        self._held: list[tuple[int, int, int, int]] = []
        self._file: IO[bytes] | None = None
        self._sizes: list[list[int]] = []  # of each write: rows by part
        self.equal = 0
        """Rows that say again what another one says, once all contradictions were read."""

    def add(self, path: str, line: int, tick: Tick) -> None:
        """Take one trade.

        Raises:
            SourceError: there is no room for the temporary file.
        """
        if not self._paths or self._paths[-1] != path:
            self._paths.append(path)
        symbol = self._symbols.setdefault(tick.symbol, len(self._symbols))
        told = hash((tick.event_ns, tick.price, tick.size))
        where = (len(self._paths) - 1 << _LINE_BITS) + line
        self._held.append((symbol, tick.trade_id, told, where))
        if len(self._held) >= self._most_held:
            self._write()

    def contradictions(self) -> Iterator[Contradiction]:
        """The rows that say another thing than one before with their id, once all are taken.

        Raises:
            SourceError: the temporary file cannot be written or read.
        """
        self.equal = 0
        for rows in self._parts():
            rows = rows[np.lexsort((rows["where"], rows["id"], rows["symbol"]))]
            old, new = rows[:-1], rows[1:]
            again = (old["symbol"] == new["symbol"]) & (old["id"] == new["id"])
            differs = again & (old["told"] != new["told"])
            self.equal += int(np.count_nonzero(again & ~differs))
            for at in np.flatnonzero(differs):
                yield Contradiction(self._place(new["where"][at]), self._place(old["where"][at]))

    def close(self) -> None:
        """Give the temporary file back."""
        if self._file is not None:
            self._file.close()

    def _place(self, where: int) -> Place:
        path, line = divmod(int(where), 1 << _LINE_BITS)
        return Place(self._paths[path], line)

    def _write(self) -> None:
        rows = np.array(self._held, _ROW)
        self._held = []
        shift = np.uint64(64 - _PARTS_BITS)
        part = (rows["id"].astype("u8") * _SPREAD >> shift).astype("i8")
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - close() does
            self._file.write(rows[np.argsort(part, kind="stable")].tobytes())
        except OSError as exc:
            raise _no_room(exc) from exc
        self._sizes.append(np.bincount(part, minlength=1 << _PARTS_BITS).tolist())

    def _parts(self) -> Iterator[Rows]:
        if self._file is None:
            yield np.array(self._held, _ROW)
            return
        self._write()
        begins = np.concatenate(([0], np.cumsum([n for sizes in self._sizes for n in sizes])))
        for part in range(1 << _PARTS_BITS):
            spans = [write * (1 << _PARTS_BITS) + part for write in range(len(self._sizes))]
            yield np.concatenate([self._read(begins[at], begins[at + 1]) for at in spans])

    def _read(self, begin: int, end: int) -> Rows:
        assert self._file is not None
        try:
            self._file.seek(int(begin) * _ROW.itemsize)
            found = self._file.read(int(end - begin) * _ROW.itemsize)
        except OSError as exc:
            raise _no_room(exc) from exc
        return np.frombuffer(found, _ROW)


def _no_room(error: OSError) -> SourceError:
    return SourceError(
        tempfile.gettempdir(),
        f"no temporary file for the ids of the trades: {error.strerror or error}; TMPDIR names "
        "another folder",
    )
