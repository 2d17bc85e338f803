"""Bars: their form on a stream."""

import math

import msgspec
import pytest

from core.market.bar import Bar, BarRow, decode_bars, encode_bars, within
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe

BAR = Bar(Symbol("SIM:A"), Timeframe.MIN_5, 300, 1.0, 3.0, 0.5, 2.0, 10.5, 4, 1.25)


def test_bars_read_back_as_they_were_written() -> None:
    bars = [BAR, msgspec.structs.replace(BAR, rev=3, final=False, gap=True)]

    assert decode_bars(encode_bars(bars)) == bars
    assert decode_bars(encode_bars(())) == []
    assert (BAR.rev, BAR.final, BAR.gap) == (0, True, False)


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x91\x01", msgspec.msgpack.encode([["A"]])])
def test_something_else_is_refused(payload: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_bars(payload)


def test_an_average_is_one_of_prices_however_it_was_rounded() -> None:
    assert 0.1 * 3 / 3 > 0.1
    assert within(0.1 * 3 / 3, 0.1, 0.1) == 0.1
    assert within(0.1 * 3 / 3, 0.1, 0.2) == 0.1 * 3 / 3
    assert within(math.nextafter(0.1, 0), 0.1, 0.2) == 0.1
    assert [within(price, 1.0, 2.0) for price in (1.0, 1.5, 2.0)] == [1.0, 1.5, 2.0]
    assert [within(price, 1.0, 2.0) for price in (0.999, 2.001)] == [0.999, 2.001]  # as given


def test_a_row_holds_a_bar_and_what_a_revision_needs() -> None:
    row = BarRow(BAR, (1, 2), (3, 4), (0.1, 0.2), (0.3,))

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=BarRow) == row
