"""Block: up to 1,000 ticks of one feed and shard, the unit that travels on a stream.

Layout, little-endian: a 56-byte header, then columns that numpy reads in place, then the names
of the symbols that occur, joined by newlines, then notices (flag NOTICES) and their length::

    u8 version | u8 flags | u16 symbols | u32 ticks | u64 number | i64 watermark_ns
    i64 feed_time_ns | i64 sealed_ns | u64 position | u64 epoch
    i64 event_ns[n] | f64 price[n] | f64 size[n] | i64 trade_id[n] | i64 seq[n]
    u16 symbol_index[n] | u8 side[n] | utf-8 names [| msgpack notices | u32 their length]

`seq` is left out (flag SEQ_IS_ID) where it equals `trade_id` throughout.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from core.market.errors import BlockError
from core.market.notice import Notice, decode_notices, encode_notices
from core.market.symbol import Symbol
from core.market.tick import Side, Tick

VERSION: Final = 1
MAX_TICKS: Final = 1_000
_SEQ_IS_ID: Final = 1
_END: Final = 2
_NOTICES: Final = 4
_LAST_SIDE: Final = max(Side)
_HEADER: Final = struct.Struct("<BBHIQqqqQQ")
_LENGTH: Final = struct.Struct("<I")

_DTYPES: Final = ("<i8", "<f8", "<f8", "<i8", "<i8", "<u2", "u1")
_WIDTHS: Final = (8, 8, 8, 8, 8, 2, 1)

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]
Row = tuple[int, int, int, int, float, float, int]
"""One tick of a block: (symbol index, event_ns, seq, trade_id, price, size, side)."""


class BlockMeta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a block says besides its ticks.

    ``number`` runs without a hole per stream. ``epoch`` is the fencing token of the writer that
    sealed the block, growing from writer to writer (0: it had none). ``feed_time_ns`` and
    ``watermark_ns`` are the feed's when the block was sealed. ``position`` is how far the source
    was read: every tick of this shard from before it is in this block or an earlier one (replay:
    rows; sim: ticks; live venues: 0). ``end`` marks the last block of a feed that ended.
    ``notices`` hold for what is in this block and before it.
    """

    number: int
    watermark_ns: int
    feed_time_ns: int
    sealed_ns: int
    position: int = 0
    end: bool = False
    epoch: int = 0
    notices: tuple[Notice, ...] = ()

    @property
    def order(self) -> tuple[int, int]:
        """Blocks of a stream grow in this; one that does not is a repeat of one before.

        After a failover a writer publishes again what the new master lacks, under the same
        numbers, and some of it was read before.
        """
        return self.epoch, self.number


@dataclass(frozen=True, slots=True)
class Ticks:
    """Ticks in stream order, in columns of shape ``(n,)``.

    ``symbol_index`` points into ``symbols``. The columns may be read-only views of bytes.
    """

    symbols: tuple[Symbol, ...]
    symbol_index: npt.NDArray[np.integer[Any]]
    event_ns: Int64s
    price: Floats
    size: Floats
    trade_id: Int64s
    seq: Int64s
    side: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.event_ns)

    def ticks(self) -> list[Tick]:
        """The ticks in stream order."""
        symbols = self.symbols
        return [
            Tick(symbols[index], trade_id, price, size, event_ns, Side(side), seq)
            for index, event_ns, seq, trade_id, price, size, side in self.rows()
        ]

    def between(self, start_ns: int, end_ns: int) -> "Ticks":
        """Those with an event time in ``[start_ns, end_ns)``."""
        return self.where((self.event_ns >= start_ns) & (self.event_ns < end_ns))

    def where(self, keep: npt.NDArray[np.bool_]) -> "Ticks":
        """Those for which *keep*, of shape ``(n,)``, is True."""
        return self.at(keep)

    def at(self, which: npt.NDArray[np.bool_] | Positions | slice) -> "Ticks":
        """Those at these positions, in their order; what a slice gives shares memory with this."""
        columns: tuple[npt.NDArray[Any], ...] = (
            self.symbol_index, self.event_ns, self.price, self.size, self.trade_id, self.seq,
            self.side,
        )  # fmt: skip
        return Ticks(self.symbols, *(column[which] for column in columns))

    def rows(self) -> list[Row]:
        """The ticks as plain tuples, in stream order: ten times cheaper than :meth:`ticks`."""
        return list(
            zip(
                self.symbol_index.tolist(),
                self.event_ns.tolist(),
                self.seq.tolist(),
                self.trade_id.tolist(),
                self.price.tolist(),
                self.size.tolist(),
                self.side.tolist(),
                strict=True,
            )
        )


