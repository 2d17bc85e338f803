"""Binary COPY: stored bars in the form that PostgreSQL takes in fastest. Pure.

One packing call a row, 1.2 us in all; columns packed by numpy and cut into rows again take longer.

Source: PostgreSQL, `doc/src/sgml/ref/copy.sgml`, "Binary Format" (a signature, then per row an
int16 count of fields, each an int32 length and its binary form; int16 -1 at the end).
"""

import struct
from collections.abc import Iterable
from typing import Final

from core.market.bar import BarRow
from storage.packed import POSTGRES_EPOCH_US
from storage.rows import pack_parts

_START: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
_END: Final = b"\xff\xff"
_FIELDS: Final = 17
_HEAD: Final = struct.Struct(">hi")  # count of fields, length of the symbol
_LENGTH: Final = struct.Struct(">i")
# Time, open, high, low, close, volume, trades, vwap, rev, gap and four keys, lengths before them.
_NUMBERS: Final = struct.Struct(">iq idididididiqid ii i? iqiqiqiq")


def encode_rows(rows: Iterable[BarRow]) -> bytes:
    """All of *rows*, of one timeframe, for :func:`storage.bar_tables.copy_sql`."""
    pack, length = _NUMBERS.pack, _LENGTH.pack
    heads: dict[str, bytes] = {}
    found = [_START]
    for row in rows:
        bar = row.bar
        head = heads.get(bar.symbol)
        if head is None:
            name = bar.symbol.encode()
            head = heads[bar.symbol] = _HEAD.pack(_FIELDS, len(name)) + name
        volume, notional = pack_parts(row.volume_parts), pack_parts(row.notional_parts)
        numbers = pack(
            8, bar.start_ns // 1_000 - POSTGRES_EPOCH_US,
            8, bar.open, 8, bar.high, 8, bar.low, 8, bar.close, 8, bar.volume,
            8, bar.trades, 8, bar.vwap, 4, bar.rev, 1, bar.gap,
            8, row.open_key[0], 8, row.open_key[1], 8, row.close_key[0], 8, row.close_key[1],
        )  # fmt: skip
        found += (head, numbers, length(len(volume)), volume, length(len(notional)), notional)
    found.append(_END)
    return b"".join(found)
