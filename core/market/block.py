"""Block: up to 1,000 ticks of one feed and shard, the unit that travels on a stream.

Layout, little-endian: a 56-byte header, then columns that numpy reads in place, then the names
of the symbols that occur, joined by newlines::

    u8 version | u8 flags | u16 symbols | u32 ticks | u64 number | i64 watermark_ns
    i64 feed_time_ns | i64 sealed_ns | u64 position | u64 reserved
    i64 event_ns[n] | f64 price[n] | f64 size[n] | i64 trade_id[n] | i64 seq[n]
    u16 symbol_index[n] | u8 side[n] | utf-8 names

`seq` is left out (flag SEQ_IS_ID) where it equals `trade_id` throughout.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.market.errors import BlockError
from core.market.symbol import Symbol
from core.market.tick import Side, Tick

VERSION: Final = 1
MAX_TICKS: Final = 1_000
_SEQ_IS_ID: Final = 1
_END: Final = 2
_LAST_SIDE: Final = max(Side)
_HEADER: Final = struct.Struct("<BBHIQqqqQQ")

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Row = tuple[int, int, int, int, float, float, int]
"""One tick of a block: (symbol index, event_ns, seq, trade_id, price, size, side)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMeta:
    """What a block says besides its ticks.

    ``number`` runs without a hole per stream. ``feed_time_ns`` and ``watermark_ns`` are the
    feed's when the block was sealed. ``position`` is how far the source was read: every tick of
    this shard from before it is in this block or an earlier one (replay: rows; sim: ticks; live
    venues: 0). ``end`` marks the last block of a feed that ended.
    """

    number: int
    watermark_ns: int
    feed_time_ns: int
    sealed_ns: int
    position: int = 0
    end: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A decoded block; the columns are read-only views of the entry's bytes, shape ``(n,)``."""

    meta: BlockMeta
    symbols: tuple[Symbol, ...]
    symbol_index: npt.NDArray[np.uint16]
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
        0,
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
    return b"".join([header, *(c.tobytes() for c in columns), "\n".join(names).encode()])


def decode_meta(payload: bytes) -> BlockMeta:
    """Read only the header of a block.

    Raises:
        BlockError: too short, or another format version.
    """
    return _unpack_header(payload)[0]


def decode_block(payload: bytes) -> Block:
    """Read a block; the columns share the memory of *payload*.

    Raises:
        BlockError: another format version, or lengths, names or sides that do not fit.
    """
    meta, flags, n_symbols, n = _unpack_header(payload)
    widths: list[tuple[str, int]] = [("<i8", 8), ("<f8", 8), ("<f8", 8), ("<i8", 8)]
    if not flags & _SEQ_IS_ID:
        widths.append(("<i8", 8))
    widths += [("<u2", 2), ("u1", 1)]
    if len(payload) < _HEADER.size + n * sum(width for _, width in widths):
        raise BlockError(f"{len(payload)} bytes cannot hold {n} ticks")
    columns: list[npt.NDArray[Any]] = []
    offset = _HEADER.size
    for dtype, width in widths:
        columns.append(np.frombuffer(payload, dtype, n, offset))
        offset += n * width
    names = _split_names(payload[offset:])
    *wide, symbol_index, side = columns
    if len(names) != n_symbols or (n and int(np.maximum.reduce(symbol_index)) >= n_symbols):
        raise BlockError(f"{len(names)} symbol names, expected {n_symbols}")
    if n and int(np.maximum.reduce(side)) > _LAST_SIDE:
        raise BlockError(f"side {int(side.max())}, expected at most {_LAST_SIDE}")
    seq = wide[3] if flags & _SEQ_IS_ID else wide[4]
    event_ns, price, size, trade_id = wide[:4]
    symbols = tuple(Symbol(name) for name in names)
    return Block(meta, symbols, symbol_index, event_ns, price, size, trade_id, seq, side)


def _split_names(encoded: bytes) -> list[str]:
    try:
        return encoded.decode().split("\n") if encoded else []
    except UnicodeDecodeError as exc:
        raise BlockError("the symbol names are not UTF-8") from exc


def _unpack_header(payload: bytes) -> tuple[BlockMeta, int, int, int]:
    if len(payload) < _HEADER.size:
        raise BlockError(f"{len(payload)} bytes are shorter than the header")
    version, flags, n_symbols, n, number, watermark, feed_time, sealed, position, _ = (
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
    )
    return meta, flags, n_symbols, n