def join_ticks(parts: Sequence[Ticks]) -> Ticks | None:
    """All ticks of *parts* one after the other; None if there is no part."""
    if not parts:
        return None
    known: dict[Symbol, int] = {}
    index: list[Positions] = []
    for part in parts:
        table = [known.setdefault(symbol, len(known)) for symbol in part.symbols]
        index.append(np.array(table, np.intp)[part.symbol_index])
    columns: list[Any] = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("event_ns", "price", "size", "trade_id", "seq", "side")
    ]
    return Ticks(tuple(known), np.concatenate(index), *columns)


@dataclass(frozen=True, slots=True)
class Block(Ticks):
    """A decoded block."""

    meta: BlockMeta


def encode_block(meta: BlockMeta, ticks: Sequence[Tick]) -> bytes:
    """One stream entry's payload from at most :data:`MAX_TICKS` ticks (none: only the meta).

    Raises:
        ValueError: more ticks than that.
    """
    if len(ticks) > MAX_TICKS:
        raise ValueError(f"{len(ticks)} ticks in a block, expected at most {MAX_TICKS}")
    names: dict[str, int] = {}
    index = [names.setdefault(t.symbol, len(names)) for t in ticks]
    ids = np.array([t.trade_id for t in ticks], "<i8")
    seqs = np.array([t.seq for t in ticks], "<i8")
    same = bool((ids == seqs).all())
    flags = (_SEQ_IS_ID if same else 0) | (_END if meta.end else 0)
    notices = encode_notices(meta.notices) if meta.notices else b""
    if notices:
        flags |= _NOTICES
        notices += _LENGTH.pack(len(notices))
    header = _HEADER.pack(
        VERSION,
        flags,
        len(names),
        len(ticks),
        meta.number,
        meta.watermark_ns,
        meta.feed_time_ns,
        meta.sealed_ns,
        meta.position,
        meta.epoch,
    )
    columns = [
        np.array([t.event_ns for t in ticks], "<i8"),
        np.array([t.price for t in ticks], "<f8"),
        np.array([t.size for t in ticks], "<f8"),
        ids,
        *(() if same else (seqs,)),
        np.array(index, "<u2"),
        np.array([t.side for t in ticks], "u1"),
    ]
    return b"".join([header, *(c.tobytes() for c in columns), "\n".join(names).encode(), notices])


def decode_meta(payload: bytes) -> BlockMeta:
    """Read all of a block but its ticks.

    Raises:
        BlockError: too short, another format version, or notices that cannot be read.
    """
    return _unpack_header(payload)[0]


def has_notices(payload: bytes) -> bool:
    """Does this block say more than ticks? Costs nothing."""
    return len(payload) > 1 and bool(payload[1] & _NOTICES)


def decode_block(payload: bytes) -> Block:
    """Read a block; the columns share the memory of *payload*.

    Raises:
        BlockError: another format version, or lengths, names or sides that do not fit.
    """
    meta, flags, n_symbols, n = _unpack_header(payload)
    at, end = _columns(payload, flags, n)
    names = _names(payload, flags, end)
    columns = [
        np.frombuffer(payload, dtype, n, offset) for dtype, offset in zip(_DTYPES, at, strict=True)
    ]
    event_ns, price, size, trade_id, seq, symbol_index, side = columns
    if len(names) != n_symbols or (n and int(np.maximum.reduce(symbol_index)) >= n_symbols):
        raise BlockError(f"{len(names)} symbol names, expected {n_symbols}")
    _check_sides(side)
    symbols = tuple(map(Symbol, names))
    return Block(symbols, symbol_index, event_ns, price, size, trade_id, seq, side, meta)


