"""Rolled bars: what a longer bar has of those that it is made of."""

from core.market.bar import Bar
from core.market.resolution import Resolution
from core.market.rolled import rolled, windows
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe

A, B = Symbol("X:A"), Symbol("X:B")
DAY = 20_000 * DAY_NS


def bar(minute: int, symbol: Symbol = A, volume: float = 1.0, **fields: float) -> Bar:
    price = 100.0 + minute
    return Bar(symbol, Timeframe.MIN_1, DAY + minute * MINUTE_NS, price, price + 2, price - 2,
               price + 1, volume, 3, price, **fields)  # type: ignore[arg-type]  # fmt: skip


def test_a_rolled_bar_opens_with_the_first_closes_with_the_last_and_adds_up_the_rest() -> None:
    parts = [bar(0, volume=1.0, rev=2), bar(1, volume=3.0, gap=True), bar(2, volume=4.0, rev=1)]

    made = rolled(parts, DAY)

    assert made == Bar(A, Timeframe.MIN_1, DAY, 100.0, 104.0, 98.0, 103.0, 8.0, 9,
                       (100 + 3 * 101 + 4 * 102) / 8, 3, True, True)  # fmt: skip


def test_the_volume_is_the_nearest_to_the_exact_sum_whatever_the_order() -> None:
    parts = [bar(n, volume=volume) for n, volume in enumerate([1e16, 1.0, 1.0, 1.0])]

    assert rolled(parts, DAY).volume == 1e16 + 4  # of 1e16 + 3; one by one it were 1e16


def test_of_one_bar_all_stays_as_it_is() -> None:
    part = bar(7, volume=0.1)

    assert rolled([part], part.start_ns) == part


def test_it_is_final_while_all_its_parts_are() -> None:
    assert rolled([bar(0), bar(1)], DAY).final
    assert not rolled([bar(0), bar(1, final=False)], DAY).final


def test_bars_are_taken_apart_by_symbol_and_window_whichever_way_they_come() -> None:
    forth = [bar(0), bar(1), bar(2), bar(5), bar(0, B)]
    back = [bar(5), bar(2), bar(1), bar(0), bar(0, B)]

    three = Resolution(3)

    assert list(windows(forth, three)) == [forth[:3], [bar(5)], [bar(0, B)]]
    assert list(windows(back, three)) == [[bar(5)], forth[:3], [bar(0, B)]]
