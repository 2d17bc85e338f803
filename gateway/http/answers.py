"""The JSON shapes of the answers, and their encoding. Pure.

Names and shapes are those of Alpaca's crypto market data; ours in addition are ``rev``, ``final``
and ``gap``. Numbers are JSON floats, so that no client meets an integer now and a float then.
"""

import datetime as dt
import functools
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, Literal

import msgspec
import numpy as np

from core.market.bar import Bar
from core.market.bar_columns import BarColumns, Ints
from core.market.resolution import Resolution
from core.market.rolled import rolled
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from core.market.timeframe import MINUTE_NS
from gateway.encode import rfc3339
from gateway.http.bar_rows import MINUTES, RowShape, bar_rows, even_step_ns
from gateway.http.days import day_of

TAKER_SIDES: Final[dict[Side, Literal["B", "S"] | None]] = {
    Side.UNKNOWN: None,
    Side.BUY: "B",
    Side.SELL: "S",
}
_ENCODER: Final = msgspec.json.Encoder()
_window_text: Final = functools.lru_cache(maxsize=1_024)(rfc3339)  # symbols share their windows
MANY_ROWS: Final = 100
"""Bars that are encoded faster by columns than one by one."""

_NUMBERS: Final = ("o", "h", "l", "c", "v", "n", "vw")
_REVISED: Final = RowShape.of(*_NUMBERS, "rev", end=',"final":true')
_UNREVISED: Final = RowShape.of(*_NUMBERS, end=',"rev":0,"final":true')
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
_MANY: Final = 200  # minutes of a day, for which it is worth to have all its texts
_BAR_NAMES: Final = {
    "time": "t",
    "open": "o",
    "high": "h",
    "low": "l",
    "close": "c",
    "volume": "v",
    "trades": "n",
    "vwap": "vw",
}


class BarAnswer(msgspec.Struct, frozen=True, rename=_BAR_NAMES, omit_defaults=True, gc=False):
    """One bar; ``time`` is the start of its window, ``gap`` is left out unless true."""

    time: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    vwap: float
    rev: int
    final: bool
    gap: bool = False


class DayAnswer(msgspec.Struct, frozen=True, rename=_BAR_NAMES, gc=False):
    """The bar of a UTC day, made of 1-minute bars; today's goes on growing."""

    time: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    vwap: float


class TradeAnswer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One trade: time, price, size, the venue's id and the taker's side where they are known."""

    t: str
    p: float
    s: float
    i: int | None = None
    tks: Literal["B", "S"] | None = None


class SnapshotAnswer(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What a symbol looks like now; null is what it does not have."""

    latest_trade: TradeAnswer | None
    latest_quote: dict[str, Any] | None  # none yet: no feed carries quotes
    minute_bar: BarAnswer | None
    daily_bar: DayAnswer | None
    prev_daily_bar: DayAnswer | None


class SymbolAnswer(msgspec.Struct, frozen=True, gc=False):
    """A symbol that a venue carries, and its last trade where there was one."""

    symbol: Symbol
    venue: str
    ticker: str
    last_trade: TradeAnswer | None


class BarsPage(msgspec.Struct, frozen=True):
    """A page of bars by the caller's spelling of the symbol."""

    bars: dict[str, list[BarAnswer]]
    next_page_token: str | None


class TradesPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of trades by the caller's spelling of the symbol, and what it cannot have."""

    trades: dict[str, list[TradeAnswer]]
    next_page_token: str | None
    missing: dict[str, str] = {}


def encode(answer: Any) -> bytes:
    """An answer as UTF-8 JSON."""
    return _ENCODER.encode(answer)


def encode_all(answers: Sequence[Any]) -> list[bytes]:
    """Each of *answers* as UTF-8 JSON."""
    return _ENCODER.encode_lines(answers).split(b"\n")[:-1]


def bar_answer(bar: Bar) -> BarAnswer:
    """A bar as callers see it."""
    return BarAnswer(
        _window_text(bar.start_ns),
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.trades,
        bar.vwap,
        bar.rev,
        bar.final,
        bar.gap,
    )


def day_answer(bar: Bar) -> DayAnswer:
    """A day as callers see it; *bar* may start with any minute of it."""
    return DayAnswer(
        _day_text(bar.start_ns),
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.trades,
        bar.vwap,
    )


@functools.lru_cache(maxsize=1_024)
def _day_text(time_ns: int) -> str:
    """The start of the UTC day that holds *time_ns*."""
    return rfc3339(day_of(time_ns))


def trade_answer(tick: Tick) -> TradeAnswer:
    """A trade as callers see it."""
    trade_id = None if tick.trade_id == NO_ID else tick.trade_id
    side = TAKER_SIDES[tick.side]
    return TradeAnswer(rfc3339(tick.event_ns), tick.price, tick.size, trade_id, side)


def trades_by_spelling(
    trades: Iterable[Tick], spellings: Mapping[Symbol, str]
) -> dict[str, list[TradeAnswer]]:
    """Group *trades*, which come symbol by symbol, under the caller's names; keeps their order."""
    grouped: dict[str, list[TradeAnswer]] = {}
    for tick in trades:
        grouped.setdefault(spellings[tick.symbol], []).append(trade_answer(tick))
    return grouped


