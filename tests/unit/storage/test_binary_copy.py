"""Binary COPY, read back by the book. That a server reads it is a contract test."""

import struct

from core.market.bar import BarRow
from core.market.timeframe import TIMEFRAMES, Timeframe
from storage.bar_tables import CHUNK_NS, TABLES
from storage.binary_copy import encode_rows
from tests.contract.storage.market import make_row

_US_1970_TO_2000 = 946_684_800_000_000


def read(payload: bytes) -> list[list[bytes]]:
    """The fields of each row."""
    assert payload[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    at, rows = 19, []
    while (count := struct.unpack_from(">h", payload, at)[0]) != -1:
        at, fields = at + 2, []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", payload, at)
            fields.append(payload[at + 4 : at + 4 + length])
            at += 4 + length
        rows.append(fields)
    assert at + 2 == len(payload)
    return rows


def test_each_row_has_its_fields_in_the_order_of_the_columns() -> None:
    first = make_row("KRAKEN:É/USD", 3, rev=2, gap=True)
    rows = [first, make_row("SIM:A", 4), BarRow(first.bar, (-1, 2), (3, -4), (), (0.1, -0.0))]

    fields = read(encode_rows(rows))

    assert len(fields) == 3
    for row, found in zip(rows, fields, strict=True):
        bar = row.bar
        assert found[0].decode() == bar.symbol
        assert struct.unpack(">q", found[1])[0] == bar.start_ns // 1000 - _US_1970_TO_2000
        prices = [struct.unpack(">d", field)[0] for field in found[2:7]]
        assert prices == [bar.open, bar.high, bar.low, bar.close, bar.volume]
        assert struct.unpack(">qd i ?", b"".join(found[7:11]).ljust(21)) == (
            (bar.trades, bar.vwap, bar.rev, bar.gap)
        )
        keys = tuple(struct.unpack(">q", field)[0] for field in found[11:15])
        assert keys == row.open_key + row.close_key
        parts = (row.volume_parts, row.notional_parts)
        assert found[15:] == [struct.pack(f"<{len(floats)}d", *floats) for floats in parts]


def test_no_rows_are_a_start_and_an_end() -> None:
    assert read(encode_rows([])) == []


def test_each_timeframe_has_a_table_whose_chunks_are_whole_weeks_of_some_thousand_bars() -> None:
    assert set(TABLES) == set(CHUNK_NS) == set(TIMEFRAMES)
    for timeframe in Timeframe:
        assert CHUNK_NS[timeframe] % (7 * 24 * 3_600 * 10**9) == 0
        assert 5_000 < CHUNK_NS[timeframe] // timeframe.ns < 20_000
