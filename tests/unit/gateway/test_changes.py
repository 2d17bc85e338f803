"""What the bar streams tell of changes, and which answers it makes old."""

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from gateway.changes import SETTLE_NS, SILENT_NS, Basis, Changes
from storage.entry_id import EntryId

BTC, ETH = Symbol("SIM:BTC-USD"), Symbol("SIM:ETH-USD")
S = 1_000_000_000
MINUTE = 60 * S
START = 1_625_270_400 * S
HOUR = (START, START + 59 * MINUTE)


def bar(symbol: Symbol, minute: int) -> Bar:
    return Bar(symbol, Timeframe.MIN_1, START + minute * MINUTE, 1, 1, 1, 1, 1, 1, 1)


def listening(shards: int = 1) -> Changes:
    """One that has heard of all shards, at 1 s."""
    changes = Changes(shards)
    changes.begin({shard: EntryId(1, 5) for shard in range(shards)})
    changes.hear(dict.fromkeys(range(shards), S))
    return changes


def asked(changes: Changes, *symbols: Symbol, span: tuple[int, int] | None = HOUR) -> Basis:
    return changes.basis(changes.moment(), symbols, span)


def test_an_answer_is_touched_by_a_bar_of_its_symbols_in_its_span() -> None:
    changes = listening()
    btc, eth, both = asked(changes, BTC), asked(changes, ETH), asked(changes, BTC, ETH)
    later = asked(changes, BTC, span=(HOUR[1] + 1, HOUR[1] + MINUTE))
    all_of_it = asked(changes, BTC, span=None)

    changes.take(0, EntryId(1, 6), [bar(BTC, 59)])

    assert [changes.touched(b) for b in (btc, eth, both, later, all_of_it)] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_an_answer_that_was_on_its_way_when_the_bar_came_is_touched() -> None:
    changes = listening()
    moment = changes.moment()

    changes.take(0, EntryId(1, 6), [bar(BTC, 3)])

    assert changes.touched(changes.basis(moment, (BTC,), HOUR))
    assert not changes.touched(asked(changes, BTC))


def test_an_entry_with_many_bars_touches_all_between_the_first_and_the_last() -> None:
    changes = listening()
    between = asked(changes, BTC, span=(START + 5 * MINUTE, START + 6 * MINUTE))

    changes.take(0, EntryId(1, 6), [bar(BTC, 9), bar(BTC, 2)])

    assert changes.touched(between)


def test_entries_long_ago_are_remembered_as_one() -> None:
    changes = listening()
    old, edge, before = asked(changes, BTC), asked(changes, BTC), asked(changes, ETH)
    for minute in range(100, 120):
        changes.take(0, EntryId(2, minute), [bar(BTC, minute)])
    late = asked(changes, BTC, span=(START, START + 105 * MINUTE))
    changes.take(0, EntryId(3, 0), [bar(BTC, 120)])

    assert not changes.touched(old)
    assert changes.touched(changes.adopted((BTC,), (START, START + 100 * MINUTE), [EntryId(2, 99)]))
    assert not changes.touched(late)
    assert not changes.touched(before)
    assert not changes.touched(edge)


def test_an_answer_found_right_goes_on_from_there() -> None:
    changes = listening()
    basis = asked(changes, BTC)
    changes.take(0, EntryId(1, 6), [bar(BTC, 60)])

    assert not changes.touched(basis)

    assert basis.at == {0: EntryId(1, 6)}
    assert not changes.touched(basis)


def test_answers_of_others_are_right_from_where_this_process_began() -> None:
    changes = listening()
    changes.take(0, EntryId(1, 8), [bar(BTC, 3)])

    def touched(at: EntryId) -> bool:
        return changes.touched(changes.adopted((BTC,), HOUR, [at]))

    assert touched(EntryId(1, 4))  # what came between 4 and 5 is not known
    assert touched(EntryId(1, 5))  # 8 has a bar of it
    assert not touched(EntryId(1, 8))
    assert not touched(EntryId(1, 9))  # they have read further


def test_after_a_silence_nothing_from_before_it_is_right() -> None:
    changes = listening(2)
    basis, moment = asked(changes, BTC), changes.moment()
    now = S + SILENT_NS

    assert changes.heard(now - 1)
    assert not changes.heard(now)
    changes.hear({0: now + 1, 1: now})

    assert changes.heard(now)
    assert changes.touched(basis)
    assert changes.touched(changes.basis(moment, (BTC,), HOUR))
    assert not changes.touched(asked(changes, BTC))


def test_one_shard_that_is_not_heard_of_is_a_silence() -> None:
    changes = Changes(2)
    changes.begin({0: EntryId(0, 0), 1: EntryId(0, 0)})

    changes.hear({0: S})

    assert not changes.heard(S)
    changes.hear({1: S})
    assert changes.heard(S)


def test_others_are_believed_once_all_was_heard_some_time_after_the_start() -> None:
    changes = listening()
    seconds = SETTLE_NS // S

    assert not changes.settled(S)
    for second in range(2, seconds + 2):
        changes.hear({0: second * S})

    assert changes.settled((seconds + 1) * S)
    assert not changes.settled((seconds + 1) * S + SILENT_NS)


def test_an_entry_that_cannot_be_read_may_have_changed_anything() -> None:
    changes = listening()
    basis = asked(changes, BTC)

    changes.skip(0, EntryId(1, 6))

    assert changes.touched(basis)
    assert changes.moment().at == (EntryId(1, 6),)
