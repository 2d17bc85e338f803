"""Many ticks of a window at once: what each of them may change, in any order."""

from aggregator.segments import Segments
from aggregator.window import Window
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from tests.unit.gateway.listeners import block_of

A = Symbol("X:A")


def folded(*blocks: list[Tick]) -> Window:
    window = Window(A, Timeframe.MIN_1, 0)
    for block in blocks:
        (segment,) = Segments(block_of(block))
        window.fold_segment(segment)
    return window


def ticks(*at: int, price: float = 1.0) -> list[Tick]:
    return [Tick(A, n, price + n / 100, 0.1, n, Side.BUY, n) for n in at]


def test_later_earlier_and_inner_ticks_move_open_and_close_as_they_must() -> None:
    window = folded(ticks(20, 30), ticks(25, 26), ticks(5, 40), ticks(6, 7, price=9.0))

    assert (window.open_ns, window.close_ns, window.trades) == (5, 40, 8)
    assert (window.open, window.close, window.high, window.low) == (1.05, 1.4, 9.07, 1.05)


def test_very_many_segments_are_summed_up_in_between() -> None:
    many = [ticks(2 * n, 2 * n + 1) for n in range(1_000)]

    bar = folded(*many).bar(final=True)

    assert (bar.trades, bar.volume) == (2_000, 200.0)
    assert len(folded(*many)._notionals) < 512


def test_the_average_of_one_price_is_that_price() -> None:
    for number in range(1, 400):
        price, size = number / 10, number % 7 + 0.3
        bar = folded([Tick(A, 1, price, size, 1, Side.BUY, 1)]).bar(final=True)

        assert bar.vwap == price
