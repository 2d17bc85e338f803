"""The day of a symbol's last trade, and the day before: what is stored and what memory holds."""

from collections.abc import Iterable
from dataclasses import dataclass

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from gateway.http.answers import newest
from gateway.http.days import day_so_far, symbols_by_day
from gateway.http.ports import Market
from gateway.http.stored import StoredPresent


@dataclass(frozen=True, slots=True)
class DayView:
    """A symbol's UTC day so far, and its calendar day before; None where nothing was traded."""

    day: Bar | None
    before: Bar | None


async def day_views(
    market: Market, stored: StoredPresent, symbols: Iterable[Symbol]
) -> dict[Symbol, DayView]:
    """The days of those of *symbols* that were traded lately, by a bounded number of queries.

    Raises:
        DatabaseUnavailable: it is away, and not all of it is remembered.
    """
    held = {symbol: _held(market, symbol) for symbol in symbols}
    days = symbols_by_day(
        {symbol: time for symbol in held if (time := _newest_ns(market, symbol, held[symbol]))}
    )
    today: dict[Symbol, Bar] = {}
    before: dict[Symbol, Bar] = {}
    for day_ns, names in days.items():
        today.update(await stored.day(names, day_ns))
        before.update(await stored.previous_day(names, day_ns))
    # Asked last: a minute stored in between is missed for a second, and not counted twice.
    latest = await stored.latest(sorted(held), Timeframe.MIN_1)
    views: dict[Symbol, DayView] = {}
    for day_ns, names in days.items():
        for symbol in names:
            day = day_so_far(
                today.get(symbol),
                day_ns=day_ns,
                newest_stored=latest.get(symbol),
                in_memory=held[symbol],
            )
            views[symbol] = DayView(day, before.get(symbol))
    return views


def _held(market: Market, symbol: Symbol) -> tuple[Bar | None, Bar | None]:
    minute = Timeframe.MIN_1
    return market.closed_bar(symbol, minute), market.running_bar(symbol, minute)


def _newest_ns(market: Market, symbol: Symbol, held: tuple[Bar | None, Bar | None]) -> int:
    """The newest time known of *symbol*, 0 when there is none."""
    trade, bar = market.last_trade(symbol), newest(*held)
    return max(trade.event_ns if trade else 0, bar.start_ns if bar else 0)
