"""Ticks that were sorted and encoded by columns are those that came, in their order."""

from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.market.block import Block
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from gateway import encode
from gateway.channels import Codec
from gateway.runs import UNWANTED, newest, runs, times
from tests.unit.gateway.listeners import block_of

DECADE_NS = 1_700_000_000_000_000_000
SYMBOLS = [Symbol(f"X:{letter}") for letter in "ABCD"]
ticks = st.builds(
    Tick,
    st.sampled_from(SYMBOLS),
    st.sampled_from([1, 2, 3, 2**62, NO_ID]),
    st.sampled_from([0.1, 1.0, 71856.14, 1e-9, 1e22]),
    st.sampled_from([1.0, 0.00000001]),
    st.sampled_from([1, 999, 1_000_001, 123_456_789, 5 * 10**9, 10**10 - 1, 10**10, -1]).map(
        lambda into_ns: DECADE_NS + into_ns
    ),
    st.sampled_from(Side),
    st.integers(0, 2),
)
blocks = st.lists(
    st.one_of(st.lists(ticks, max_size=3), st.lists(ticks, min_size=30, max_size=60)), max_size=4
).map(lambda found: [block_of(some) for some in found])


def decoded(body: bytes, codec: Codec) -> list[dict[str, Any]]:
    if codec.is_text:
        found: list[dict[str, Any]] = msgspec.json.decode(b"[" + body + b"]")
        return [{**trade, "t": digits(trade["t"])} for trade in found]
    count = body.count(b"\xa1T\xa1t")
    whole = b"\xdd" + count.to_bytes(4, "big") + body
    return msgspec.msgpack.decode(whole, type=list[dict[str, Any]])


def digits(time: str) -> tuple[str, int]:
    second, _, fraction = time.removesuffix("Z").partition(".")
    return second, int(fraction.ljust(9, "0"))


@given(blocks, st.sets(st.sampled_from(SYMBOLS)), st.sampled_from(Codec))
def test_runs(found: list[Block], wanted: set[Symbol], codec: Codec) -> None:
    place = {symbol: at for at, symbol in enumerate(sorted(wanted))}
    coded = [(b, [place.get(symbol, UNWANTED) for symbol in b.symbols]) for b in found]

    made = runs(coded)

    expected: dict[int, list[Tick]] = {}
    for block in found:
        for tick in block.ticks():
            if tick.symbol in place:
                expected.setdefault(place[tick.symbol], []).append(tick)
    assert made.keys() == expected.keys()
    for code, some in expected.items():
        rows = [(0, t.event_ns, t.seq, t.trade_id, t.price, t.size, int(t.side)) for t in some]
        plain = decoded(encode.trades(rows, "name", codec), codec)
        assert len(made[code]) == len(some)
        assert decoded(made[code].body("name", codec), codec) == plain
        assert [row[1:] for row in made[code].rows()] == [row[1:] for row in rows]
        assert decoded(made[code].body("name", codec), codec) == plain


@given(blocks)
def test_the_newest_tick_of_a_symbol(found: list[Block]) -> None:
    expected: dict[Symbol, Tick] = {}
    for tick in (tick for block in found for tick in block.ticks()):
        held = expected.get(tick.symbol)
        if held is None or (tick.event_ns, tick.seq) >= (held.event_ns, held.seq):
            expected[tick.symbol] = tick

    got = {symbol: row[1:] for symbol, row in newest(found).items()}

    assert got == {
        symbol: (t.event_ns, t.seq, t.trade_id, t.price, t.size, int(t.side))
        for symbol, t in expected.items()
    }


@given(st.lists(st.integers(-1, 10**10), max_size=5))
def test_times_in_bulk_are_exact(into_ns: list[int]) -> None:
    event_ns = np.array([DECADE_NS + each for each in into_ns], np.int64)

    assert [digits(time) for time in times(event_ns)] == [
        digits(encode.rfc3339(each)) for each in event_ns.tolist()
    ]


def test_very_many_symbols_are_sorted_as_well() -> None:
    block = block_of([Tick(SYMBOLS[at % 2], at, 1.0, 1.0, DECADE_NS, Side.BUY) for at in range(99)])

    made = runs([(block, [40_000, 7])])

    assert {code: len(run) for code, run in made.items()} == {7: 49, 40_000: 50}