def symbol_answer(symbol: Symbol, last_trade: Tick | None) -> SymbolAnswer:
    """A symbol as callers see it."""
    venue, _, ticker = symbol.partition(":")
    trade = None if last_trade is None else trade_answer(last_trade)
    return SymbolAnswer(symbol, venue, ticker, trade)


def encode_bars(bars: BarColumns, spellings: Mapping[Symbol, str], token: str | None) -> bytes:
    """A page of bars under the caller's names of the symbols, as UTF-8 JSON."""
    if len(bars) >= MANY_ROWS and not np.logical_or.reduce(bars.gap):
        return _encode_many(bars, spellings, token)
    start_ns, *some = bars.arrays().values()
    times, (*values, gap) = window_texts(start_ns), [column.tolist() for column in some]
    rows = list(map(BarAnswer, times, *values, repeat(True), gap))
    return encode(BarsPage({spellings[s]: rows[at:to] for s, at, to in bars.spans()}, token))


def _encode_many(bars: BarColumns, spellings: Mapping[Symbol, str], token: str | None) -> bytes:
    """The same of many bars without gaps."""
    prices = np.concatenate((bars.open, bars.high, bars.low, bars.close, bars.volume))
    columns = prices, bars.trades, bars.vwap
    if np.maximum.reduce(bars.rev):
        rows, stops = bar_rows(_REVISED, bars.start_ns, (*columns, bars.rev))
    else:
        rows, stops = bar_rows(_UNREVISED, bars.start_ns, columns)
    parts: list[bytes | memoryview] = []
    first = 0
    for symbol, _, to in bars.spans():
        stop = int(stops[to - 1])
        parts += [b",", encode(spellings[symbol]), b":[", rows.data[first : stop - 1], b"]"]
        first = stop
    return b"".join([b'{"bars":{', *parts[1:], b'},"next_page_token":', encode(token), b"}"])


def window_texts(starts_ns: Ints) -> list[str]:
    """Window starts, which are whole minutes, as RFC 3339."""
    count = len(starts_ns)
    if count >= _MANY:
        step_ns = even_step_ns(starts_ns)
        if step_ns:  # no hole
            first, step = int(starts_ns[0]) // MINUTE_NS, step_ns // MINUTE_NS
            return _even_texts(range(first, first + count * step, step))
    days, minutes = np.divmod(starts_ns // MINUTE_NS, len(MINUTES))
    of_day = minutes.tolist()
    texts: list[str] = []
    edges = [*(np.flatnonzero(days[1:] != days[:-1]) + 1).tolist(), count]
    for stop in edges if count else ():
        at = len(texts)
        texts += _day_part(int(days[at]), of_day[at:stop])
    return texts


def _even_texts(minutes: range) -> list[str]:
    """Of minutes since the epoch; day by day."""
    texts: list[str] = []
    while len(texts) < len(minutes):
        day, first = divmod(minutes[len(texts)], len(MINUTES))
        of_day = range(first, len(MINUTES), minutes.step)[: len(minutes) - len(texts)]
        if len(of_day) >= _MANY:
            texts += _day_texts(day)[of_day.start : of_day.stop : of_day.step]
        else:
            texts += _day_part(day, of_day)
    return texts


def _day_part(day: int, minutes: Sequence[int]) -> list[str]:
    if len(minutes) >= _MANY:
        known = _day_texts(day)
        return [known[minute] for minute in minutes]
    date = _date(day)
    return [date + MINUTES[minute] for minute in minutes]


@functools.lru_cache(maxsize=64)  # 7 MB
def _day_texts(day: int) -> list[str]:
    """All minutes of a day."""
    date = _date(day)
    return [date + minute for minute in MINUTES]


@functools.lru_cache(maxsize=4_096)
def _date(day: int) -> str:
    return dt.date.fromordinal(_EPOCH_DAY + day).isoformat()


def newest(*bars: Bar | None) -> Bar | None:
    """The bar of the latest window; of one window the closed bar, in its highest revision."""
    found: Bar | None = None
    for bar in bars:
        found = newer(found, bar)
    return found


def newer(one: Bar | None, other: Bar | None) -> Bar | None:
    """The same of two."""
    if one is None or one is other:
        return other
    if other is None or other.start_ns < one.start_ns:
        return one
    return other if other.start_ns > one.start_ns or _rank(other) > _rank(one) else one


def _rank(bar: Bar) -> tuple[int, bool, int]:
    return bar.start_ns, bar.final, bar.rev


def newest_rolled(parts: Iterable[Bar | None], resolution: Resolution, over_ns: int) -> Bar | None:
    """The bar of the latest window of that length that any of a symbol's *parts* is in.

    Of one stored window several forms may be known: a closed one stands before a running one, and
    a revised one before an older one. It is final when its window ended by *over_ns* and all parts
    are final.
    """
    known = [bar for bar in parts if bar is not None]
    if not known:
        return None
    start_ns = resolution.floor_ns(max(bar.start_ns for bar in known))
    best: dict[int, Bar] = {}
    for bar in sorted(known, key=_rank):
        if bar.start_ns >= start_ns:
            best[bar.start_ns] = bar
    made = rolled(list(best.values()), start_ns)
    is_final = made.final and resolution.end_ns(start_ns) <= over_ns
    return msgspec.structs.replace(made, final=is_final)
