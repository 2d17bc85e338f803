"""Blocks folded a batch at a time give the bars that they give one by one."""

from hypothesis import given
from hypothesis import strategies as st

from aggregator.joined import join
from aggregator.shards import ShardState
from core.market.bar import BarRow
from core.market.block import BlockMeta, encode_block
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS
from tests.property.aggregator.harness import Key, plain

GRACE_NS = MINUTE_NS // 2
Plain = dict[Key, tuple[object, ...]]

ticks = st.builds(
    Tick,
    st.sampled_from([Symbol("X:A"), Symbol("X:B")]),
    st.integers(0, 12),
    st.integers(1, 9).map(float),
    st.integers(1, 9).map(float),
    st.integers(0, 24).map(lambda n: 10**18 + n * MINUTE_NS // 4),
    seq=st.integers(0, 2),
)
blocks = st.lists(st.lists(ticks, max_size=12), min_size=1, max_size=12)
sizes = st.lists(st.integers(1, 4), min_size=12, max_size=12)


def encoded(found: list[list[Tick]]) -> list[bytes]:
    """As a replay publishes them: feed time is the newest event time."""
    payloads, feed_ns = [], 0
    for number, some in enumerate(found, 1):
        feed_ns = max([feed_ns, *(tick.event_ns for tick in some)])
        meta = BlockMeta(
            number=number, watermark_ns=feed_ns - GRACE_NS, feed_time_ns=feed_ns, sealed_ns=0
        )
        payloads.append(encode_block(meta, some))
    return payloads


def bars(payloads: list[bytes], sizes: list[int]) -> tuple[Plain, int]:
    """What is stored in the end, and how many repeats were seen."""
    state = ShardState.fresh(0, token=1, keep_ids_ns=10**18)
    rows: dict[Key, BarRow] = {}
    at = 0
    for size in sizes:
        some = payloads[at : at + size]
        at += size
        if not some:
            break
        joined = join(some)
        assert joined is not None
        state.fold("f", "1-0", joined.block, payloads=some)
        _supply(state, rows)
        state.core.close_due("f", joined.block.meta.watermark_ns)
        _store(state, rows)
    state.core.close_due("f", 2**62)
    _store(state, rows)
    return {key: plain(row.bar) for key, row in rows.items()}, state.core.duplicates


def _supply(state: ShardState, rows: dict[Key, BarRow]) -> None:
    while wanted := state.core.wanted():
        newest: dict[Symbol, int] = {}
        for symbol, timeframe, start_ns in rows:
            if timeframe.minutes == 1:
                newest[symbol] = max(newest.get(symbol, start_ns), start_ns)
        state.core.supply(wanted, newest, [rows[key] for key in wanted.windows if key in rows])


def _store(state: ShardState, rows: dict[Key, BarRow]) -> None:
    for row in state.take_flush(state.flush).rows:
        rows[row.bar.symbol, row.bar.timeframe, row.bar.start_ns] = row


@given(blocks, sizes)
def test_joined_blocks_make_the_same_bars(found: list[list[Tick]], sizes: list[int]) -> None:
    payloads = encoded(found)

    assert bars(payloads, sizes) == bars(payloads, [1] * len(payloads))
