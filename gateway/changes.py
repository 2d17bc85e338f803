"""What the streams of closed bars told of changes, as far as kept answers depend on it. Pure.

A bar is stored before it is published, so an answer that was read from the database when the
stream of a symbol's shard had been read up to some entry holds all that came up to that entry. It
stays right until a later entry has a bar of the symbol in the answer's span. That holds in every
process that reads the streams, whichever read the database: positions in the streams are what
processes compare.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from core.market.bar import Bar
from core.market.symbol import Symbol
from storage.entry_id import ZERO_ID, EntryId
from storage.keys import shard_of, shards_of

SILENT_NS: Final = 3_000_000_000
"""Streams not heard for so long may have changed: Redis answers each second when nothing does."""

SETTLE_NS: Final = 3_000_000_000
"""For so long after a start or a silence others' answers are not believed: a server of Redis that
took over may lack the newest entries, until the aggregator, which looks each second, repeats
them."""

_RECENT: Final = 8  # entries remembered of a symbol one by one; older ones as one
_ALWAYS: Final = (-(2**63), 2**63)

Span = tuple[int, int]
"""First and last window start, UNIX nanoseconds, inclusive."""


class Moment(NamedTuple):
    """How far the streams had been read, and since which silence."""

    at: tuple[EntryId, ...]  # by shard
    era: int
    version: int  # of what was told by then


class _Change(NamedTuple):
    entry_id: EntryId
    first_ns: int
    last_ns: int

    def touches(self, at: EntryId, span: Span) -> bool:
        return self.entry_id > at and self.first_ns <= span[1] and self.last_ns >= span[0]

    def joined(self, other: "_Change") -> "_Change":
        """Both as one, which touches what any of them does."""
        return _Change(
            max(self.entry_id, other.entry_id),
            min(self.first_ns, other.first_ns),
            max(self.last_ns, other.last_ns),
        )


@dataclass(slots=True)
class Basis:
    """What an answer was made of, and how far the streams had been read before that."""

    symbols: tuple[Symbol, ...]
    span: Span
    at: Mapping[int, EntryId]  # by shard of the symbols
    era: int
    checked: int = field(default=-1)  # the version at which it was right last


class Changes:
    """Told of all entries of the bar streams, in order, by the one who reads them.

    Memory: a few hundred bytes for each symbol that had a bar since the start.
    """

    def __init__(self, shards: int = 16, *, settle_ns: int = SETTLE_NS) -> None:
        """*shards*: of the deployment. Nothing was heard of any yet."""
        self.version = 0
        """Grows whenever an answer may have become old."""
        self._shards, self._settle_ns = shards, settle_ns
        self._at = [ZERO_ID] * shards
        self._from = [ZERO_ID] * shards  # everything after it was heard of
        self._heard_ns: list[int | None] = [None] * shards
        self._all_heard_ns = 0  # all streams, at that time or after it
        self._settled_from_ns = 0
        self._era = 0
        self._recent: dict[Symbol, list[_Change]] = {}  # the first one stands for all before

    def begin(self, at: Mapping[int, EntryId]) -> None:
        """The streams are read from these positions on, by shard: once, at the start."""
        for shard, position in at.items():
            self._at[shard] = self._from[shard] = position

    def take(self, shard: int, entry_id: EntryId, bars: Iterable[Bar]) -> None:
        """An entry of *shard* with *bars* was read."""
        spans: dict[Symbol, Span] = {}
        for bar in bars:
            first, last = spans.get(bar.symbol, (bar.start_ns, bar.start_ns))
            spans[bar.symbol] = min(first, bar.start_ns), max(last, bar.start_ns)
        for symbol, span in spans.items():
            recent = self._recent.setdefault(symbol, [])
            recent.append(_Change(entry_id, *span))
            if len(recent) > _RECENT:
                recent[:2] = [recent[0].joined(recent[1])]
        self._at[shard] = max(self._at[shard], entry_id)
        self.version += 1

    def skip(self, shard: int, entry_id: EntryId) -> None:
        """An entry of *shard* could not be read: anything may have changed."""
        self._at[shard] = max(self._at[shard], entry_id)
        self._forget()

    def hear(self, heard_ns: Mapping[int, int]) -> None:
        """By shard, when its stream was read to its end: monotonic nanoseconds."""
        for shard, now_ns in heard_ns.items():
            before_ns = self._heard_ns[shard]
            self._heard_ns[shard] = now_ns
            if before_ns is None or now_ns - before_ns > SILENT_NS:
                self._from[shard] = self._at[shard]
                self._settled_from_ns = max(self._settled_from_ns, now_ns + self._settle_ns)
                self._forget()
        known = [known_ns for known_ns in self._heard_ns if known_ns is not None]
        if len(known) == self._shards:
            self._all_heard_ns = min(known)

    def heard(self, now_ns: int) -> bool:
        """Would a change have been heard of, up to a moment ago?"""
        return 0 < self._all_heard_ns > now_ns - SILENT_NS

    def settled(self, now_ns: int) -> bool:
        """May answers be believed that others kept?"""
        return self.heard(now_ns) and self._all_heard_ns >= self._settled_from_ns

    def moment(self) -> Moment:
        """How far everything was read: note it before the database is asked."""
        return Moment(tuple(self._at), self._era, self.version)

    def basis(self, moment: Moment, symbols: tuple[Symbol, ...], span: Span | None) -> Basis:
        """That of an answer about *symbols* that was asked for at *moment*."""
        at = {shard: moment.at[shard] for shard in shards_of(symbols, self._shards)}
        return Basis(symbols, span or _ALWAYS, at, moment.era, moment.version)

    def adopted(self, symbols: tuple[Symbol, ...], span: Span, at: Sequence[EntryId]) -> Basis:
        """That of an answer which another process asked for, at *at* of the symbols' shards."""
        shards = sorted(shards_of(symbols, self._shards))
        return Basis(symbols, span, dict(zip(shards, at, strict=True)), self._era)

    def touched(self, basis: Basis) -> bool:
        """May what *basis* is that of be another answer by now?"""
        if basis.checked == self.version:
            return False
        if basis.era != self._era or any(at < self._from[s] for s, at in basis.at.items()):
            return True
        for symbol in basis.symbols:
            recent = self._recent.get(symbol)
            if recent is not None:
                at = basis.at[shard_of(symbol, self._shards)]
                if any(change.touches(at, basis.span) for change in recent):
                    return True
        basis.at = {shard: max(at, self._at[shard]) for shard, at in basis.at.items()}
        basis.checked = self.version
        return False

    def _forget(self) -> None:
        self._era += 1
        self.version += 1
