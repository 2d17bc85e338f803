"""Days that grow with each minute that closes, and are void when one is revised."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.market.bar import Bar
from core.market.rolled import rolled
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, SECOND_NS, Timeframe
from gateway.day_book import MAX_SYMBOLS, DayBook, Days

A, B = Symbol("X:A"), Symbol("X:B")
DAY = 20_000 * DAY_NS
NOW = 10**15  # of a monotonic clock


def bar(minute: int, symbol: Symbol = A, rev: int = 0, trades: int = 3) -> Bar:
    price = 100.0 + minute % 7
    return Bar(symbol, Timeframe.MIN_1, DAY + minute * MINUTE_NS, price, price + 2, price - 2,
               price + 1, 1.5, trades, price, rev)  # fmt: skip


def stored(minutes: list[int]) -> Days:
    """What a load finds when these minutes are stored; the newest tells which day it is."""
    bars = [bar(minute) for minute in sorted(minutes)]
    day_ns = bars[-1].start_ns // DAY_NS * DAY_NS
    by_day: dict[int, list[Bar]] = {}
    for one in bars:
        by_day.setdefault(one.start_ns // DAY_NS * DAY_NS, []).append(one)
    before = by_day.get(day_ns - DAY_NS)
    return Days(
        day_ns,
        rolled(by_day[day_ns], day_ns),
        rolled(before, day_ns - DAY_NS) if before else None,
        bars[-1],
    )


def load(book: DayBook, minutes: list[int], now_ns: int = NOW) -> None:
    book.end(book.begin(), {A: stored(minutes)}, now_ns)


def same(one: Bar | None, other: Bar | None) -> bool:
    """All but the start, and sums to a few bits."""
    if one is None or other is None:
        return one is other
    exact = (one.open, one.high, one.low, one.close, one.trades)
    near = abs(one.volume - other.volume) < 1e-9 and abs(one.vwap - other.vwap) < 1e-9
    return near and exact == (other.open, other.high, other.low, other.close, other.trades)


@given(
    st.sets(st.integers(1435, 1445), min_size=1),
    st.lists(st.sampled_from([1446, 1447, 1500, 2879, 2880, 2881, 4400, 7300]), unique=True),
    st.integers(0, 8),
)
def test_a_day_that_grew_is_the_one_that_would_be_loaded(
    before: set[int], after: list[int], during: int
) -> None:
    book = DayBook()
    after = sorted(after)
    number = book.begin()
    for minute in after[:during]:  # those that close while it is loaded: the first is stored then
        book.take(bar(minute))
    loaded = sorted(before) + after[: min(during, 1)]
    book.end(number, {A: stored(loaded)}, NOW)
    for minute in after[during:]:
        book.take(bar(minute))

    known, expected = book.known(A, NOW), stored(sorted(before) + after)

    assert known is not None
    assert (known.day_ns, known.minute) == (expected.day_ns, expected.minute)
    assert same(known.day, expected.day)
    assert same(known.previous, expected.previous)


def test_a_day_without_a_minute_yet_follows_the_last_one() -> None:
    days = stored([0, 5])

    assert days.at(DAY) == (days.day, days.previous)
    assert days.at(DAY + DAY_NS) == (None, days.day)
    assert days.at(DAY + 2 * DAY_NS) == (None, None)


def test_a_revision_a_late_minute_and_an_emptied_one_make_it_void() -> None:
    for late in (bar(5, rev=1), bar(3), bar(6, trades=0)):
        book = DayBook()
        load(book, [0, 5])
        book.take(bar(7, B))  # another symbol's is no matter
        assert book.known(A, NOW) is not None

        book.take(late)

        assert book.known(A, NOW) is None


def test_a_revision_while_it_is_loaded_makes_it_void_too() -> None:
    book = DayBook()
    number = book.begin()
    book.take(bar(0, rev=1))
    book.take(bar(6))

    book.end(number, {A: stored([0, 5])}, NOW)

    assert book.known(A, NOW) is None


def test_a_minute_of_a_day_before_the_one_it_has_makes_it_void() -> None:
    book = DayBook()
    days = Days(DAY + DAY_NS, None, None, bar(0))
    book.end(book.begin(), {A: days}, NOW)

    book.take(bar(1))

    assert book.known(A, NOW) is None


@pytest.mark.parametrize(
    ("reach", "later", "has_before"), [(1, 2, False), (7, 7, True), (7, 8, False)]
)
def test_the_day_before_may_be_some_days_ago_as_far_as_it_reaches(
    reach: int, later: int, has_before: bool
) -> None:
    book = DayBook()
    days = replace(stored([0, 5]), reach_ns=reach * DAY_NS)
    book.end(book.begin(), {A: days}, NOW)

    book.take(bar(later * 1_440))

    found = book.known(A, NOW)
    assert found is not None
    assert (found.day_ns, found.reach_ns) == (DAY + later * DAY_NS, days.reach_ns)
    assert found.previous == (days.day if has_before else None)


def test_a_day_without_a_minute_is_nobodys_day_before() -> None:
    friday = bar(-3 * 1_440)
    monday = Days(DAY, None, friday, friday, 7 * DAY_NS)  # its only trade was cancelled

    assert monday.at(DAY + DAY_NS) == (None, friday)
    assert monday.at(DAY + 5 * DAY_NS) == (None, None)
    assert replace(monday, previous=None).at(DAY + DAY_NS) == (None, None)


def test_what_is_forgotten_is_loaded_anew() -> None:
    book = DayBook()
    load(book, [0, 5])

    book.forget([A, B])

    assert book.known(A, NOW) is None


def test_longer_bars_are_no_news() -> None:
    book = DayBook()
    load(book, [0, 5])

    book.take(Bar(A, Timeframe.MIN_5, DAY, 1, 1, 1, 1, 1, 1, 1, rev=4))

    assert book.known(A, NOW) == stored([0, 5])


def test_it_is_loaded_anew_after_a_while_and_not_all_at_once() -> None:
    book = DayBook()
    names = [Symbol(f"X:{n}") for n in range(100)]
    book.end(book.begin(), dict.fromkeys(names, stored([0])), NOW)

    def left(seconds: int) -> int:
        return sum(book.known(name, NOW + seconds * SECOND_NS) is not None for name in names)

    def due(seconds: int) -> int:
        return len(book.due(NOW + seconds * SECOND_NS))

    assert due(600) == 0  # nobody asked for them
    assert (left(359), due(299), due(600)) == (100, 0, 100)
    assert 30 < due(450) < 70
    assert 30 < left(510) < 70
    assert left(660) == 0


def test_what_is_loaded_anew_is_due_no_more_until_it_is_old_and_asked_for_again() -> None:
    book = DayBook()
    load(book, [0, 5])
    later_ns = NOW + 605 * SECOND_NS
    book.known(A, NOW)
    assert book.due(later_ns) == [A]

    load(book, [0, 5], later_ns)

    assert book.due(later_ns) == []
    assert book.known(A, later_ns) == stored([0, 5])
    assert book.due(later_ns + 605 * SECOND_NS) == [A]


def test_a_symbol_without_a_minute_gets_its_day_from_the_first_one() -> None:
    book = DayBook()
    book.end(book.begin(), {A: Days(DAY, None, None, None)}, NOW)

    book.take(bar(5))
    book.take(bar(6))

    found = book.known(A, NOW)
    assert found is not None
    assert (found.day_ns, found.previous, found.minute) == (DAY, None, bar(6))
    assert same(found.day, rolled([bar(5), bar(6)], DAY))


def test_it_is_bounded() -> None:
    book = DayBook()
    names = [Symbol(f"X:{n}") for n in range(MAX_SYMBOLS + 1)]
    book.end(book.begin(), dict.fromkeys(names, stored([0])), NOW)

    assert book.known(names[0], NOW) is None
    assert book.known(names[-1], NOW) is not None
    busy = book.begin()
    for _ in range(20_001):
        book.take(bar(6, B))
    book.end(busy, {A: stored([0])}, NOW)
    assert book.known(A, NOW) is None
