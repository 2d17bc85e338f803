from contextlib import closing

import pytest

from core.market.symbol import Symbol
from core.market.tick import Tick
from tickgate.files.repeats import Repeats


def trade(number: int, *, symbol: str = "V:A", price: float = 1.0, at_ns: int = 0) -> Tick:
    return Tick(Symbol(symbol), number, price, 2.0, at_ns)


@pytest.mark.parametrize("held", [1, 7, 1_000])
def test_an_id_that_says_two_things_is_found_wherever_it_is(held: int) -> None:
    with closing(Repeats(held=held)) as repeats:
        for line in range(2, 300):
            repeats.add("a.csv", line, trade(line))
            repeats.add("b.csv", line, trade(line, symbol="V:B", price=line))
        repeats.add("c.csv", 2, trade(5, price=1.5))
        repeats.add("c.csv", 3, trade(7, at_ns=1))
        repeats.add("c.csv", 4, trade(-(2**62), symbol="V:C"))
        repeats.add("c.csv", 5, trade(-(2**62), symbol="V:C", price=2.0))
        repeats.add("c.csv", 6, trade(9))
        found = sorted((str(place), str(before)) for place, before in repeats.contradictions())

    assert found == [("c.csv:2", "a.csv:5"), ("c.csv:3", "a.csv:7"), ("c.csv:5", "c.csv:4")]
    assert repeats.equal == 1


@pytest.mark.parametrize("held", [1, 7, 1_000])
def test_equal_repeats_contradict_nothing(held: int) -> None:
    with closing(Repeats(held=held)) as repeats:
        for path in ("a.csv", "b.csv", "c.csv"):
            for line in range(2, 12):
                repeats.add(path, line, trade(line))
        assert list(repeats.contradictions()) == []
    assert repeats.equal == 20


def test_of_no_trade_there_is_no_repeat() -> None:
    with closing(Repeats()) as repeats:
        assert list(repeats.contradictions()) == []
    assert repeats.equal == 0
