"""Whereabouts: when the trades were that amendments are about, and how far back to look. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aggregator.pending import ids_in, times_in
from core.market.amended import Amendment, Sighting, Word, concerning, earlier_ids, families
from core.market.block import Block, Ticks
from core.market.notice import Correction
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from core.market.trade_ids import TradeIds

_MINUTE = Timeframe.MIN_1


@dataclass(frozen=True, slots=True)
class Group:
    """Amendments that are applied in one, and what else there is to know of their trades.

    ``ids``: of all its trades that were found. ``came``: of those that came in their own right
    under ids that corrections gave. ``lost``: of trades in some bar that nobody finds.
    """

    minutes: Sequence[int]
    new: Sequence[Amendment]
    came: frozenset[int] = frozenset()
    sightings: Sequence[Sighting] = ()
    ids: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()

    @property
    def words(self) -> list[Word]:
        """All that is new."""
        return [*self.new, *self.sightings]


@dataclass(frozen=True, slots=True)
class Known:
    """What memory knows of a symbol's ids.

    ``given`` by corrections, ``dropped``: of ticks of the latest block that were not folded.
    Words from before ``reach_from_ns`` may be of trades that nobody has any more.
    """

    ids: TradeIds
    given: Collection[int]
    dropped: set[int]
    reach_from_ns: int


class Whereabouts:
    """The trades of one symbol that a block gives reason to look at.

    A trade and those that corrections made of it are a family. Which of its ids came in their own
    right memory knows; ids that memory forgot are of older events, and looked for back to the
    first trade of their family: what takes the place of a trade is not older.
    """

    def __init__(
        self,
        block: Block,
        symbol: Symbol,
        *,
        waiting: Sequence[Amendment],
        had: Collection[Word],
        known: Known,
    ) -> None:
        """Take *block*, which was folded, and what *waiting* and *had* say of its trades.

        Those that wait are looked for when the block says them, or has a trade for them.
        """
        self.symbol, self._waiting, self._had = symbol, waiting, had
        self._floor_ns = known.ids.floor_ns
        self._earlier = earlier_ids([*had, *waiting])
        here, said = ids_in(block, symbol), set(block.meta.notices)
        active = [each for each in waiting if each in said or self._ids_of(each) & here]
        self.came = here.intersection(known.given)  # in their own right, under given ids
        ids = [*(each.trade_id for each in active), *self.came]
        self._families = families(ids, [*had, *waiting])
        every = set[int]().union(*self._families)
        about = [word for word in had if word.trade_id in every]
        self.found = times_in(block, symbol, every - known.dropped)
        self.found |= {word.trade_id: word.at_ns for word in about if isinstance(word, Sighting)}
        self._must = {id_ for id_ in every - self.found.keys() if known.ids.knows(id_)}
        # Checkpoints of old have given ids among those that memory knows.
        given = {word.new_id for word in about if isinstance(word, Correction)}
        self._in_doubt = given - self.came
        self._one_of = [self._ids_of(each) for each in active]
        for word in about:
            if not isinstance(word, Sighting) and word.event_ns >= known.reach_from_ns:
                self._one_of.append(self._ids_of(word))

    @property
    def wanted(self) -> list[int]:
        """The ids of trades that are not found."""
        return list(set[int]().union(*self._families) - self.found.keys())

    def is_over(self, stop_ns: int) -> bool:
        """Has all been found? The log was searched back to *stop_ns*."""
        if not self._families or not self.wanted:
            return True
        found = self.found.keys()
        if self._must - found or any(ids.isdisjoint(found) for ids in self._one_of):
            return False
        first_ns = min(self.found.values(), default=stop_ns)
        return stop_ns <= first_ns or self._floor_ns <= first_ns

    def take(self, ticks: Ticks) -> None:
        """These are in the log."""
        at = np.flatnonzero(np.isin(ticks.trade_id, self.wanted))
        times = ticks.event_ns[at].tolist()
        self.found |= dict(zip(ticks.trade_id[at].tolist(), times, strict=True))

    def groups(self) -> list[Group]:
        """What can be applied: minute by minute, and families of several minutes one by one."""
        by_minute: dict[int, Group] = {}
        wide: list[Group] = []
        for family in self._families:
            group = self._group(family)
            if group is None:
                continue
            if len(group.minutes) > 1 or group.lost:
                wide.append(group)
                continue
            (start_ns,) = group.minutes
            other = by_minute.get(start_ns)
            if other is not None:
                new, came = [*other.new, *group.new], other.came | group.came
                group = Group(group.minutes, new, came, ids=other.ids | group.ids)
            by_minute[start_ns] = group
        return [*by_minute.values(), *wide]

    def _group(self, family: frozenset[int]) -> Group | None:
        times = {id_: self.found[id_] for id_ in family & self.found.keys()}
        new = [
            each
            for each in self._waiting
            if each.trade_id in family and self._ids_of(each) & times.keys()
        ]
        came = self.came & times.keys()
        if not new and not came:
            return None
        minutes = sorted({_MINUTE.floor_ns(at_ns) for at_ns in times.values()})
        sightings = self._sightings(family, times, new) if len(minutes) > 1 else []
        lost = family & (self._must - self.found.keys() - self._in_doubt)
        return Group(minutes, new, frozenset(came), sightings, frozenset(times), lost)

    def _sightings(
        self, family: frozenset[int], times: Mapping[int, int], new: Iterable[Amendment]
    ) -> list[Sighting]:
        """Of those trades of *family* of which there are none."""
        about = [w for w in (*self._had, *new) if w.trade_id in family]
        said_ns = max([*times.values(), *(word.event_ns for word in about)])
        seen = {word.trade_id for word in about if isinstance(word, Sighting)}
        return [
            Sighting(self.symbol, said_ns, id_, at_ns)
            for id_, at_ns in sorted(times.items())
            if id_ not in seen
        ]

    def _ids_of(self, amendment: Amendment) -> set[int]:
        """Under which its trade may have come."""
        return concerning(amendment.trade_id, self._earlier)
