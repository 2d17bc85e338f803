"""Rebuild: bars folded again from the tick log, by who folds their shard.

The task that folds does it between two blocks, so what is in memory, on its way to the database
and stored is one state: nothing is folded meanwhile, and the next flush stores what was found.
"""

import asyncio
import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple, Protocol

from aggregator.flush import DATABASE_AWAY, Store
from aggregator.late import Log, folded_parts
from aggregator.shards import ShardState
from aggregator.symbols import PARENTS
from aggregator.window import Window
from core.market.amended import Amendment, amended
from core.market.block import Ticks
from core.market.symbol import Symbol
from core.market.timeframe import MINUTE_NS, Timeframe
from storage.rebuilds import RebuildReport, RebuildRequest, RebuiltBar

_LOG = logging.getLogger(__name__)

_BUSY_LOOK_S: Final = 0.02  # while there are some
_MINUTE: Final = Timeframe.MIN_1
_WIDEST: Final = Timeframe.MIN_15

Key = tuple[Timeframe, int]
Windows = Mapping[Key, Window]


class CoveredLog(Log, Protocol):
    """The log; `storage.tick_log.TickLog` is the real one."""

    async def covered_from(self, symbol: Symbol) -> int | None:
        """From which event time on it has every tick of *symbol* that was ever folded."""
        ...

    async def amendments(self, symbol: Symbol) -> list[Amendment]:
        """The corrections and cancels that were applied to ticks of *symbol*."""
        ...


class Requests(Protocol):
    """Where requests come from; `storage.rebuilds.Rebuilds` is the real one."""

    async def next(
        self, shards: Sequence[int], *, without: Sequence[int] = ()
    ) -> RebuildRequest | None:
        """The oldest request for one of *shards* that has no answer, some left out."""
        ...

    async def answer(self, number: int, report: RebuildReport) -> None:
        """Answer a request."""
        ...


class Rebuilt(NamedTuple):
    """What a rebuild found: the report, and what the core must take in for it to become true."""

    report: RebuildReport
    symbol: Symbol
    newest_ns: int
    changed: list[Window]
    kept: list[Window]  # parents of changed minutes that are as stored

    def take_effect(self, state: ShardState) -> None:
        """Have the next flush store what changed."""
        if self.changed:
            state.core.replace(self.symbol, self.newest_ns, self.changed)
            state.core.keep(self.kept)


class _Unanswered(NamedTuple):
    state: ShardState
    flush: int  # that stores what was found
    number: int
    report: RebuildReport


@dataclass(kw_only=True)
class Rebuilder:
    """Serves requests for rebuilds, one at a time.

    A task of its own asks for them and answers, so that folding does not wait for a database that
    is away; the folding task calls :meth:`serve` between blocks.
    """

    name: ClassVar[str] = "aggregator-rebuilds"
    requests: Requests
    log: CoveredLog
    store: Store
    look_s: float = 1.0  # between looks for requests
    _request: RebuildRequest | None = field(default=None, init=False)
    _unanswered: list[_Unanswered] = field(default_factory=list, init=False)

    async def run(self, states: Mapping[int, ShardState], committed: Mapping[int, int]) -> None:
        """Look for requests and answer those that are served, until cancelled.

        Args:
            states: the shards that are owned now.
            committed: by shard, number of the newest flush that is stored and published.
        """
        while True:
            try:
                await self.look(states, committed)
            except DATABASE_AWAY as exc:
                _LOG.debug("no rebuilds now: %s", exc)
            is_idle = self._request is None and not self._unanswered
            await asyncio.sleep(self.look_s if is_idle else _BUSY_LOOK_S)

    async def look(self, states: Mapping[int, ShardState], committed: Mapping[int, int]) -> None:
        """Answer what is served and stored, then fetch the next request; see :meth:`run`.

        Raises:
            DatabaseUnavailable: it is away, or too slow; to be called again.
        """
        await self._answer(states, committed)
        if self._request is None and states:
            waiting = [each.number for each in self._unanswered]
            self._request = await self.requests.next(sorted(states), without=waiting)

    async def serve(self, states: Mapping[int, ShardState]) -> None:
        """Serve the request that waits, if there is one, for one of *states*.

        It is answered once the flush that stores what was found is committed. A shard that is
        lost until then leaves the request to its new owner.

        Raises:
            DatabaseUnavailable: it is away, or too slow; to be called again.
        """
        request = self._request
        if request is None:
            return
        state = states.get(request.shard)
        if state is not None:
            found = await rebuild(state, request, log=self.log, store=self.store)
            flush = 0
            if not request.dry_run and found.changed:
                found.take_effect(state)
                flush = state.flush + 1
            self._unanswered.append(_Unanswered(state, flush, request.number, found.report))
        self._request = None

    async def _answer(self, states: Mapping[int, ShardState], committed: Mapping[int, int]) -> None:
        for each in list(self._unanswered):
            shard = each.state.shard
            if states.get(shard) is each.state:
                if committed.get(shard, 0) < each.flush:
                    continue
                await self.requests.answer(each.number, each.report)
            self._unanswered.remove(each)


