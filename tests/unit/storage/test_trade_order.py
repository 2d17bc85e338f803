"""Trades in order, page by page, against the plain way: amend all, sort all, cut."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.market.amended import Amendment, amended
from core.market.block import Ticks
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from core.market.timeframe import MINUTE_NS
from storage.trade_order import Span, TradeCursor, cursor_at, key_of, trades_of

A = Symbol("SIM:A")
NOON = 28_333_440 * MINUTE_NS
TIMES = tuple(NOON + ns for ns in (0, 1, 2, MINUTE_NS - 1, MINUTE_NS, 3 * MINUTE_NS))
ids = st.integers(1, 6)


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[Tick], list[Amendment]]:
    """Trades in any order of arrival, some alike; at times some are amended."""
    times, seqs = st.sampled_from(TIMES), st.sampled_from([0, 1, -(2**63), 2**63 - 1])
    numbers = draw(st.lists(ids, unique=True))
    named = [trade(id_, draw(times), draw(seqs)) for id_ in numbers]
    bare = [trade(NO_ID, at, 0, n) for n, at in enumerate(draw(st.lists(times, max_size=6)))]
    amendments = draw(st.lists(st.builds(correction, ids, ids) | st.builds(cancel, ids)))
    return draw(st.permutations([*named, *bare])), amendments if draw(st.booleans()) else []


def trade(trade_id: int, event_ns: int, seq: int, number: int = 0) -> Tick:
    return Tick(A, trade_id, 2.5 + number, 1.0, event_ns, Side.BUY, seq)


def correction(id_: int, new_id: int) -> Correction:
    return Correction(A, NOON + id_, id_, 2.5, 1.0, new_id, 7.5 + new_id, 2.0)


def cancel(id_: int) -> Cancel:
    return Cancel(A, NOON + 10 * id_, id_, 2.5, 1.0)


def columns(ticks: Sequence[Tick]) -> Ticks:
    return Ticks(
        (A,),
        np.zeros(len(ticks), np.intp),
        np.array([t.event_ns for t in ticks], np.int64),
        np.array([t.price for t in ticks], np.float64),
        np.array([t.size for t in ticks], np.float64),
        np.array([t.trade_id for t in ticks], np.int64),
        np.array([t.seq for t in ticks], np.int64),
        np.array([t.side for t in ticks], np.uint8),
    )


def plainly(ticks: Sequence[Tick], words: Sequence[Amendment], span: Span) -> list[Tick]:
    by_minute = sorted(ticks, key=key_of)
    minutes = itertools.groupby(by_minute, key=lambda t: t.event_ns // MINUTE_NS)
    left = [t for _, some in minutes for t in amended(list(some), words)]
    left.sort(key=key_of, reverse=span.descending)
    return [t for t in left if span.first_ns <= t.event_ns <= span.last_ns]


@given(
    market=markets(),
    first=st.sampled_from([0, *TIMES]),
    last=st.sampled_from([*TIMES, 2**63 - 1]),
    descending=st.booleans(),
    most=st.integers(1, 4),
)
def test_pages_make_up_what_is_there_in_order(
    market: tuple[list[Tick], list[Amendment]], first: int, last: int, descending: bool, most: int
) -> None:
    ticks, words = market
    span = Span(first, last, descending, None)
    expected = plainly(ticks, words, span)
    after: TradeCursor | None = None

    for start in range(0, len(expected), most):
        page = trades_of(columns(ticks), words, span._replace(after=after), most)
        assert page == expected[start : start + most]
        after = cursor_at(page, after)

    assert trades_of(columns(ticks), words, span._replace(after=after), most) == []


@pytest.mark.parametrize("descending", [False, True])
def test_a_cursor_goes_on_wherever_it_stands(descending: bool) -> None:
    ticks = [trade(n, NOON + n % 3, 0) for n in range(1, 10)]
    everything = Span(0, 2**63 - 1, descending, None)
    in_order = plainly(ticks, [], everything)

    for at, tick in enumerate(in_order):
        given_again = everything._replace(after=TradeCursor(A, key_of(tick), 1))
        assert trades_of(columns(ticks), [], given_again, 100) == in_order[at + 1 :]
    for beyond in (-(2**63), 2**63 - 1):
        between = TradeCursor(A, (NOON + 1, beyond, beyond), 0)
        expected = [t for t in in_order if (key_of(t) < between.key) == descending]
        assert trades_of(columns(ticks), [], everything._replace(after=between), 100) == expected
