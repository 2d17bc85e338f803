"""Amendments on their way: they wait for their trades, then for a flush. Pure."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from core.market.amended import Amendment, Word
from core.market.block import Ticks
from core.market.notice import Cancel, Correction, Notice
from core.market.symbol import Symbol
from storage.rows import Retold

MAX_PENDING: Final = 1_000
"""Of a symbol. When there are more the oldest is given up: venues amend few of their trades."""

MAX_OF_SHARD: Final = 10_000
"""Of all symbols of a shard together: they are in its checkpoint, which every flush writes."""


MAX_GIVEN: Final = 1_000
"""Ids of a symbol that corrections gave, the newest: a trade may still come under each."""

MAX_GIVEN_OF_SHARD: Final = 10_000


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """An amendment whose trade nobody has seen yet, and the feed time when it came."""

    since_ns: int
    amendment: Correction | Cancel


def note(pending: list[Pending], notices: Iterable[Notice], *, now_ns: int) -> list[Amendment]:
    """Let the amendments among *notices*, all of one symbol, wait; those that are given up."""
    pending += [Pending(now_ns, each) for each in notices if isinstance(each, Correction | Cancel)]
    given_up = [each.amendment for each in pending[:-MAX_PENDING]]
    del pending[:-MAX_PENDING]
    return given_up


def beyond(waiting: Collection[list[Pending]]) -> list[Amendment]:
    """Take away the oldest, where too many wait: *waiting* are those of each symbol of a shard."""
    too_many = sum(map(len, waiting)) - MAX_OF_SHARD
    if too_many <= 0:
        return []
    oldest = sorted(itertools.chain(*waiting), key=lambda each: each.since_ns)[:too_many]
    gone = set(map(id, oldest))  # equal ones of two feeds are two
    for pending in waiting:
        pending[:] = [each for each in pending if id(each) not in gone]
    return [each.amendment for each in oldest]


def expired(pending: list[Pending], *, before_ns: int) -> list[Amendment]:
    """Take away those that came before that feed time."""
    old = [each.amendment for each in pending if each.since_ns < before_ns]
    pending[:] = [each for each in pending if each.since_ns >= before_ns]
    return old


def forget_given(ids: dict[int, int], *, before_ns: int) -> None:
    """Take away what was given before that feed time; *ids* of a symbol are in order of time."""
    while ids and next(iter(ids.values())) < before_ns:
        del ids[next(iter(ids))]


def bound_given(given: Collection[dict[int, int]], most: int) -> int:
    """Take away the oldest, where *given*, of some symbols, are more than *most*; how many."""
    too_many = max(0, sum(map(len, given)) - most)
    for _ in range(too_many):
        oldest = min((ids for ids in given if ids), key=lambda ids: next(iter(ids.values())))
        del oldest[next(iter(oldest))]
    return too_many


def awaited(pending: Sequence[Pending], given: Mapping[int, int]) -> Collection[int]:
    """The ids under which a trade would be news to amendments of its symbol."""
    return {*(each.amendment.trade_id for each in pending), *given} if pending else given


def that_came(block: Ticks, awaited_ids: Mapping[Symbol, Collection[int]]) -> set[Symbol]:
    """The symbols of *awaited_ids* of which *block* has such a trade."""
    wanted = {at: awaited_ids[s] for at, s in enumerate(block.symbols) if s in awaited_ids}
    if not wanted:
        return set()
    rows = zip(block.symbol_index.tolist(), block.trade_id.tolist(), strict=True)
    found = {at for at, trade_id in rows if at in wanted and trade_id in wanted[at]}
    return {block.symbols[at] for at in found}


def times_in(block: Ticks, symbol: Symbol, ids: Collection[int]) -> dict[int, int]:
    """The event times of those trades of *symbol* that *block* has."""
    if symbol not in block.symbols:
        return {}
    at = np.flatnonzero(_is_of(symbol, block) & np.isin(block.trade_id, list(ids)))
    return dict(zip(block.trade_id[at].tolist(), block.event_ns[at].tolist(), strict=True))


def ids_in(block: Ticks, symbol: Symbol) -> set[int]:
    """The ids of the trades of *symbol* that *block* has."""
    return set(block.trade_id[_is_of(symbol, block)].tolist()) if symbol in block.symbols else set()


def _is_of(symbol: Symbol, block: Ticks) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = block.symbol_index == np.intp(block.symbols.index(symbol))
    return found


@dataclass(slots=True)
class Applied:
    """Words that were applied, and last trades that changed, until they are stored."""

    _new: list[Word] = field(default_factory=list)
    _handed: list[tuple[int, Sequence[Word]]] = field(default_factory=list)  # by flush
    _retold: list[Retold] = field(default_factory=list)

    def add(self, amendments: Iterable[Word]) -> None:
        """They are in the bars."""
        self._new += amendments

    def retell(self, retold: Retold) -> None:
        """A last trade is another one now."""
        self._retold.append(retold)

    def of(self, symbol: Symbol) -> set[Word]:
        """Those of *symbol* that perhaps are not stored."""
        every = [*self._new, *(each for _, some in self._handed for each in some)]
        return {amendment for amendment in every if amendment.symbol == symbol}

    def hand_over(self, flush: int, committed: int) -> tuple[Sequence[Word], Sequence[Retold]]:
        """What *flush* stores; flushes up to *committed* are stored."""
        self._handed = [each for each in self._handed if each[0] > committed]
        new, self._new = self._new, []
        retold, self._retold = self._retold, []
        if new:
            self._handed.append((flush, new))
        return new, retold