async def rebuild(
    state: ShardState, request: RebuildRequest, *, log: CoveredLog, store: Store
) -> Rebuilt:
    """Fold the range of *request* from the log and compare; changes nothing.

    The range is taken as whole quarters of an hour, so that each parent has all its minutes.

    Raises:
        DatabaseUnavailable: it is away, or too slow.
    """
    symbol = request.symbol
    covered_ns = await log.covered_from(symbol)
    first_ns, end_ns = _WIDEST.floor_ns(request.start_ns), _ceil(request.end_ns)
    from_ns = end_ns if covered_ns is None else max(first_ns, _ceil(covered_ns))
    ticks: list[Ticks] = []
    if covered_ns is not None:
        ticks = [part async for part in folded_parts(state, log, symbol, from_ns, end_ns)]
    said = {*await log.amendments(symbol), *state.applied.of(symbol)}
    current = await _current(state, store, symbol, range(first_ns, end_ns, _WIDEST.ns))
    found = _Comparison(symbol, current, covered_ns, said)
    for start_ns in range(first_ns, end_ns, MINUTE_NS):
        found.compare_minute(start_ns, ticks if start_ns >= from_ns else None)
    for timeframe in PARENTS:
        for start_ns in range(from_ns, end_ns, timeframe.ns):
            found.compare_parent(timeframe, start_ns)
    newest = await store.newest_windows([symbol])
    newest_ns = newest.get(symbol, -(2**63))
    return Rebuilt(
        found.report(), symbol, newest_ns, list(found.changed.values()), found.kept(state)
    )


async def _current(
    state: ShardState, store: Store, symbol: Symbol, quarters: Sequence[int]
) -> Windows:
    """The windows of *quarters* of an hour, given by their starts: in memory, or as stored."""
    known = state.core.symbols.get(symbol)
    here = known.windows if known else {}
    keys = [
        (timeframe, start_ns)
        for quarter_ns in quarters
        for timeframe in Timeframe
        for start_ns in range(quarter_ns, quarter_ns + _WIDEST.ns, timeframe.ns)
    ]
    wanted = [(symbol, *key) for key in keys if key not in here]
    stored = map(Window.from_row, await store.load_rows(wanted))
    found = {(window.timeframe, window.start_ns): window for window in stored}
    return found | {key: here[key] for key in keys if key in here}


