"""How a symbol stands: which UTC day its snapshot shows, and a day that is still growing. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from core.market.bar import Bar, within
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import DAY_NS

REACH_DAYS: Final = 7  # within which a stock has traded before: weekends, holidays
MAX_DAYS: Final = 3  # different days in one snapshot; bounds the number of queries


class NewestBars(msgspec.Struct, frozen=True, gc=False):
    """The newest bars of one symbol; None is what it does not have.

    ``minute`` is the newest one, ``closed`` the newest that is over; ``day`` goes on growing.
    """

    minute: Bar | None = None
    closed: Bar | None = None
    day: Bar | None = None
    previous_day: Bar | None = None


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How one symbol stands; the same object, and the same bars, for as long as nothing changed."""

    trade: Tick | None
    bars: NewestBars


def day_of(time_ns: int) -> int:
    """Start of the UTC day that holds *time_ns*."""
    return time_ns - time_ns % DAY_NS


def symbols_by_day(newest_ns: Mapping[Symbol, int]) -> dict[int, list[Symbol]]:
    """Group symbols by the day of the newest time known of each, newest day first.

    A replay of last year and a live feed may run side by side, hence several days. Only the
    newest :data:`MAX_DAYS` are kept; symbols that last traded before those are left out.
    """
    days: dict[int, list[Symbol]] = {}
    for symbol, time_ns in newest_ns.items():
        days.setdefault(day_of(time_ns), []).append(symbol)
    return {day: sorted(days[day]) for day in sorted(days, reverse=True)[:MAX_DAYS]}


def day_so_far(
    stored: Bar | None, *, day_ns: int, newest_stored: Bar | None, in_memory: Iterable[Bar | None]
) -> Bar | None:
    """A day's stored roll-up with the 1-minute bars that only memory has yet.

    *newest_stored* is the newest 1-minute bar of the store: minutes up to it are in *stored*. Those
    *in_memory* come by time, one of a minute.
    """
    known_ns, over_ns = day_ns - 1, day_ns + DAY_NS
    if newest_stored is not None and newest_stored.start_ns > known_ns:
        known_ns = newest_stored.start_ns
    day = stored
    for bar in in_memory:
        if bar is not None and known_ns < bar.start_ns < over_ns:
            day = bar if day is None else joined_days(day, bar)
    return day


def joined_days(day: Bar, bar: Bar) -> Bar:
    """A day with a bar that follows."""
    before, after = day.volume, bar.volume
    volume = before + after
    high = day.high if day.high > bar.high else bar.high
    low = day.low if day.low < bar.low else bar.low
    return Bar(  # half of the time that msgspec's replace() takes
        day.symbol,
        day.timeframe,
        day.start_ns,
        day.open,
        high,
        low,
        bar.close,
        volume,
        day.trades + bar.trades,
        within((day.vwap * before + bar.vwap * after) / volume, low, high),
        day.rev,
        day.final,
        day.gap,
    )
