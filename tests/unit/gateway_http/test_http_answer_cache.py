"""Ready answers in memory."""

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import SECOND_NS, Timeframe
from gateway.changes import Changes
from gateway.http.answer_cache import CLOSED_NS, RUNNING_NS, AnswerCache, Kept
from gateway.http.ready import JSON, Answer, Life, Ready
from storage.entry_id import EntryId

BTC = Symbol("SIM:BTC-USD")
NOW = 100 * SECOND_NS


class Shelf:
    """A cache, and the changes that it hears of."""

    def __init__(self, max_bytes: int = 100_000) -> None:
        self.changes = Changes(1)
        self.changes.hear({0: NOW})
        self.cache = AnswerCache(self.changes, max_bytes=max_bytes)

    def put(self, key: str, *, life: Life = Life.CLOSED, size: int = 100) -> Kept:
        answer = Answer(bytes(size), JSON, (BTC,), life)
        basis = self.changes.basis(self.changes.moment(), (BTC,), None)
        kept = Kept(Ready.of(answer), basis, 7, NOW)
        self.cache.put(key, kept)
        return kept

    def put_and_ask(self, key: str, *, size: int) -> Kept:
        kept = self.put(key, size=size)
        assert self.has(key)
        return kept

    def has(self, key: str, *, after_ns: int = 0, directory: int = 7) -> bool:
        return self.cache.get(key, directory, NOW + after_ns) is not None


def test_what_runs_is_kept_for_a_second_and_what_is_closed_for_long() -> None:
    shelf = Shelf()
    shelf.put("running", life=Life.RUNNING)
    shelf.put("closed")
    shelf.put("never", life=Life.NEVER)

    assert [shelf.has(k, after_ns=RUNNING_NS - 1) for k in ("running", "closed", "never")] == [
        True,
        True,
        False,
    ]
    assert [shelf.has(k, after_ns=RUNNING_NS) for k in ("running", "closed")] == [False, True]
    shelf.changes.hear({0: NOW + 2 * SECOND_NS})
    for second in range(4, CLOSED_NS // SECOND_NS + 2, 2):
        shelf.changes.hear({0: NOW + second * SECOND_NS})
    assert shelf.has("closed", after_ns=CLOSED_NS - 1)
    assert not shelf.has("closed", after_ns=CLOSED_NS)


def test_what_changes_cannot_be_heard_of_is_kept_for_a_second() -> None:
    shelf = Shelf()
    shelf.put("closed")

    assert shelf.has("closed", after_ns=2 * SECOND_NS)
    assert not shelf.has("closed", after_ns=4 * SECOND_NS)
    shelf.put("closed")
    assert shelf.has("closed", after_ns=RUNNING_NS - 1)


def test_a_bar_and_a_new_symbol_make_it_old_at_once() -> None:
    shelf = Shelf()
    shelf.put("by bar", life=Life.RUNNING)
    shelf.changes.take(0, EntryId(1, 1), [Bar(BTC, Timeframe.MIN_1, 0, 1, 1, 1, 1, 1, 1, 1)])
    shelf.put("by name")

    assert not shelf.has("by bar")
    assert not shelf.has("by name", directory=8)
    assert len(shelf.cache) == shelf.cache.bytes == 0


def test_what_was_not_asked_for_longest_goes_first() -> None:
    shelf = Shelf(max_bytes=40_000)
    for key in "abcd":
        shelf.put_and_ask(key, size=7_000)
    assert shelf.has("a")

    shelf.put_and_ask("e", size=7_000)

    assert [key for key in "abcde" if shelf.has(key)] == ["a", "c", "d", "e"]
    assert shelf.cache.bytes <= 40_000


def test_what_is_asked_for_once_does_not_push_out_what_is_asked_for_again() -> None:
    shelf = Shelf(max_bytes=40_000)
    for key in "abc":
        shelf.put_and_ask(key, size=7_000)

    for number in range(100):
        shelf.put(str(number), size=1_000)

    assert shelf.cache.bytes <= 3 * 9_048 + 5_000
    assert not shelf.has("97")
    assert [key for key in ("a", "b", "c", "99") if shelf.has(key)] == ["a", "b", "c", "99"]


def test_an_answer_that_fills_the_room_of_those_asked_for_once_is_kept_alone() -> None:
    shelf = Shelf(max_bytes=40_000)
    shelf.put("small", size=100)

    shelf.put("large", size=7_000)

    assert [key for key in ("small", "large") if shelf.has(key)] == ["large"]


def test_what_is_larger_than_a_quarter_of_the_room_is_not_kept() -> None:
    shelf = Shelf(max_bytes=40_000)

    shelf.put("large", size=10_000)

    assert not shelf.has("large")


def test_an_answer_that_has_grown_takes_the_room_of_others() -> None:
    shelf = Shelf(max_bytes=40_000)
    for key in "abcd":
        last = shelf.put_and_ask(key, size=7_000)
    last.ready.packed = bytes(7_000)

    shelf.cache.weigh_anew("d", last)
    shelf.cache.weigh_anew("gone", last)

    assert [key for key in "abcd" if shelf.has(key)] == ["b", "c", "d"]
    shelf.put("d", size=100)
    assert shelf.cache.bytes < 25_000