class _Comparison:
    """Windows folded anew beside those that are; minutes come before parents."""

    def __init__(
        self,
        symbol: Symbol,
        current: Windows,
        covered_ns: int | None,
        said: Collection[Amendment] = (),
    ) -> None:
        """*said* was said of the ticks since."""
        self._said = said
        self.changed: dict[Key, Window] = {}
        self._symbol, self._current, self._covered_ns = symbol, current, covered_ns
        self._counts = {"same": 0, "uncovered": 0, "without_ticks": 0, "open": 0}
        self._told: list[RebuiltBar] = []

    def compare_minute(self, start_ns: int, ticks: Iterable[Ticks] | None) -> None:
        """*ticks* is None where the log does not have them."""
        current = self._current.get((_MINUTE, start_ns))
        if ticks is None:
            self._counts["uncovered"] += current is not None
            return
        inside = [part.between(start_ns, start_ns + MINUTE_NS) for part in ticks]
        window = _folded(self._symbol, start_ns, inside, self._said)
        if current is not None and not current.closed:
            self._counts["open"] += 1
        elif not any(map(len, inside)):
            self._counts["without_ticks"] += current is not None
        elif current is None and not window.trades:
            return  # they were all cancelled in time
        elif current is not None and _are_same(current, window):
            self._counts["same"] += 1
        else:
            self._change(current, window)

    def compare_parent(self, timeframe: Timeframe, start_ns: int) -> None:
        """A parent is what its minutes that are closed make it."""
        current = self._current.get((timeframe, start_ns))
        window = Window(self._symbol, timeframe, start_ns)
        for minute_ns in range(start_ns, window.end_ns, MINUTE_NS):
            key = (_MINUTE, minute_ns)
            part = self.changed.get(key) or self._current.get(key)
            if part is not None and part.closed:
                window.merge(part)
        has_trades = window.trades or (current is not None and current.trades)
        if has_trades and not (current is not None and _are_same(current, window)):
            self._change(current, window)

    def kept(self, state: ShardState) -> list[Window]:
        """The parents of changed minutes that are as stored, and not in memory."""
        known = state.core.symbols.get(self._symbol)
        here = known.windows if known else {}
        keys = {
            (timeframe, timeframe.floor_ns(start_ns))
            for of, start_ns in self.changed
            for timeframe in PARENTS
            if of is _MINUTE
        }
        return [self._current[key] for key in keys if key not in here and key not in self.changed]

    def report(self) -> RebuildReport:
        return RebuildReport(
            **self._counts, covered_from_ns=self._covered_ns, changed=tuple(self._told)
        )

    def _change(self, current: Window | None, window: Window) -> None:
        """*window* takes the place of *current*, with all that does not come from its ticks."""
        window.closed = True
        if current is not None:
            window.closed, window.rev, window.gap = current.closed, current.rev, current.gap
            window.feed, window.feeds, window.flush = current.feed, current.feeds, current.flush
            if not window.trades:  # the last price stays, to be shown
                window.open = window.close = current.close
        self.changed[window.timeframe, window.start_ns] = window
        if window.closed:
            window.rev += 1
            after = window.bar(final=True)
            window.rev -= 1  # the flush counts
            before = current.bar(final=True) if current is not None and current.trades else None
            self._told.append(RebuiltBar(window.timeframe, window.start_ns, before, after))


def _folded(
    symbol: Symbol, start_ns: int, ticks: Iterable[Ticks], said: Collection[Amendment]
) -> Window:
    window = Window(symbol, _MINUTE, start_ns)
    if said:
        every = [tick for part in ticks for tick in part.ticks()]
        for left in amended(every, said):
            window.fold(left.event_ns, left.seq, left.price, left.size)
        return window
    for inside in ticks:
        columns = (inside.event_ns, inside.seq, inside.price, inside.size)
        for tick in zip(*[column.tolist() for column in columns], strict=True):
            window.fold(*tick)
    return window


def _are_same(one: Window, other: Window) -> bool:
    if not (one.trades or other.trades):
        return True
    return _plain(one) == _plain(other) and all(
        math.fsum([*of_one, *(-part for part in of_other)]) == 0.0
        for of_one, of_other in (
            (one.volume_parts, other.volume_parts),
            (one.notional_parts, other.notional_parts),
        )
    )


def _plain(window: Window) -> tuple[float, ...]:
    window.condense()
    return (
        window.open, window.high, window.low, window.close, window.trades,
        window.open_ns, window.open_seq, window.close_ns, window.close_seq,
    )  # fmt: skip


def _ceil(time_ns: int) -> int:
    """The first quarter of an hour at *time_ns* or later."""
    return -(-time_ns // _WIDEST.ns) * _WIDEST.ns
