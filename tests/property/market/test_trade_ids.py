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


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5))))
def test_runs_behave_as_a_set(runs: list[tuple[int, int]]) -> None:
    ids, plain = TradeIds(1), set[int]()
    for first, more in runs:
        wanted = set(range(first, first + more + 1))
        if ids.add_run(first, first + more):
            assert not wanted & plain
        else:
            assert first <= max(plain)
            for trade_id in sorted(wanted):
                assert ids.add(trade_id) == (trade_id not in plain)
        plain |= wanted
    known = ids.snapshot()
    spans = zip(known.starts, known.ends, strict=True)
    assert {i for start, end in spans for i in range(start, end + 1)} == plain
