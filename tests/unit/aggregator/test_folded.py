"""FoldedTicks: the log gets what was folded, and no more, until that is committed."""

from collections.abc import Sequence

from aggregator.folded import Folded, FoldedTicks
from aggregator.joined import join
from core.market.block import BlockMeta, Row, Ticks, decode_block, encode_block
from core.market.symbol import Symbol
from core.market.tick import Tick


def payload(*prices: float, trade_id: int = 1) -> bytes:
    meta = BlockMeta(number=trade_id, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
    ticks = [Tick(Symbol("SIM:A"), trade_id, price, 1.0, 0) for price in prices]
    return encode_block(meta, ticks)


def block(*prices: float) -> Ticks:
    return decode_block(payload(*prices))


def folded_of(ticks: Ticks, dropped: Sequence[Row]) -> Folded:
    return Folded(ticks.symbols, ticks, tuple(dropped))


def prices(parts: list[Ticks]) -> list[list[float]]:
    return [part.price.tolist() for part in parts]


def test_a_block_is_kept_as_it_is_when_all_of_it_was_folded() -> None:
    ticks = block(1.0, 2.0)

    assert folded_of(ticks, ()).kept() is ticks


def test_dropped_ticks_are_left_out_the_later_of_equal_ones_first() -> None:
    ticks = block(1.0, 2.0, 1.0, 3.0, 1.0)
    rows = ticks.rows()

    kept = folded_of(ticks, (rows[2], rows[4], rows[3])).kept()

    assert kept.price.tolist() == [1.0, 2.0]
    assert len(folded_of(ticks, rows).kept()) == 0


def test_of_joined_blocks_the_payloads_are_kept_and_read_again() -> None:
    payloads = [payload(1.0, 2.0), payload(3.0, trade_id=2)]
    joined = join(payloads)
    assert joined is not None
    folded = FoldedTicks()

    folded.add(joined.block, joined.block.rows()[1:2], payloads=payloads)
    (part,) = folded.hand_over(1)

    assert part.source is payloads
    assert part.symbols == ("SIM:A",)
    assert part.kept().price.tolist() == [1.0, 3.0]
    assert part.kept().trade_id.tolist() == [1, 2]


def test_what_is_handed_over_is_known_until_its_flush_is_committed() -> None:
    folded = FoldedTicks()
    assert folded.waiting() == (frozenset(), [])
    folded.add(block(), [])
    assert folded.hand_over(1) == []

    folded.add(block(1.0), [])
    assert folded.weight > 1
    assert prices([part.kept() for part in folded.hand_over(2)]) == [[1.0]]
    assert folded.weight == 0
    folded.add(block(2.0), [])
    folded.hand_over(3)
    folded.add(block(3.0), [])

    flushes, parts = folded.waiting()
    assert (flushes, prices([part.kept() for part in parts])) == (
        frozenset({2, 3}),
        [[1.0], [2.0], [3.0]],
    )
    folded.forget(2)
    flushes, parts = folded.waiting()
    assert (flushes, prices([part.kept() for part in parts])) == (frozenset({3}), [[2.0], [3.0]])
