"""Rows and packed arrays. That a server reads them is a contract test."""

import struct
from datetime import UTC, datetime

import pytest

from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from storage.packed import (
    PackedArray,
    bigints,
    blobs,
    booleans,
    floats,
    integers,
    smallints,
    texts,
    times,
    unpack_bigints,
    unpack_booleans,
    unpack_floats,
    unpack_ints,
    unpack_times_ns,
)
from storage.rows import (
    MAX_NS,
    SymbolRow,
    newest_rows,
    newest_trades,
    pack_parts,
    symbol_row_of,
    to_datetime,
    unpack_parts,
)
from tests.contract.storage.market import make_row, make_tick, revised


@pytest.mark.parametrize(
    ("time_ns", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_999, datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        (-1, datetime(1970, 1, 1, tzinfo=UTC)),
        (-(10**40), datetime(1970, 1, 1, tzinfo=UTC)),
        (MAX_NS, datetime(2262, 4, 11, 23, 47, 16, 854775, tzinfo=UTC)),
        (10**40, datetime(2262, 4, 11, 23, 47, 16, 854775, tzinfo=UTC)),
    ],
)
def test_a_time_is_exact_to_the_microsecond_and_held_to_what_is_stored(
    time_ns: int, moment: datetime
) -> None:
    assert to_datetime(time_ns) == moment


@pytest.mark.parametrize("parts", [(), (0.1,), (1e308, -0.0, 5e-324)])
def test_unrounded_sums_keep_every_bit(parts: tuple[float, ...]) -> None:
    assert repr(unpack_parts(pack_parts(parts))) == repr(parts)


def test_of_several_rows_of_a_bar_the_newest_revision_is_left_in_order_of_keys() -> None:
    a, b = make_row("SIM:A", 5), make_row("SIM:A", 1)
    rows = [revised(a, 1), b, revised(a, 3, close=1.0), revised(a, 3, close=2.0), revised(a, 2)]

    assert newest_rows(rows) == [b, revised(a, 3, close=2.0)]


def test_of_several_trades_of_a_symbol_the_newest_is_left() -> None:
    trades = [make_tick("S:A", 5, 1), make_tick("S:A", 5, 2), make_tick("S:A", 5, 1, price=9.0)]
    same = [make_tick("S:B", 1, 1, price=1.0), make_tick("S:B", 1, 1, price=2.0)]

    assert newest_trades(trades + same) == {"S:A": trades[1], "S:B": same[1]}


def test_a_symbol_has_a_last_trade_or_none() -> None:
    assert symbol_row_of(("S:A", None, None, None, None, None, None)) == SymbolRow(Symbol("S:A"))
    assert symbol_row_of(("S:A", NO_ID, 1.0, 2.0, 3, 2, 4)).last_trade == Tick(
        Symbol("S:A"), NO_ID, 1.0, 2.0, 3, Side.SELL, 4
    )


@pytest.mark.parametrize(
    ("packed", "element_type", "elements"),
    [
        (texts(["é"]), 25, b"\0\0\0\2\xc3\xa9"),
        (blobs([b"", b"x"]), 17, b"\0\0\0\0\0\0\0\1x"),
        (floats([1.0]), 701, b"\0\0\0\x08?\xf0\0\0\0\0\0\0"),
        (integers([-2]), 23, b"\0\0\0\4\xff\xff\xff\xfe"),
        (smallints([-2]), 21, b"\0\0\0\2\xff\xfe"),
        (booleans([True, False]), 16, b"\0\0\0\1\1\0\0\0\1\0"),
        (times([946_684_800_000_001_999]), 1184, b"\0\0\0\x08\0\0\0\0\0\0\0\1"),
    ],
)
def test_arrays_are_packed_as_the_server_expects_them(
    packed: PackedArray, element_type: int, elements: bytes
) -> None:
    header, body = packed.binary[:20], packed.binary[20:]

    assert header[:8] == b"\0\0\0\1\0\0\0\0"  # one dimension, no nulls
    assert int.from_bytes(header[8:12]) == element_type
    assert header[16:] == b"\0\0\0\1"  # counted from 1
    assert body == elements


def test_arrays_of_the_server_are_read_as_they_were_packed() -> None:
    start_ns = 1_700_000_000_123_456_000

    assert unpack_ints(bigints([2**62, -1]).binary).tolist() == [2**62, -1]
    assert unpack_ints(integers([7, -(2**31)]).binary).tolist() == [7, -(2**31)]
    assert unpack_booleans(booleans([True, False]).binary).tolist() == [True, False]
    assert unpack_times_ns(times([start_ns, 0]).binary).tolist() == [start_ns, 0]


def test_an_array_with_a_null_or_of_another_length_is_refused() -> None:
    binary = bigints([15, 25]).binary

    with pytest.raises(ValueError, match="none of 2 elements without nulls"):
        unpack_ints(binary[:-1])
    with pytest.raises(ValueError, match="without nulls"):
        unpack_ints(binary[:7] + b"\x01" + binary[8:])


def test_values_one_after_the_other_are_read_by_column() -> None:
    columns = [struct.pack(">2d", 1.5, -0.1), struct.pack(">2d", 5e-324, 1e308)]

    assert unpack_floats(columns).tolist() == [[1.5, -0.1], [5e-324, 1e308]]
    assert unpack_bigints(struct.pack(">2q", 2**63 - 1, -7)).tolist() == [2**63 - 1, -7]
    with pytest.raises(ValueError, match="columns of 16, 8 bytes"):
        unpack_floats([columns[0], columns[1][:8]])
    with pytest.raises(ValueError, match="buffer size"):
        unpack_bigints(b"\0" * 9)
