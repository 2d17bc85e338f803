"""Against a plain set."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.market.trade_ids import TradeIds


@given(st.lists(st.integers(-20, 20)))
def test_ids_behave_as_a_set(trade_ids: list[int]) -> None:
    ids, plain = TradeIds(1), set[int]()
    for trade_id in trade_ids:
        assert ids.add(trade_id) == (trade_id not in plain)
        plain.add(trade_id)

    known = ids.snapshot()
    spans = list(zip(known.starts, known.ends, strict=True))
    assert {i for start, end in spans for i in range(start, end + 1)} == plain
    assert all(end + 1 < start for (_, end), (start, _) in pairwise(spans))
