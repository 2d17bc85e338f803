"""The order in which trades are given, page by page. Pure."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from core.market.amended import Word, amended
from core.market.block import Ticks
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS

Key = tuple[int, int, int]
"""Event time, sequence, id: what trades are ordered by, then by arrival."""


class TradeCursor(NamedTuple):
    """Where a page of trades ended: behind ``given`` trades of *symbol* with the very same key."""

    symbol: Symbol
    key: Key
    given: int


class Span(NamedTuple):
    """Trades that are wanted: of a span of event time, both ends included, after a cursor."""

    first_ns: int
    last_ns: int
    descending: bool
    after: TradeCursor | None


def trades_of(ticks: Ticks, words: Sequence[Word], span: Span, most: int) -> list[Tick]:
    """The first *most* trades of *span*, as they stand after *words*, in order.

    Those of one key come in order of arrival, whichever way.

    Args:
        ticks: one symbol's, in order of arrival; with words those of whole minutes.
        words: corrections and cancels, applied minute by minute, as the bars are made.
        span: which, and how they are ordered.
        most: how many, >= 1.
    """
    ordered = _in_order(ticks, span.descending)
    if not words:
        return _of_span(ordered, span, most)
    found: list[Tick] = []
    for minute in _minutes(ordered):
        some = amended(minute, words)
        some.sort(key=key_of, reverse=span.descending)  # ids may have changed; it is stable
        wanted = [t for t in some if span.first_ns <= t.event_ns <= span.last_ns]
        found += _past(wanted, span)
        if len(found) >= most:
            break
    return found[:most]


def cursor_at(found: Sequence[Tick], before: TradeCursor | None) -> TradeCursor:
    """Where a page ended whose last trades are *found*, and that went on from *before*."""
    last = found[-1]
    key = key_of(last)
    alike = itertools.takewhile(
        lambda tick: tick.symbol == last.symbol and key_of(tick) == key, reversed(found)
    )
    count = sum(1 for _ in alike)
    if before is not None and before.symbol == last.symbol and before.key == key:
        count += before.given
    return TradeCursor(last.symbol, key, count)


def key_of(tick: Tick) -> Key:
    """What *tick* is ordered by."""
    return tick.event_ns, tick.seq, tick.trade_id


def _in_order(ticks: Ticks, descending: bool) -> Ticks:
    keys = (ticks.trade_id, ticks.seq, ticks.event_ns)  # the last one counts first
    # By their complements, as the least number has no negative: those alike keep their order.
    return ticks.at(np.lexsort([~key for key in keys] if descending else keys))


def _of_span(ordered: Ticks, span: Span, most: int) -> list[Tick]:
    """As columns for as long as it can be: an object costs as much as ordering ten trades."""
    times, first, last = ordered.event_ns, span.first_ns, span.last_ns
    if span.descending:
        times, first, last = ~times, ~last, ~first
    if span.after is not None:
        at = span.after.key[0]
        first = max(first, ~at if span.descending else at)
    start, stop = int(np.searchsorted(times, first)), int(np.searchsorted(times, last, "right"))
    # Any of the event time at which the page before ended may be among those that it had.
    new = start if span.after is None else int(np.searchsorted(times, first, "right"))
    return _past(ordered.at(slice(start, min(stop, new + most))).ticks(), span)[:most]


def _minutes(ordered: Ticks) -> Iterator[list[Tick]]:
    """One after the other, so that only those become objects that are wanted."""
    borders = np.flatnonzero(np.diff(ordered.event_ns // MINUTE_NS)) + 1
    for start, stop in itertools.pairwise([0, *borders.tolist(), len(ordered)]):
        yield ordered.at(slice(start, stop)).ticks()


def _past(ticks: list[Tick], span: Span) -> list[Tick]:
    """Those of ordered *ticks* that no page before had."""
    if span.after is None:
        return ticks
    last, met = span.after.key, 0
    for at, tick in enumerate(ticks):
        key = key_of(tick)
        if key == last and met < span.after.given:
            met += 1
        elif key == last or (key < last if span.descending else key > last):
            return ticks[at:]
    return []
