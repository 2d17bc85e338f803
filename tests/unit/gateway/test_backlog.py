"""What was missed, by stream and symbol: each piece encoded once, in order, cut where asked."""

import msgspec
import pytest

from core.market.bar import Bar, encode_bars
from core.market.block import Block, BlockMeta, decode_block, encode_block
from core.market.notice import Cancel
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from gateway.backlog import Newest, Stretch, decode_entry, joined
from gateway.channels import Channel, Codec
from gateway.frames import Fragment
from storage.entry_id import ZERO_ID, EntryId
from tests.unit.gateway.listeners import START_NS

A, B = Symbol("X:A"), Symbol("X:B")


def at(ms: int) -> EntryId:
    return EntryId(ms, 0)


def block(number: int, *ticks: tuple[Symbol, int]) -> Block:
    meta = BlockMeta(number=number, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
    return decode_block(
        encode_block(
            meta,
            [Tick(symbol, i, 1.0, 1.0, START_NS, Side.BUY, i + 1) for symbol, i in ticks],
        )
    )


def bar(symbol: Symbol, open_: float) -> Bar:
    return Bar(symbol, Timeframe.MIN_1, START_NS, open_, 9.0, 0.1, 2.0, 1.0, 1, 1.0)


def stretch_of(*blocks: Block, stop_messages: int = 1 << 20) -> Stretch:
    stretch = Stretch(ZERO_ID, stop_messages)
    for ms, each in enumerate(blocks, 1):
        stretch.add(at(ms), each)
    return stretch


def trades(stretch: Stretch, symbol: Symbol, after: int, last: int) -> list[int]:
    found = stretch.fragment(
        Channel.TRADES, symbol, symbol, Codec.JSON, (EntryId(after, 0), at(last))
    )
    return ids(found)


def ids(fragment: Fragment | None) -> list[int]:
    if fragment is None:
        return []
    messages = msgspec.json.decode(b"[" + fragment.body + b"]")
    assert fragment.count == len(messages)
    return [message["i"] for message in messages]


def test_a_part_is_what_lies_between_two_entries() -> None:
    stretch = stretch_of(block(1, (A, 1), (B, 2)), block(2, (A, 3)), block(3, (A, 4)))

    assert trades(stretch, A, 0, 3) == [1, 3, 4]
    assert trades(stretch, A, 1, 2) == [3]
    assert trades(stretch, B, 1, 3) == []
    assert trades(stretch, Symbol("X:C"), 0, 3) == []
    assert stretch.fragment(Channel.BARS, A, A, Codec.JSON, (ZERO_ID, at(3))) is None


def test_a_large_block_gives_each_symbol_its_ticks_in_order() -> None:
    some = [(A if n % 3 else B, n) for n in range(60)]
    stretch = stretch_of(block(1, *some))

    assert trades(stretch, A, 0, 1) == [n for n in range(60) if n % 3]
    assert trades(stretch, B, 0, 1) == [n for n in range(60) if not n % 3]


def test_whoever_asks_for_the_same_gets_the_same() -> None:
    stretch = stretch_of(*[block(n, (A, n)) for n in range(1, 60)])
    span = at(3), at(50)

    first = stretch.fragment(Channel.TRADES, A, "a", Codec.MSGPACK, span)
    assert first is stretch.fragment(Channel.TRADES, A, "a", Codec.MSGPACK, span)
    assert first is not None
    for after in range(40):  # more spans than are kept
        assert trades(stretch, A, after, 50) == list(range(after + 1, 51))
        assert trades(stretch, A, 3, 50 + after % 9) == list(range(4, 51 + after % 9))
    assert len(first.units(64)) > 1  # it can be cut where messages are short


def test_what_comes_later_is_found_too() -> None:
    stretch = stretch_of(block(1, (A, 1)))
    assert trades(stretch, A, 0, 9) == [1]

    stretch.add(at(2), block(2, (A, 2)))

    assert trades(stretch, A, 0, 9) == [1, 2]
    assert stretch.reached == at(2)


def test_a_hole_is_where_a_number_is_missing() -> None:
    assert stretch_of(block(1), block(2)).hole == ZERO_ID
    assert stretch_of(block(2)).hole == at(1)  # the first of a stream has the number 1
    assert stretch_of(block(1), block(3), block(4)).hole == at(2)
    begun = Stretch(at(5), 1 << 20, 7)
    begun.add(at(6), block(9))
    assert begun.hole == at(6)
    unknown = Stretch(at(5), 1 << 20)
    unknown.add(at(6), block(9))
    assert unknown.hole == ZERO_ID


def test_a_client_is_served_about_so_many_messages_in_one_go() -> None:
    stretch = stretch_of(*[block(n, (A, n)) for n in range(1, 10)], stop_messages=2)

    stops = [ZERO_ID]
    while stops[-1] != stretch.reached:
        stops.append(stretch.next_stop(stops[-1]))

    assert [stop.ms for stop in stops] == [0, 4, 8, 9]


def test_bars_are_told_apart_by_channel() -> None:
    stretch = Stretch(ZERO_ID, 1 << 20)
    stretch.add(at(1), [bar(A, 1.0), bar(B, 2.0)])
    stretch.add(at(2), [msgspec.structs.replace(bar(A, 3.0), rev=1)])

    closed = stretch.fragment(Channel.BARS, A, "A", Codec.JSON, (ZERO_ID, at(2)))
    updated = stretch.fragment(Channel.UPDATED_BARS, A, "A", Codec.JSON, (ZERO_ID, at(2)))

    assert closed is not None
    assert updated is not None
    assert [m["o"] for m in msgspec.json.decode(b"[" + closed.body + b"]")] == [1.0]
    assert [m["T"] for m in msgspec.json.decode(b"[" + updated.body + b"]")] == ["u"]
    assert set(stretch.channels()) == {Channel.BARS, Channel.UPDATED_BARS}


def test_the_newest_message_of_each() -> None:
    newest = Newest()
    newest.note("key", stretch_of(block(1, (A, 1), (B, 2)), block(2, (A, 3))))
    newest.note("key", stretch_of(block(1, (A, 9))))  # an older stretch

    found = newest.of("key", Channel.TRADES, A)

    assert found is not None
    assert [(entry_id, row[3]) for entry_id, row in found] == [(at(2), 3)]
    assert set(newest.symbols("key", Channel.TRADES)) == {A, B}
    assert newest.of("key", Channel.BARS, A) is None
    assert stretch_of().newest(Channel.TRADES, A) is None


def test_notices_come_with_the_newest_trade_before_them_from_stretches_that_overlap() -> None:
    def cancel(number: int, ident: int) -> Block:
        notice = Cancel(A, START_NS, ident, 1.0, 1.0)
        meta = BlockMeta(
            number=number, watermark_ns=0, feed_time_ns=0, sealed_ns=0, notices=(notice,)
        )
        return decode_block(encode_block(meta, []))

    later = Stretch(at(1), 1 << 20)
    later.add(at(2), cancel(2, 1))
    later.add(at(3), cancel(3, 2))
    newest = Newest()
    newest.note("key", stretch_of(block(1, (A, 1), (B, 2)), cancel(2, 1)))
    newest.note("key", later)

    found = newest.of("key", Channel.TRADES, A)

    assert found is not None
    assert [entry_id for entry_id, _ in found] == [at(1), at(2), at(3)]
    trade = [(at(9), "a trade")]
    assert joined(found, trade) == trade
    assert joined(None, None) is None
    assert joined(found, None) == joined(None, found) == found


@pytest.mark.parametrize("is_bars", [True, False])
def test_what_cannot_be_read_is_nothing(is_bars: bool) -> None:
    assert decode_entry(b"\xc1", is_bars=is_bars) is None
    assert decode_entry(encode_bars([bar(A, 1.0)]), is_bars=True) == [bar(A, 1.0)]
