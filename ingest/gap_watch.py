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
MAX_SYMBOLS: Final = 20_000  # past that a venue is making names up: the others are not watched
MAX_EXCUSED: Final = 1_000  # of a symbol; of more, those that have the smallest ids are missing
_LONG_AGO: Final = -(2**63)


class HoleRecord(msgspec.Struct, frozen=True, array_like=True):
    """A hole as it is remembered: ids, and the event times around it."""

    first: int
    last: int
    from_ns: int
    to_ns: int
    missing: tuple[tuple[int, int], ...]


class SymbolRecord(msgspec.Struct, frozen=True, array_like=True):
    """What must be known of a symbol to go on watching it in another process."""

    top: int
    top_ns: int
    holes: tuple[HoleRecord, ...] = ()


@dataclass(slots=True, eq=False)
class Hole:
    """Trades ``first`` to ``last`` of a symbol, of which those in ``missing`` did not come.

    ``from_ns`` and ``to_ns`` are the event times of the trades around it. ``is_open``: it was
    waited for long enough, and subscribers are told.
    """

    symbol: Symbol
    first: int
    last: int
    from_ns: int
    to_ns: int
    seen_ns: int  # monotonic
    missing: list[tuple[int, int]]
    is_open: bool = False
    was_told: bool = False
    is_closed: bool = False
    opened_ns: int = 0  # monotonic

    @property
    def trades(self) -> int:
        """How many are missing."""
        return sum(last - first + 1 for first, last in self.missing)

    def notice(self, state: GapState) -> Gap:
        """What subscribers are told."""
        return Gap(self.symbol, state, self.from_ns, self.to_ns, self.first, self.last)

    def take(self, trade_id: int) -> bool:
        """*trade_id* came after all; False: it was not missing."""
        parts = self.missing
        at = bisect_right(parts, (trade_id, 2**63)) - 1
        if at < 0 or trade_id > parts[at][1]:
            return False
        first, last = parts[at]
        left = [(first, trade_id - 1)] if first < trade_id else []
        right = [(trade_id + 1, last)] if trade_id < last else []
        if not (left and right and len(parts) >= MAX_PARTS):
            parts[at : at + 1] = left + right
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
                self._fill(watched, tick)

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
        """Go on as *record* says; its holes are due at once, unless :meth:`see` fills them."""
        holes = [
            Hole(symbol, h.first, h.last, h.from_ns, h.to_ns, _LONG_AGO, list(h.missing))
            for h in record.holes[:MAX_HOLES]
        ]
        self._symbols[symbol] = _Watched(record.top, record.top_ns, holes)
        self._settling = self._settling or bool(holes)

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

    def _fill(self, watched: _Watched, tick: Tick) -> None:
        for hole in watched.holes:
            if hole.first <= tick.trade_id <= hole.last:
                if hole.take(tick.trade_id) and not hole.missing and not hole.was_told:
                    watched.holes.remove(hole)
                self._changed.add(tick.symbol)
                return

    def _record(self, watched: _Watched) -> SymbolRecord:
        holes = (
            HoleRecord(h.first, h.last, h.from_ns, h.to_ns, tuple(h.missing)) for h in watched.holes
        )
        return SymbolRecord(watched.top, watched.top_ns, tuple(holes))


def _widen(hole: Hole, more: Hole) -> None:
    """Count *more* into *hole*, which comes before it, and is told once more then."""
    if len(hole.missing) + len(more.missing) > MAX_PARTS:
        first = hole.missing.pop()[0] if hole.missing else more.first
        hole.missing.append((first, more.last))
    else:
        hole.missing += more.missing
    hole.last, hole.to_ns = more.last, max(hole.to_ns, more.to_ns)
    hole.is_open, hole.seen_ns = False, more.seen_ns
