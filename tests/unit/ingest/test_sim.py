import itertools
import statistics

import pytest

from ingest.sim import Pace
from ingest.sim_market import SimMarket, SimPosition
from ingest.spec import SimOptions


def test_a_tick_is_a_function_of_the_spec_and_its_number_alone() -> None:
    whole = SimMarket(SimOptions(symbols=7, seed=3)).ticks(0, 500, 1)
    again = SimMarket(SimOptions(symbols=7, seed=3))

    pieces = [tick for first in range(0, 500, 20) for tick in again.ticks(first, 20, 1)]

    assert pieces == whole
    assert SimMarket(SimOptions(symbols=7, seed=4)).ticks(0, 500, 1) != whole


@pytest.mark.parametrize("symbols", [1, 3, 200])
def test_ids_of_each_symbol_run_from_one_without_a_hole(symbols: int) -> None:
    market = SimMarket(SimOptions(symbols=symbols))
    ids: dict[str, list[int]] = {}

    for tick in market.ticks(0, 3 * market.cycle, 1):
        ids.setdefault(tick.symbol, []).append(tick.trade_id)

    assert sorted(ids) == sorted(market.symbols)
    assert all(found == list(range(1, len(found) + 1)) for found in ids.values())


def test_prices_and_sizes_look_like_a_market() -> None:
    market = SimMarket(SimOptions(symbols=3, rate=20))
    ticks = [t for t in market.ticks(0, 20 * 3_600, 1) if t.symbol == "SIM:S001"]
    prices = [tick.price for tick in ticks]

    moves = [abs(b / a - 1) for a, b in itertools.pairwise(prices)]

    assert max(moves) < 0.002
    assert statistics.median(moves) > 0
    assert 1.001 < max(prices) / min(prices) < 1.2
    assert len({tick.side for tick in ticks}) == 2
    assert all(t.size > 0 and len(repr(t.price)) < 10 for t in ticks)


def test_a_position_goes_on_with_the_next_tick_of_the_same_spec() -> None:
    position = SimPosition(SimOptions(), cycle=100)

    assert position.first_number(0, 0) == 0
    assert position.first_number(position.pack(5), position.pack(9)) == 5
    assert position.first_number(0, position.pack(9)) == 0


def test_another_spec_goes_on_beyond_every_id_of_the_former() -> None:
    old, new = SimOptions(symbols=1), SimOptions(symbols=50, seed=2)
    before = SimPosition(old, cycle=1).pack(1_000)
    market = SimMarket(new)
    position = SimPosition(new, cycle=market.cycle)

    first = position.first_number(before, before)

    assert position.pack(first) > before
    assert min(tick.trade_id for tick in market.ticks(first, 2 * market.cycle, 1)) > 1_000
    mixed = position.first_number(before, position.pack(first + 5))
    assert mixed == first + 5


def test_a_jump_beyond_all_numbers_is_not_made() -> None:
    before = SimPosition(SimOptions(seed=5), cycle=1).pack(2**46)

    assert SimPosition(SimOptions(), cycle=100).first_number(before, before) == 2**46 + 1


def test_the_pace_gives_what_is_due_and_lets_a_long_pause_go() -> None:
    pace = Pace(rate=100, now_ns=0)

    assert [pace.due(n * 10**9 // 4) for n in range(4)] == [0, 25, 25, 25]
    assert pace.due(60 * 10**9) == 100
    assert pace.due(60 * 10**9 + 10**9 // 2) == 50
    assert pace.due(60 * 10**9) == 0
