"""Gap watch: which trades a venue has numbered and not delivered, symbol by symbol. Pure."""

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from core.market.notice import Gap, GapState
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick

MAX_HOLES: Final = 64
"""Holes of a symbol at a time; what is missing beyond them is counted into the newest one."""
MAX_PARTS: Final = 1_000
"""Stretches of a hole that are told apart; what arrives beyond them is asked for once more."""
MAX_TOLD: Final = 64
"""Lost stretches of a hole that are told one by one; what is lost beyond them is told in one."""
MAX_SYMBOLS: Final = 20_000  # past that a venue is making names up: the others are not watched
MAX_EXCUSED: Final = 1_000  # of a symbol; of more, those that have the smallest ids are missing
_LONG_AGO: Final = -(2**63)

Part = tuple[int, int]
"""The first and the last id of a stretch, or two event times."""


class HoleRecord(msgspec.Struct, frozen=True, array_like=True):
    """A hole as it is remembered: ids, and the event times around it."""

    first: int
    last: int
    from_ns: int
    to_ns: int
    missing: tuple[Part, ...]
    around: tuple[Part, ...] = ()  # event times; a record of old has none
    too_late: tuple[tuple[Part, Part], ...] = ()
    was_told: bool = False


class SymbolRecord(msgspec.Struct, frozen=True, array_like=True):
    """What must be known of a symbol to go on watching it in another process."""

    top: int
    top_ns: int
    holes: tuple[HoleRecord, ...] = ()


@dataclass(slots=True, eq=False)
class Hole:
    """Trades ``first`` to ``last`` of a symbol, of which those in ``missing`` did not come.

    ``from_ns`` and ``to_ns`` are the event times of the trades around it, ``around`` those around
    each stretch of ``missing``. ``too_late`` are ids, and event times, of trades that came and are
    too old to be let in. ``is_open``: it was waited for long enough, and subscribers are told.
    """

    symbol: Symbol
    first: int
    last: int
    from_ns: int
    to_ns: int
    seen_ns: int  # monotonic
    missing: list[Part]
    around: list[Part] = field(default_factory=list)
    too_late: list[tuple[Part, Part]] = field(default_factory=list)
    is_open: bool = False
    was_told: bool = False
    is_closed: bool = False
    opened_ns: int = 0  # monotonic

    def __post_init__(self) -> None:
        """Nothing more is known of its stretches than of itself, unless it is given."""
        if len(self.around) != len(self.missing):
            self.around = [(self.from_ns, self.to_ns)] * len(self.missing)

    @property
    def trades(self) -> int:
        """How many are missing."""
        return sum(last - first + 1 for first, last in self.missing)

    def notice(self, state: GapState) -> Gap:
        """What subscribers are told."""
        return Gap(self.symbol, state, self.from_ns, self.to_ns, self.first, self.last)

    def outcome(self) -> list[Gap]:
        """What subscribers are told in the end: stretch by stretch what is lost and what came.

        The stretches are the whole hole, and the first one begins where it does: by that time and
        its first id the hole is known. Ids are not strictly in order of time.
        """
        told: list[Gap] = []
        at_id, at_ns = self.first, self.from_ns
        end = (self.last + 1, self.last), (self.to_ns, self.to_ns)
        for (first, last), (from_ns, to_ns) in (*self.lost(), end):
            if first > at_id:
                since_ns = at_ns if at_id == self.first else min(at_ns, from_ns)
                times = since_ns, max(at_ns, from_ns)
                told.append(Gap(self.symbol, GapState.FILLED, *times, at_id, first - 1))
            if first <= last:
                told.append(Gap(self.symbol, GapState.LOST, from_ns, to_ns, first, last))
            at_id, at_ns = last + 1, to_ns
        return told

    def lost(self) -> list[tuple[Part, Part]]:
        """What is missing or came too late: ids and event times, at most :data:`MAX_TOLD`."""
        parts = [*zip(self.missing, self.around, strict=True), *self.too_late]
        found: list[tuple[Part, Part]] = []
        for part in sorted(parts):
            if found and (part[0][0] == found[-1][0][1] + 1 or len(found) >= MAX_TOLD):
                found[-1] = _together(found[-1], part)
            else:
                found.append(part)
        if found and found[0][0][0] == self.first:  # it is known by its id and this time
            ids, (_, to_ns) = found[0]
            found[0] = ids, (self.from_ns, max(to_ns, self.from_ns))
        return found

    def refuse(self, tick: Tick) -> None:
        """*tick* came, and is too old to be let in: it stays lost."""
        part = (tick.trade_id, tick.trade_id), (tick.event_ns, tick.event_ns)
        last = self.too_late[-1] if self.too_late else None
        if last is not None and (
            tick.trade_id == last[0][1] + 1 or len(self.too_late) >= MAX_PARTS
        ):
            self.too_late[-1] = _together(last, part)
        else:
            self.too_late.append(part)

    def take(self, trade_id: int, event_ns: int | None = None) -> bool:
        """*trade_id* came after all; False: it was not missing. *event_ns*: None is unknown."""
        parts = self.missing
        at = bisect_right(parts, (trade_id, 2**63)) - 1
        if at < 0 or trade_id > parts[at][1]:
            return False
        first, last = parts[at]
        left = [(first, trade_id - 1)] if first < trade_id else []
        right = [(trade_id + 1, last)] if trade_id < last else []
        if left and right and len(parts) >= MAX_PARTS:
            return True
        parts[at : at + 1] = left + right
        from_ns, to_ns = self.around[at]
        before, after = (from_ns, to_ns), (from_ns, to_ns)
        if event_ns is not None and from_ns <= event_ns <= to_ns:
            before, after = (from_ns, event_ns), (event_ns, to_ns)
        self.around[at : at + 1] = [before] * len(left) + [after] * len(right)
        return True


