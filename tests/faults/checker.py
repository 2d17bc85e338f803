"""Checker: what came out held against what is true. Pure; it knows no server and no clock."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

Key = tuple[str, str, int]  # symbol, timeframe, start in ns
Facts = tuple[float, float, float, float, int, float, float]  # o, h, l, c, n, v, vw
_CLOSE = 1e-12  # relative, of sums
_MINUTE = "1Min"
_TOLD = 5  # examples of each kind


@dataclass
class Verdict:
    """How many of each kind were found; all are 0 when everything is as it must be.

    ``lost``: trades that are in no bar, or that a subscriber did not get. ``duplicated``: trades
    that are in a bar twice, or that came twice. ``misordered``: trades that came before an
    earlier one of their symbol. ``wrong_bars``: bars that differ from what the trades say, in the
    database or at a reader. ``undetected``: holes in what a subscriber got, without a `gap`.
    """

    lost: int = 0
    duplicated: int = 0
    misordered: int = 0
    wrong_bars: int = 0
    undetected: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "examples"}

    @property
    def clean(self) -> bool:
        return not any(self.counts.values())

    def note(self, name: str, count: int, example: str) -> None:
        """Count, and keep the first few examples of each kind."""
        if count <= 0:
            return
        setattr(self, name, getattr(self, name) + count)
        if sum(text.startswith(name) for text in self.examples) < _TOLD:
            self.examples.append(f"{name}: {example}")


@dataclass(frozen=True)
class Heard:
    """What one subscriber got of one symbol: ids in order, and where in that order gaps were told.

    A gap at place *n* was told after *n* trades; it answers for a hole there.
    """

    numbers: Sequence[int]
    gaps: frozenset[int] = frozenset()


def check_bars(right: Mapping[Key, Facts], found: Mapping[Key, Facts], verdict: Verdict) -> None:
    """The bars of the database: each as the oracle says, none missing, none too many."""
    for key in sorted(right.keys() | found.keys()):
        true, stored = right.get(key), found.get(key)
        if true is not None and stored is not None and same(true, stored):
            continue
        verdict.note("wrong_bars", 1, f"{key}: stored {stored}, right is {true}")
        if key[1] == _MINUTE:  # each trade is in one of these
            count = (stored[4] if stored else 0) - (true[4] if true else 0)
            verdict.note("lost", -count, f"{-count} trades are not in {key}")
            verdict.note("duplicated", count, f"{count} trades too many are in {key}")


def check_agreement(
    who: str,
    stored: Mapping[Key, Facts],
    seen: Mapping[Key, Facts],
    verdict: Verdict,
    *,
    excused: Iterable[str] = (),
) -> None:
    """What a reader was given is what is stored; *excused* symbols may lack bars, told by a gap."""
    may_lack = set(excused)
    for key in sorted(stored.keys() | seen.keys()):
        mine, theirs = stored.get(key), seen.get(key)
        if theirs is None and (key[0] in may_lack or "*" in may_lack):
            continue
        if mine is None or theirs is None or not same(mine, theirs):
            verdict.note("wrong_bars", 1, f"{who} has {theirs} for {key}, stored is {mine}")


def check_sequence(
    who: str, symbol: str, right: Sequence[int], heard: Heard, verdict: Verdict
) -> None:
    """A subscriber's trades of a symbol: all of them, once, in order, or a gap where some lack."""
    what = f"{who}, {symbol}"
    place = {number: at for at, number in enumerate(right)}
    seen = Counter(heard.numbers)
    for number, count in seen.items():
        if number not in place:
            verdict.note("duplicated", count, f"{what}: trade {number} never happened")
        else:
            verdict.note("duplicated", count - 1, f"{what}: trade {number} came {count} times")
    firsts = list(dict.fromkeys(n for n in heard.numbers if n in place))
    newest = -1
    for number in firsts:
        if place[number] < newest:
            after = right[newest]
            verdict.note("misordered", 1, f"{what}: trade {number} came after {after}")
        newest = max(newest, place[number])
    _check_holes(what, right, heard, verdict)


def check_overlap(
    who: str, symbol: str, right: Sequence[int], heard: Heard, verdict: Verdict
) -> None:
    """Two feeds deliver the same: each of them is a stream, and a subscriber gets both.

    Bars count a trade once all the same. Each feed's trades come in order, so the first as well as
    the last coming of each trade does, and none comes more than twice.
    """
    twice = Counter(heard.numbers)
    for number, count in twice.items():
        verdict.note("duplicated", count - 2, f"{who}, {symbol}: trade {number} came {count} times")
    firsts = list(dict.fromkeys(heard.numbers))
    lasts = list(dict.fromkeys(reversed(heard.numbers)))[::-1]
    for numbers in (firsts, lasts):
        check_sequence(who, symbol, right, Heard(numbers, frozenset()), verdict)


def _check_holes(what: str, right: Sequence[int], heard: Heard, verdict: Verdict) -> None:
    """Runs of trades that never came, and whether a gap was told where they should have been."""
    came_at = {number: at for at, number in reversed(list(enumerate(heard.numbers)))}
    at = 0
    after = -1  # place, among those that came, of the one before the hole
    while at < len(right):
        if right[at] in came_at:
            after = came_at[right[at]]
            at += 1
            continue
        start = at
        while at < len(right) and right[at] not in came_at:
            at += 1
        before = came_at[right[at]] if at < len(right) else len(heard.numbers)
        hole = f"{what}: trades {right[start]} to {right[at - 1]} never came"
        verdict.note("lost", at - start, hole)
        if not any(after < told <= before for told in heard.gaps):
            verdict.note("undetected", at - start, f"{hole}, and no gap was told")


def check_revisions(who: str, published: Iterable[tuple[Key, int]], verdict: Verdict) -> None:
    """Each state of a bar is published once, the newer after the older."""
    newest: dict[Key, int] = {}
    for key, revision in published:
        before = newest.get(key)
        if before is not None and revision == before:
            verdict.note("duplicated", 1, f"{who}: {key} revision {revision} came twice")
        elif before is not None and revision < before:
            verdict.note("misordered", 1, f"{who}: {key} revision {revision} after {before}")
        newest[key] = max(revision, before or 0)


def same(one: Facts, other: Facts) -> bool:
    """Prices and count exactly, sums to 1e-12 relative."""
    return one[:5] == other[:5] and all(
        math.isclose(a, b, rel_tol=_CLOSE) for a, b in zip(one[5:], other[5:], strict=True)
    )
