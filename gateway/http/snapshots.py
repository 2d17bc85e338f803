"""Snapshots as answers, whose bars are written beside the requests where that can be."""

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import SECOND_NS
from core.runtime.ports import MonotonicClock
from gateway.http.answers import (
    SnapshotAnswer,
    bar_answer,
    day_answer,
    encode_all,
    trade_answer,
)
from gateway.http.days import Standing
from gateway.http.ports import Market
from gateway.http.present import MAX_STANDINGS, Present
from gateway.http.recent import Recent

_LOOK_S: Final = 0.05  # between two looks at whether bars were told
_ASKED_NS: Final = 10 * SECOND_NS  # for so long after a request its symbols are kept ready
_SOME: Final = 250  # symbols; about a millisecond, then the loop sees to its sockets


@dataclass(slots=True)
class _Written:
    """A snapshot, whose bars are JSON already, and what it is of."""

    standing: Standing
    snapshot: SnapshotAnswer


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshots:
    """Last trade, minute, day and day before of symbols.

    Running bars of all symbols are told once a second, and writing them is most of the work for a
    snapshot: it is done when they come, for the symbols that are asked for.
    """

    market: Market
    present: Present
    monotonic_ns: MonotonicClock
    _written: Recent[Symbol, _Written] = field(
        default_factory=functools.partial(Recent, MAX_STANDINGS), init=False
    )
    _asked_ns: Recent[Symbol, int] = field(
        default_factory=functools.partial(Recent, MAX_STANDINGS), init=False
    )

    async def of(self, symbols: Iterable[Symbol]) -> dict[Symbol, SnapshotAnswer]:
        """The snapshot of each symbol that has any of these."""
        standings = await self.present.standings(symbols)
        self._asked_ns.update(dict.fromkeys(standings, self.monotonic_ns()))
        self._asked_ns.cut()
        self._write(standings)
        found = {symbol: self._written[symbol].snapshot for symbol in standings}
        self._written.cut()
        return found

    async def keep_ready(self) -> None:
        """Write what bars were told of the symbols that are asked for, for ever."""
        seen = self.market.bars_told
        while True:
            await asyncio.sleep(_LOOK_S)
            if seen == self.market.bars_told:
                continue
            seen = self.market.bars_told
            asked = self._asked()
            for at in range(0, len(asked), _SOME):
                self._write(self.present.kept(asked[at : at + _SOME]))
                self._written.cut()
                await asyncio.sleep(0)

    def _asked(self) -> list[Symbol]:
        """What was asked for lately; the rest is forgotten."""
        since_ns = self.monotonic_ns() - _ASKED_NS
        for symbol in [symbol for symbol, at_ns in self._asked_ns.items() if at_ns < since_ns]:
            del self._asked_ns[symbol]
        return list(self._asked_ns)

    def _write(self, standings: Mapping[Symbol, Standing]) -> None:
        """Those that are not as they were; most have a trade more, and the same bars."""
        written, moved = self._written, list[tuple[Symbol, Standing]]()
        for symbol, now in standings.items():
            before = written.get(symbol)
            if before is None or before.standing.bars is not now.bars:
                moved.append((symbol, now))
            elif before.standing is not now:
                old = before.snapshot
                bars = old.minute_bar, old.daily_bar, old.prev_daily_bar
                before.standing, before.snapshot = now, _snapshot(now.trade, *bars)
        self._write_bars(moved)

    def _write_bars(self, moved: Sequence[tuple[Symbol, Standing]]) -> None:
        """All at once, which takes two thirds of the time."""
        minutes = _texts(bar_answer, [now.bars.minute for _, now in moved])
        days = _texts(day_answer, [now.bars.day for _, now in moved])
        for (symbol, now), minute, day in zip(moved, minutes, days, strict=True):
            bars = minute, day, self._day_before(symbol, now.bars.previous_day)
            self._written[symbol] = _Written(now, _snapshot(now.trade, *bars))

    def _day_before(self, symbol: Symbol, day: Bar | None) -> Any:
        """It is the same all day."""
        before = self._written.get(symbol)
        if before is not None and before.standing.bars.previous_day is day:
            return before.snapshot.prev_daily_bar
        return _texts(day_answer, [day])[0]


def _snapshot(trade: Tick | None, minute: Any, day: Any, day_before: Any) -> SnapshotAnswer:
    answer = None if trade is None else trade_answer(trade)
    return SnapshotAnswer(answer, None, minute, day, day_before)  # no feed carries quotes yet


def _texts(answer: Callable[[Bar], Any], bars: Sequence[Bar | None]) -> list[Any]:
    """Bars as JSON, to be put in the places of their answers."""
    texts = encode_all([None if bar is None else answer(bar) for bar in bars])
    return list(map(msgspec.Raw, texts))