@dataclass(slots=True)
class _Watched:
    top: int  # the newest id that is known to exist
    top_ns: int  # its event time
    holes: list[Hole] = field(default_factory=list)
    excused: list[int] = field(default_factory=list)  # beyond top, sorted


class GapWatch:
    """Watches the ids of a feed whose venue numbers the trades of each symbol without a hole.

    A hole that stays for ``settle_ns`` (trades may overtake each other), or until the connection
    is a new one, is *due*: it is to be opened, filled and closed. Bounded by :data:`MAX_SYMBOLS`,
    :data:`MAX_HOLES` and :data:`MAX_PARTS`.
    """

    def __init__(self, *, settle_ns: int) -> None:
        self._settle_ns = settle_ns
        self._symbols: dict[Symbol, _Watched] = {}
        self._changed: set[Symbol] = set()
        self._settling = False  # is there a hole that is not open yet?

    def see(self, ticks: Iterable[Tick], *, now_ns: int) -> None:
        """*ticks* came from the venue at *now_ns* (monotonic), for the first time or again."""
        symbols = self._symbols
        for tick in ticks:
            watched = symbols.get(tick.symbol)
            if watched is None:
                self._begin(tick)
            elif tick.trade_id == watched.top + 1:
                watched.top, watched.top_ns = tick.trade_id, tick.event_ns
                self._changed.add(tick.symbol)
            elif tick.trade_id > watched.top:
                self._skip(tick, watched, tick.trade_id - 1, now_ns)
            elif watched.holes:
                self._fill(watched, tick, tick.event_ns)

    def excuse(self, ticks: Iterable[Tick]) -> None:
        """*ticks* came, and were kept out: they are not missing, but prove nothing either."""
        for tick in ticks:
            watched = self._symbols.get(tick.symbol)
            if watched is None:
                continue
            if tick.trade_id > watched.top:
                insort(watched.excused, tick.trade_id)
                del watched.excused[:-MAX_EXCUSED]
            elif watched.holes:
                self._fill(watched, tick)

    def announce(self, ticks: Iterable[Tick], *, now_ns: int) -> None:
        """The venue says that *ticks* are its newest ones, without delivering them."""
        for tick in ticks:
            watched = self._symbols.get(tick.symbol)
            if watched is not None and tick.trade_id > watched.top:
                self._skip(tick, watched, tick.trade_id, now_ns)

    def reconnected(self) -> None:
        """What the last connection did not deliver, it will not: all holes are due."""
        for watched in self._symbols.values():
            for hole in watched.holes:
                hole.seen_ns = _LONG_AGO

    def due(self, *, now_ns: int) -> list[Hole]:
        """The holes to be opened now; each is given out once, and watched until :meth:`close`."""
        if not self._settling:
            return []
        found: list[Hole] = []
        self._settling = False
        for watched in self._symbols.values():
            for hole in watched.holes:
                if hole.is_open:
                    continue
                if now_ns - hole.seen_ns >= self._settle_ns:
                    hole.is_open, hole.was_told, hole.opened_ns = True, True, now_ns
                    found.append(hole)
                    self._changed.add(hole.symbol)
                else:
                    self._settling = True
        return found

    def close(self, hole: Hole) -> None:
        """*hole* is filled or lost: no more of it."""
        watched, hole.is_closed = self._symbols[hole.symbol], True
        if hole in watched.holes:
            watched.holes.remove(hole)
        self._changed.add(hole.symbol)

    # -- over restarts

    def changes(self) -> dict[Symbol, SymbolRecord]:
        """What is to be remembered, of the symbols of which it changed since the last call."""
        changed, self._changed = self._changed, set()
        return {symbol: self._record(self._symbols[symbol]) for symbol in changed}

    def not_kept(self, symbols: Iterable[Symbol]) -> None:
        """What :meth:`changes` gave of *symbols* could not be remembered; it comes once more."""
        self._changed.update(symbols)

    def resume(self, symbol: Symbol, record: SymbolRecord) -> None:
        """Go on as *record* says; its holes are due at once, unless :meth:`see` fills one that
        nobody was told of.
        """
        holes = [
            Hole(
                symbol,
                h.first,
                h.last,
                h.from_ns,
                h.to_ns,
                _LONG_AGO,
                list(h.missing),
                list(h.around),
                list(h.too_late),
                was_told=h.was_told,
            )
            for h in record.holes[:MAX_HOLES]
        ]
        self._symbols[symbol] = _Watched(record.top, record.top_ns, holes)
        self._settling = self._settling or bool(holes)

    def was_told(self, gap: Gap) -> None:
        """Another process, or an earlier run, told subscribers of *gap*: they wait for its end."""
        watched = self._symbols.get(gap.symbol)
        if watched is not None and gap.state is GapState.OPEN:
            for hole in watched.holes:
                hole.was_told = hole.was_told or hole.first == gap.first_id

    def newest(self, symbol: Symbol) -> int | None:
        """The newest id that is known to exist."""
        watched = self._symbols.get(symbol)
        return None if watched is None else watched.top

    # -- inside

    def _begin(self, tick: Tick) -> None:
        if tick.trade_id != NO_ID and len(self._symbols) < MAX_SYMBOLS:
            self._symbols[tick.symbol] = _Watched(tick.trade_id, tick.event_ns)
            self._changed.add(tick.symbol)

    def _skip(self, tick: Tick, watched: _Watched, last: int, now_ns: int) -> None:
        """*tick* is known to exist and to be the newest; ids up to *last* are missing."""
        hole = Hole(
            tick.symbol,
            watched.top + 1,
            last,
            watched.top_ns,
            max(watched.top_ns, tick.event_ns),
            now_ns,
            [(watched.top + 1, last)],
        )
        for trade_id in watched.excused:
            hole.take(trade_id)
        del watched.excused[: bisect_right(watched.excused, tick.trade_id)]
        if hole.missing and len(watched.holes) < MAX_HOLES:
            watched.holes.append(hole)
        elif hole.missing:
            _widen(watched.holes[-1], hole)
        watched.top, watched.top_ns = tick.trade_id, tick.event_ns
        self._settling = True
        self._changed.add(tick.symbol)

    def _fill(self, watched: _Watched, tick: Tick, event_ns: int | None = None) -> None:
        for hole in watched.holes:
            if hole.first <= tick.trade_id <= hole.last:
                if hole.take(tick.trade_id, event_ns) and not hole.missing and not hole.was_told:
                    watched.holes.remove(hole)
                self._changed.add(tick.symbol)
                return

    def _record(self, watched: _Watched) -> SymbolRecord:
        holes = (
            HoleRecord(
                h.first,
                h.last,
                h.from_ns,
                h.to_ns,
                tuple(h.missing),
                tuple(h.around),
                tuple(h.too_late),
                h.was_told,
            )
            for h in watched.holes
        )
        return SymbolRecord(watched.top, watched.top_ns, tuple(holes))


def _widen(hole: Hole, more: Hole) -> None:
    """Count *more* into *hole*, which comes before it, and is told once more then."""
    if len(hole.missing) + len(more.missing) > MAX_PARTS:
        first = hole.missing.pop()[0] if hole.missing else more.first
        from_ns = hole.around.pop()[0] if hole.around else more.from_ns
        hole.missing.append((first, more.last))
        hole.around.append((from_ns, max(from_ns, more.to_ns)))
    else:
        hole.missing += more.missing
        hole.around += more.around
    hole.last, hole.to_ns = more.last, max(hole.to_ns, more.to_ns)
    hole.is_open, hole.seen_ns = False, more.seen_ns


def _together(one: tuple[Part, Part], other: tuple[Part, Part]) -> tuple[Part, Part]:
    """Two stretches, and what is between them."""
    ids, times = (sorted((*part, *more)) for part, more in zip(one, other, strict=True))
    return (ids[0], ids[-1]), (times[0], times[-1])
