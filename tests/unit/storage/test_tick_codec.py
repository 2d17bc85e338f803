"""The payloads of the tick log: all that went in comes out, in order, by slot and symbol."""

import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.market.block import BlockMeta, Ticks, decode_block, encode_block
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from storage.errors import TickLogError
from storage.tick_codec import SLOT_NS, decode_slot, decode_symbol, encode_slots

START = 1_700_000_000 * 10**9
INT64 = st.integers(-(2**63), 2**63 - 1)
TICKS = st.builds(
    Tick,
    symbol=st.sampled_from([Symbol("SIM:A"), Symbol("SIM:É"), Symbol("V:C-D")]),
    trade_id=INT64,
    price=st.floats(1e-300, 1e300),
    size=st.floats(1e-300, 1e300),
    event_ns=st.integers(0, 3 * SLOT_NS).map(lambda after: START + after),
    side=st.sampled_from(Side),
    seq=INT64,
)


def part(ticks: list[Tick]) -> Ticks:
    meta = BlockMeta(number=1, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
    return decode_block(encode_block(meta, ticks))


def by_slot_and_symbol(ticks: list[Tick]) -> dict[tuple[int, str], list[Tick]]:
    found: dict[tuple[int, str], list[Tick]] = {}
    for tick in ticks:
        found.setdefault((tick.event_ns // SLOT_NS * SLOT_NS, tick.symbol), []).append(tick)
    return found


@given(st.lists(st.lists(TICKS, max_size=20), max_size=5), st.booleans())
def test_ticks_come_out_as_they_went_in(parts: list[list[Tick]], compress: bool) -> None:
    slots = encode_slots([part(ticks) for ticks in parts], compress=compress)

    ticks = [tick for some in parts for tick in some]
    found = {
        (slot.slot_ns, some.symbols[0]): some.ticks()
        for slot in slots
        for some in decode_slot(slot.payload)
    }
    assert found == by_slot_and_symbol(ticks)
    assert [slot.slot_ns for slot in slots] == sorted({slot_ns for slot_ns, _ in found})
    for slot in slots:
        inside = [t for t in ticks if t.event_ns // SLOT_NS * SLOT_NS == slot.slot_ns]
        assert slot.ticks == len(inside)
        assert slot.from_ns == min(t.event_ns for t in inside)
        assert slot.to_ns == max(t.event_ns for t in inside)


def test_one_symbol_is_read_alone() -> None:
    ticks = [Tick(Symbol(f"SIM:{n % 3}"), n, 1.0 + n, 2.0, START, seq=n) for n in range(9)]
    (slot,) = encode_slots([part(ticks)])

    one = decode_symbol(slot.payload, Symbol("SIM:1"))

    assert one is not None
    assert one.ticks() == [ticks[1], ticks[4], ticks[7]]
    assert decode_symbol(slot.payload, Symbol("SIM:3")) is None


def test_a_tick_that_is_hours_late_gets_a_payload_of_its_own() -> None:
    usual = [Tick(Symbol("SIM:A"), n, 1.0, 2.0, START + n, seq=n) for n in range(9)]
    late = Tick(Symbol("SIM:A"), 99, 1.0, 2.0, START - 7 * 3_600 * 10**9, seq=99)

    first, second = encode_slots([part([*usual[:5], late, *usual[5:]])])

    assert (first.ticks, first.from_ns, first.to_ns) == (1, late.event_ns, late.event_ns)
    assert (second.ticks, second.from_ns, second.to_ns) == (9, START, START + 8)


def test_trades_take_ten_bytes_each() -> None:
    noise = random.Random(3)
    walk = [round(60_000 + noise.gauss(0, 20), 2) for _ in range(500)]
    times = sorted(noise.randrange(10**10) for _ in range(500))
    ticks = [
        Tick(Symbol("SIM:A"), 10**9 + n, price, round(noise.expovariate(2), 3), START + at, seq=n)
        for n, (price, at) in enumerate(zip(walk, times, strict=True))
    ]
    ticks = [Tick(t.symbol, t.trade_id, t.price, t.size, t.event_ns, seq=t.trade_id) for t in ticks]

    (slot,) = encode_slots([part(ticks)])
    (plain,) = encode_slots([part(ticks)], compress=False)

    assert len(slot.payload) < 17 * len(ticks)  # noise has more bits than trades have
    assert 33 * len(ticks) <= len(plain.payload) < 34 * len(ticks)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\1", "1 bytes are shorter than the header"),
        (struct.pack("<BBII", 9, 0, 1, 1), "format version 9, expected 2"),
        (struct.pack("<BBII", 1, 0, 1, 1) + b"none", "cannot be decompressed"),
        (struct.pack("<BBII", 2, 0, 1, 1) + b"none", "cannot be decompressed"),
        (struct.pack("<BBII", 1, 2, 1, 1) + bytes(9), "9 bytes cannot hold 1 ticks of 1 symbols"),
        (
            struct.pack("<BBII", 1, 0, 2, 1)
            + zlib.compress(struct.pack("<II41s", 1, 0, b"") + b"A"),
            "1 symbol names and 1 ticks, expected 2 and 1",
        ),
    ],
)
def test_a_damaged_payload_is_named(payload: bytes, reason: str) -> None:
    with pytest.raises(TickLogError, match=reason):
        decode_symbol(payload, Symbol("A"))


def test_what_was_written_with_zlib_is_read() -> None:
    ticks = [Tick(Symbol("SIM:A"), n, 1.0 + n, 2.0, START, seq=n) for n in range(9)]
    (plain,) = encode_slots([part(ticks)], compress=False)
    _, _, symbols, count = struct.unpack_from("<BBII", plain.payload)
    old = struct.pack("<BBII", 1, 1, symbols, count) + zlib.compress(plain.payload[10:])

    (found,) = decode_slot(old)

    assert found.ticks() == ticks


def test_ticks_without_ids_keep_their_place() -> None:
    ticks = [Tick(Symbol("SIM:A"), NO_ID, float(n + 1), 1.0, START) for n in range(5)]
    (slot,) = encode_slots([part(ticks)])

    (found,) = decode_slot(slot.payload)

    assert [tick.price for tick in found.ticks()] == [1.0, 2.0, 3.0, 4.0, 5.0]
