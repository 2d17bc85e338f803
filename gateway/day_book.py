"""Days of symbols that are asked for, kept up by each minute that closes. Pure: told the time.

A day is loaded once and then grows by what the bar streams tell: asking for the days of 500 symbols
costs no query. A minute that is revised, or comes late, makes what is kept of its symbol void.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from zlib import crc32

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, SECOND_NS, Timeframe
from gateway.http.days import day_of, joined_days

MAX_SYMBOLS: Final = 10_000  # kept; about a kilobyte each
_MAX_NEWS: Final = 20_000  # minutes that close during one load; with more it is not kept
_KEPT_NS: Final = 300 * SECOND_NS
"""Due to be loaded anew after so long, and up to as much again, so that not all are at once: a
stream that was trimmed under the reader may have told less than there was."""

_DUE_NS: Final = 60 * SECOND_NS  # for so long what is due may be shown still


@dataclass(frozen=True, slots=True)
class Days:
    """A symbol's newest day, by its closed minutes; the day before; and the newest minute.

    ``reach_ns`` is how far back a day counts as the one before.
    """

    day_ns: int
    day: Bar | None
    previous: Bar | None
    minute: Bar | None
    reach_ns: int = DAY_NS

    def at(self, day_ns: int) -> tuple[Bar | None, Bar | None]:
        """The day from *day_ns* on, which may have had no minute yet, and the one before."""
        if day_ns == self.day_ns:
            return self.day, self.previous
        before = self.day or self.previous
        if before is None or not 0 < day_ns - day_of(before.start_ns) <= self.reach_ns:
            return None, None
        return None, before


@dataclass(slots=True)
class _Entry:
    days: Days
    due_ns: int
    asked: bool = False  # since it was loaded


class DayBook:
    """What is known of days. One task owns it; when it is full, the oldest entry goes."""

    def __init__(self) -> None:
        self._kept: dict[Symbol, _Entry] = {}
        self._loads: dict[int, list[Bar]] = {}  # minutes that closed since each began
        self._numbers = 0

    def take(self, bar: Bar) -> None:
        """A bar closed, or was revised."""
        if bar.timeframe is not Timeframe.MIN_1:
            return
        for news in self._loads.values():
            news.append(bar)
        entry = self._kept.get(bar.symbol)
        if entry is not None:
            grown = _grown(entry.days, bar)
            if grown is None:
                del self._kept[bar.symbol]
            else:
                entry.days = grown

    def known(self, symbol: Symbol, now_ns: int) -> Days | None:
        """What is known of *symbol*; None: load it. *now_ns* is of a monotonic clock."""
        entry = self._kept.get(symbol)
        if entry is None or now_ns >= entry.due_ns + _DUE_NS:
            return None
        entry.asked = True
        return entry.days

    def due(self, now_ns: int) -> list[Symbol]:
        """What was asked for since it was loaded, and is to be loaded anew before a caller waits.

        What nobody asked for gets too old to be known.
        """
        return [s for s, entry in self._kept.items() if now_ns >= entry.due_ns and entry.asked]

    def forget(self, symbols: Iterable[Symbol]) -> None:
        """What is known of *symbols* does not hold any more."""
        for symbol in symbols:
            self._kept.pop(symbol, None)

    def begin(self) -> int:
        """A load begins; give the number to :meth:`end` whatever comes of it."""
        self._numbers += 1
        self._loads[self._numbers] = []
        return self._numbers

    def end(self, number: int, loaded: Mapping[Symbol, Days], now_ns: int) -> None:
        """Keep what was *loaded*, grown by what closed meanwhile."""
        news = self._loads.pop(number)
        if len(news) > _MAX_NEWS:
            return
        by_symbol: dict[Symbol, list[Bar]] = {}
        for bar in news:
            by_symbol.setdefault(bar.symbol, []).append(bar)
        for symbol, days in loaded.items():
            grown = _grown_by(days, by_symbol.get(symbol, ()))
            self._kept.pop(symbol, None)
            if grown is not None:
                self._keep(symbol, grown, now_ns)

    def _keep(self, symbol: Symbol, days: Days, now_ns: int) -> None:
        while len(self._kept) >= MAX_SYMBOLS:
            del self._kept[next(iter(self._kept))]
        life_ns = _KEPT_NS + crc32(symbol.encode()) * _KEPT_NS // 2**32
        self._kept[symbol] = _Entry(days, now_ns + life_ns)


def _grown_by(days: Days, bars: Iterable[Bar]) -> Days | None:
    grown: Days | None = days
    for bar in bars:
        grown = None if grown is None else _grown(grown, bar)
    return grown


def _grown(days: Days, bar: Bar) -> Days | None:
    """*days* with a minute that closed; None when they are void by it."""
    newest_ns = -DAY_NS if days.minute is None else days.minute.start_ns
    if bar.rev or not bar.trades or bar.start_ns < newest_ns:
        return None
    if bar.start_ns == newest_ns:
        return days  # stored before it was told
    day_ns = day_of(bar.start_ns)
    if day_ns < days.day_ns:
        return None
    day, previous = days.at(day_ns)
    day = bar if day is None else joined_days(day, bar)
    return replace(days, day_ns=day_ns, day=day, previous=previous, minute=bar)
