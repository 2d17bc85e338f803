"""Snapshots whose bars are written beside the requests show what those made anew show."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from core.market.bar import Bar
from core.market.notice import Cancel
from core.market.rolled import rolled
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import DAY_NS, MINUTE_NS, SECOND_NS, Timeframe
from gateway.http import snapshots
from gateway.http.answers import encode
from gateway.http.metrics import HttpMetrics
from gateway.http.past import Past
from gateway.http.present import Present
from gateway.http.snapshots import Snapshots
from gateway.http.stored import StoredPresent
from gateway.market import MarketState

DAY = 20_000 * DAY_NS
SYMBOLS = [Symbol(f"X:S{number}") for number in range(4)]


class Minutes:
    """Closed minutes as a database holds them; the part of History that is asked for days."""

    def __init__(self) -> None:
        self._bars: dict[Symbol, dict[int, Bar]] = {}

    def save(self, bar: Bar) -> None:
        self._bars.setdefault(bar.symbol, {})[bar.start_ns] = bar

    async def day_bars(self, symbols: Sequence[Symbol], day_ns: int) -> dict[Symbol, Bar]:
        found: dict[Symbol, Bar] = {}
        for symbol in symbols:
            minutes = self._bars.get(symbol, {})
            of_day = [minutes[at] for at in sorted(minutes) if day_ns <= at < day_ns + DAY_NS]
            if of_day:
                found[symbol] = rolled(of_day, day_ns)
        return found

    async def latest(self, symbols: Sequence[Symbol], _timeframe: Timeframe) -> dict[Symbol, Bar]:
        return {s: self._bars[s][max(self._bars[s])] for s in symbols if self._bars.get(s)}


class Desk:
    """A market that moves, and snapshots of it."""

    def __init__(self) -> None:
        self.market, self.minutes, self.now_ns = MarketState(), Minutes(), DAY
        self.market.add_symbols(SYMBOLS)
        self.shown = self.snapshots()
        self._trades = 0

    def snapshots(self) -> Snapshots:
        bars: Any = self.minutes
        past: Any = Past  # no rolled bar is asked for
        stored = StoredPresent(
            bars=bars,
            market=self.market,
            monotonic_ns=self.monotonic_ns,
            metrics=HttpMetrics(CollectorRegistry()),
        )
        present = Present(
            market=self.market,
            stored=stored,
            past=past,
            now_ns=self.monotonic_ns,
            heard=lambda: True,
        )
        return Snapshots(market=self.market, present=present, monotonic_ns=self.monotonic_ns)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def trade(self, symbol: Symbol) -> None:
        self._trades += 1
        number = self._trades
        self.market.apply_trade(Tick(symbol, number, 9.0 + number, 1.0, self.now_ns, Side.BUY))

    def cancel(self, symbol: Symbol) -> None:
        last = self.market.last_trade(symbol)
        if last is not None:
            notice = Cancel(symbol, self.now_ns, last.trade_id, last.price, last.size)
            self.market.apply_notices([notice])

    def bar(self, symbol: Symbol, *, back: int = 0, final: bool, rev: int = 0) -> None:
        """Tell the bar of now, or of some minutes *back*."""
        self._trades += 1
        start_ns = self.now_ns - self.now_ns % MINUTE_NS - back * MINUTE_NS
        price = 9.0 + self._trades
        bar = Bar(symbol, Timeframe.MIN_1, start_ns, price, price + 2, price - 2, price + 1, 1.5,
                  self._trades, price, rev, final)  # fmt: skip
        if final:
            self.minutes.save(bar)
        self.market.apply_bar(bar)


def as_json(found: dict[Symbol, Any]) -> Any:
    return msgspec.json.decode(encode(found))


@pytest.mark.parametrize("seed", range(20))
async def test_they_are_what_they_would_be_if_nothing_were_kept(seed: int) -> None:
    rng, desk = random.Random(seed), Desk()
    for _ in range(150):
        symbol = rng.choice(SYMBOLS)
        what = rng.random()
        if what < 0.3:
            desk.trade(symbol)
        elif what < 0.5:
            desk.bar(symbol, final=False)
        elif what < 0.7:
            desk.bar(symbol, back=1, final=True)
        elif what < 0.75:
            desk.bar(symbol, back=rng.randint(1, 3), final=True, rev=1)
        elif what < 0.8:
            desk.cancel(symbol)
        else:
            desk.now_ns += rng.choice((SECOND_NS, MINUTE_NS, 200 * MINUTE_NS))
        asked = rng.sample(SYMBOLS, 3)

        found = as_json(await desk.shown.of(asked))

        assert found == as_json(await desk.snapshots().of(asked))


async def test_bars_are_written_when_they_are_told_for_symbols_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk, told, written = Desk(), asyncio.Event(), list[float]()
    asked, other = SYMBOLS[:2]

    def bar_answer(bar: Bar) -> Any:
        told.set()
        written.append(bar.close)
        return real(bar)

    real = snapshots.bar_answer
    monkeypatch.setattr(snapshots, "bar_answer", bar_answer)
    for symbol in (asked, other):
        desk.trade(symbol)
        desk.bar(symbol, final=False)
    await desk.shown.of([asked, other])
    desk.now_ns += 8 * SECOND_NS
    await desk.shown.of([asked])
    desk.now_ns += 8 * SECOND_NS  # so long that nobody asked for the other one
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(desk.shown.keep_ready())
        await asyncio.sleep(0.1)
        told.clear()
        written.clear()
        for symbol in (other, asked):
            desk.bar(symbol, final=False)
        async with asyncio.timeout(5):
            await told.wait()
        await asyncio.sleep(0.15)  # time for more
        keeping.cancel()

    (close,) = written
    assert as_json(await desk.shown.of([asked]))[asked]["minuteBar"]["c"] == close
    assert written == [close]
    await desk.shown.of([other])
    assert len(written) == 2