def decode_blocks(payloads: Sequence[bytes]) -> tuple[list[tuple[BlockMeta, int]], Ticks]:
    """Read many blocks as one: what each says and how many ticks it has, and all ticks in order.

    Much cheaper than one by one, where they are small. Symbols are numbered by first occurrence.

    Raises:
        BlockError: as :func:`decode_block`, of any of them.
    """
    blocks: list[tuple[BlockMeta, int]] = []
    columns: list[list[bytes]] = [[] for _ in _DTYPES]
    known: dict[str, int] = {}
    table: list[int] = []  # of each block in turn, where its symbols are among all
    tables: list[int] = []  # how long each block's part of that is
    for payload in payloads:
        meta, flags, n_symbols, n = _unpack_header(payload)
        at, end = _columns(payload, flags, n)
        for column, offset, width in zip(columns, at, _WIDTHS, strict=True):
            column.append(payload[offset : offset + n * width])
        names = _names(payload, flags, end)
        if len(names) != n_symbols:
            raise BlockError(f"{len(names)} symbol names, expected {n_symbols}")
        table += [known.setdefault(name, len(known)) for name in names]
        blocks.append((meta, n))
        tables.append(n_symbols)
    event_ns, price, size, trade_id, seq, local, side = [
        np.frombuffer(b"".join(column), dtype)
        for column, dtype in zip(columns, _DTYPES, strict=True)
    ]
    _check_sides(side)
    index = _renumbered(local, [n for _, n in blocks], table, tables)
    symbols = tuple(map(Symbol, known))
    return blocks, Ticks(symbols, index, event_ns, price, size, trade_id, seq, side)


def _columns(payload: bytes, flags: int, n: int) -> tuple[tuple[int, ...], int]:
    """Where the columns begin, in the order of :data:`_DTYPES`, and where they end."""
    event_ns = _HEADER.size
    price, size, trade_id = event_ns + 8 * n, event_ns + 16 * n, event_ns + 24 * n
    seq = trade_id if flags & _SEQ_IS_ID else trade_id + 8 * n
    symbol_index = seq + 8 * n
    side = symbol_index + 2 * n
    end = side + n
    if len(payload) < end:
        raise BlockError(f"{len(payload)} bytes cannot hold {n} ticks")
    return (event_ns, price, size, trade_id, seq, symbol_index, side), end


def _renumbered(
    local: npt.NDArray[np.uint16], counts: list[int], table: list[int], tables: list[int]
) -> npt.NDArray[np.intp]:
    """Indices into all symbols, from those into each block's own."""
    names = np.array(tables, np.intp)
    if bool((local >= np.repeat(names, counts)).any()):
        raise BlockError("a tick has no symbol: its index is beyond the names")
    starts = np.repeat(np.cumsum(names) - names, counts)
    found: npt.NDArray[np.intp] = np.array(table, np.intp)[local + starts]
    return found


def _check_sides(side: npt.NDArray[np.uint8]) -> None:
    if len(side) and int(np.maximum.reduce(side)) > _LAST_SIDE:
        raise BlockError(f"side {int(side.max())}, expected at most {_LAST_SIDE}")


def _names(payload: bytes, flags: int, at: int) -> list[str]:
    stop = len(payload)
    if flags & _NOTICES:
        stop -= _LENGTH.size + len(_notices(payload))
    try:
        return payload[at:stop].decode().split("\n") if stop > at else []
    except UnicodeDecodeError as exc:
        raise BlockError("the symbol names are not UTF-8") from exc


def _notices(payload: bytes) -> bytes:
    """The encoded notices of a block that has some."""
    stop = len(payload) - _LENGTH.size
    (length,) = _LENGTH.unpack_from(payload, stop)
    if length > stop - _HEADER.size:
        raise BlockError(f"{len(payload)} bytes cannot hold {length} bytes of notices")
    return payload[stop - length : stop]


def _unpack_header(payload: bytes) -> tuple[BlockMeta, int, int, int]:
    if len(payload) < _HEADER.size:
        raise BlockError(f"{len(payload)} bytes are shorter than the header")
    version, flags, n_symbols, n, number, watermark, feed_time, sealed, position, epoch = (
        _HEADER.unpack_from(payload)
    )
    if version != VERSION:
        raise BlockError(f"format version {version}, expected {VERSION}; upgrade this role")
    meta = BlockMeta(
        number=number,
        watermark_ns=watermark,
        feed_time_ns=feed_time,
        sealed_ns=sealed,
        position=position,
        end=bool(flags & _END),
        epoch=epoch,
        notices=decode_notices(_notices(payload)) if flags & _NOTICES else (),
    )
    return meta, flags, n_symbols, n
