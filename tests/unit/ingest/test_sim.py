import itertools
import statistics

import pytest

from core.market.tick import Tick
from ingest.sim import Pace
from ingest.sim_history import SimHistory
from ingest.sim_market import SimMarket, cycle_of
from ingest.sim_position import SimPosition
from ingest.spec import SimOptions

MINUTE_NS = 60 * 10**9


def make_market(options: SimOptions) -> tuple[SimMarket, SimHistory]:
    history = SimHistory(minutes=options.history, symbols=options.symbols)
    return SimMarket(options, history), history


def first_ticks(options: SimOptions, count: int) -> list[Tick]:
    """The first ticks without a history, at their pace."""
    step_ns = int(1e9 / options.rate)
    return make_market(options)[0].ticks(0, [n * step_ns for n in range(count)])


def past_ticks(options: SimOptions, start_ns: int = 0) -> list[Tick]:
    market, history = make_market(options)
    return market.ticks(0, history.event_times(0, history.ticks, start_ns=start_ns))


def ids_by_symbol(ticks: list[Tick]) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {}
    for tick in ticks:
        ids.setdefault(tick.symbol, []).append(tick.trade_id)
    return ids


def minutes_of(ticks: list[Tick]) -> list[list[Tick]]:
    """The ticks of each symbol and minute."""
    found: dict[tuple[str, int], list[Tick]] = {}
    for tick in ticks:
        found.setdefault((tick.symbol, tick.event_ns // MINUTE_NS), []).append(tick)
    return list(found.values())


@pytest.mark.parametrize("history", [0, 5])
def test_a_tick_is_a_function_of_the_spec_and_its_number_alone(history: int) -> None:
    options = SimOptions(symbols=7, seed=3, history=history)
    market, past = make_market(options)
    cuts = sorted({*range(0, 600, 20), past.ticks})

    def emit(market: SimMarket, cuts: list[int]) -> list[Tick]:
        return [
            tick
            for first, end in itertools.pairwise(cuts)
            for tick in market.ticks(first, [1] * (end - first))
        ]

    whole = emit(market, sorted({0, past.ticks, cuts[-1]}))

    assert emit(make_market(options)[0], cuts) == whole
    other = SimOptions(symbols=7, seed=4, history=history)
    assert emit(make_market(other)[0], cuts) != whole


@pytest.mark.parametrize("history", [0, 3])
@pytest.mark.parametrize("symbols", [1, 3, 200])
def test_ids_of_each_symbol_run_from_one_without_a_hole(symbols: int, history: int) -> None:
    market, past = make_market(SimOptions(symbols=symbols, history=history))

    ticks = market.ticks(0, [1] * past.ticks) if past.ticks else []
    ticks += market.ticks(past.ticks, [1] * (3 * cycle_of(symbols)))

    ids = ids_by_symbol(ticks)
    assert sorted(ids) == sorted(market.symbols)
    assert all(found == list(range(1, len(found) + 1)) for found in ids.values())


def test_prices_and_sizes_look_like_a_market() -> None:
    ticks = first_ticks(SimOptions(symbols=3, rate=20), 20 * 3_600)
    prices = [tick.price for tick in ticks if tick.symbol == "SIM:S001"]

    moves = [abs(b / a - 1) for a, b in itertools.pairwise(prices)]

    assert max(moves) < 0.002
    assert statistics.median(moves) > 0
    assert 1.001 < max(prices) / min(prices) < 1.2
    assert len({tick.side for tick in ticks}) == 2
    assert all(t.size > 0 and len(repr(t.price)) < 10 for t in ticks)


def test_stocks_trade_whole() -> None:
    options = SimOptions(symbols=20, history=5)
    history = SimHistory(minutes=options.history, symbols=options.symbols)
    market = SimMarket(options, history, stocks=True)

    past = market.ticks(0, [0] * history.ticks)
    live = market.ticks(history.ticks, [0] * 2_000)

    for ticks in (past, live):
        assert {tick.size.is_integer() and tick.size >= 1 for tick in ticks} == {True}
        assert len({tick.size for tick in ticks}) > 100


@pytest.mark.parametrize("rate", [4, 60])
def test_a_history_moves_and_trades_as_much_in_a_minute_as_the_live_market(rate: int) -> None:
    options = SimOptions(symbols=4, rate=rate)

    past = minutes_of(past_ticks(SimOptions(symbols=4, rate=rate, history=90)))
    live = minutes_of(first_ticks(options, rate * 60 * 90))

    def typical_range(minutes: list[list[Tick]]) -> float:
        return statistics.mean(
            max(t.price for t in ticks) / min(t.price for t in ticks) - 1 for ticks in minutes
        )

    def typical_value(minutes: list[list[Tick]]) -> float:
        return statistics.mean(sum(t.price * t.size for t in ticks) for ticks in minutes)

    assert 0.7 < typical_range(past) / typical_range(live) < 1.2
    assert 0.8 < typical_value(past) / typical_value(live) < 1.25


def test_prices_go_on_where_the_history_ends() -> None:
    market, history = make_market(SimOptions(symbols=5, rate=100, history=30))
    before = {tick.symbol: tick.price for tick in market.ticks(0, [1] * history.ticks)}

    after = market.ticks(history.ticks, [1] * 100)

    assert all(abs(tick.price / before[tick.symbol] - 1) < 0.003 for tick in after)


def test_a_history_ends_when_the_sim_starts_and_has_a_candle_a_minute() -> None:
    options, now_ns = SimOptions(symbols=3, history=60), 1_000 * MINUTE_NS
    history = make_market(options)[1]

    start_ns = history.start_ns([], now_ns=now_ns)
    ticks = past_ticks(options, start_ns)

    assert ticks[0].event_ns == now_ns - 60 * MINUTE_NS
    assert now_ns - 10**10 < ticks[-1].event_ns < now_ns
    assert [t.event_ns for t in ticks] == sorted(t.event_ns for t in ticks)
    assert {len(minute) for minute in minutes_of(ticks)} == {8}


def test_the_time_in_which_a_history_went_out_is_made_up_at_the_live_rate() -> None:
    history = SimHistory(minutes=1, symbols=1)

    times = history.bridge(0, MINUTE_NS + 10**9, rate=4, most=100)

    assert times == [MINUTE_NS + n * 10**9 // 4 for n in range(4)]
    assert history.bridge(0, MINUTE_NS + 10**9, rate=1e5, most=2) == [
        MINUTE_NS,
        MINUTE_NS + 10**9 // 2,
    ]
    assert history.bridge(0, MINUTE_NS - 1, rate=1_000, most=100) == []
    assert history.bridge(0, 9 * MINUTE_NS, rate=1_000, most=0) == []


def test_a_position_goes_on_with_the_next_tick_of_the_same_spec() -> None:
    position = SimPosition(SimOptions(), cycle=100)

    assert position.first_number(0, 0) == 0
    assert position.first_number(position.pack(5), position.pack(9)) == 5
    assert position.first_number(0, position.pack(9)) == 0


@pytest.mark.parametrize("history", [0, 2])
@pytest.mark.parametrize(
    "old", [SimOptions(symbols=1), SimOptions(symbols=1, history=1), SimOptions(seed=2)]
)
def test_another_spec_goes_on_beyond_every_id_of_the_former(old: SimOptions, history: int) -> None:
    before = SimPosition(old, cycle=1).pack(1_000)
    new = SimOptions(symbols=50, seed=2, history=3 + history)
    market, past = make_market(new)
    position = SimPosition(new, cycle=cycle_of(50), history_ticks=past.ticks)

    first = position.first_number(before, before)

    assert position.pack(first) > before
    assert first >= past.ticks
    assert min(t.trade_id for t in market.ticks(first, [1] * (2 * cycle_of(50)))) > 1_000
    mixed = position.first_number(before, position.pack(first + 5))
    assert mixed == first + 5


def test_a_jump_beyond_all_numbers_is_not_made() -> None:
    before = SimPosition(SimOptions(seed=5), cycle=1).pack(2**46)

    assert SimPosition(SimOptions(), cycle=100).first_number(before, before) == 2**46 + 1


def test_only_marks_of_the_same_spec_count() -> None:
    position, other = SimPosition(SimOptions(), cycle=1), SimPosition(SimOptions(seed=9), cycle=1)

    assert position.marks([(position.pack(7), 70), (other.pack(8), 80), (0, 0)]) == [(7, 70)]


def test_the_pace_gives_what_is_due_and_lets_a_long_pause_go() -> None:
    pace = Pace(rate=100, now_ns=0)

    assert [pace.due(n * 10**9 // 4) for n in range(4)] == [0, 25, 25, 25]
    assert pace.due(60 * 10**9) == 100
    assert pace.due(60 * 10**9 + 10**9 // 2) == 50
    assert pace.due(60 * 10**9) == 0
