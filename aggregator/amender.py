"""Amender: finds the trades that corrections and cancels are about, and has their bars revised."""

import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np

from aggregator.amending import Minute, Outcome, windows_about
from aggregator.flush import Store
from aggregator.late import Log, folded_parts
from aggregator.metrics import AggregatorMetrics
from aggregator.pending import Pending, beyond, expired, has_come, note, times_in
from aggregator.shards import ShardState
from aggregator.symbols import SymbolState
from core.market.amended import Amendment, amended, concerning, earlier_ids
from core.market.block import Block, Ticks
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from storage.errors import TickLogError
from storage.quarantine import QuarantineRecord
from storage.rows import Retold

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

NOT_LOGGED: Final = "amendment_not_logged"
UNKNOWN_TRADE: Final = "amendment_unknown_trade"
TOO_MANY: Final = "amendment_too_many"
_WHY: Final = {
    NOT_LOGGED: "the ticks of its minute are not, or not all, in the log",
    UNKNOWN_TRADE: "nobody has the trade that it is about",
    TOO_MANY: "too many wait for their trades, and it was the oldest",
}
_STEPS: Final = (5, 60, 360)  # minutes back that are looked at first: most amendments come soon


class AmendedLog(Log, Protocol):
    """The log of ticks with what was said of them; `storage.tick_log.TickLog` is the real one."""

    async def amendments(self, symbol: Symbol) -> list[Amendment]:
        """Those that were applied."""
        ...


@dataclass(kw_only=True, slots=True)
class Amender:
    """Applies amendments once, wherever in the past their trades are, or says that it cannot.

    One that comes before its trade waits for it, ``keep_ns`` of feed time at most.
    """

    log: AmendedLog | None
    store: Store
    metrics: AggregatorMetrics
    database: Callable[[Callable[[], Awaitable[object]]], Awaitable[object]]
    quarantine: Callable[[Sequence[QuarantineRecord]], Awaitable[None]]
    now_ns: Callable[[], int]
    keep_ns: int
    reach_ns: int  # how old a trade may be

    async def heed(self, state: ShardState, feed: str, block: Block) -> None:
        """Take in what *block*, which was folded, says of trades, or the trades waited for."""
        now_ns = block.meta.feed_time_ns
        symbols: dict[Symbol, None] = {}
        for symbol, notices in itertools.groupby(block.meta.notices, lambda each: each.symbol):
            known = state.core.state_of(symbol)
            given_up = note(known.pending, notices, now_ns=now_ns)
            await self._refuse(feed, given_up, TOO_MANY)
            symbols[symbol] = None
        for symbol in state.core.amending:
            if has_come(state.core.symbols[symbol].pending, symbol, block):
                symbols[symbol] = None
        for symbol in symbols:
            try:
                await self._settle(state, feed, symbol, block)
            except TickLogError as exc:
                _LOG.error("the trades that are amended cannot be looked for: %s", exc)
                await self._refuse_all(feed, state.core.symbols[symbol])
            state.core.note_pending(symbol)
        await self._bound(state, feed)
        if state.core.amending:
            await self._expire(state, feed, now_ns)

    async def _bound(self, state: ShardState, feed: str) -> None:
        """Give up the oldest of the shard, where too many wait for trades of all its symbols."""
        waiting = {symbol: state.core.symbols[symbol].pending for symbol in state.core.amending}
        given_up = beyond(waiting.values())
        if given_up:
            await self._refuse(feed, given_up, TOO_MANY)
            for symbol in waiting:
                state.core.note_pending(symbol)

    async def _expire(self, state: ShardState, feed: str, now_ns: int) -> None:
        for symbol in list(state.core.amending):
            pending = state.core.symbols[symbol].pending
            old = expired(pending, before_ns=now_ns - self.keep_ns)
            if old:
                await self._refuse(feed, old, UNKNOWN_TRADE)
                state.core.note_pending(symbol)

    async def _settle(self, state: ShardState, feed: str, symbol: Symbol, block: Block) -> None:
        """Apply what waits for trades of *symbol* that are there.

        The log is searched for what *block* says; what waits longer waits for a trade to come.
        """
        known, log = state.core.symbols[symbol], self.log
        if not known.pending:
            return
        if log is None or state.folded is None:
            await self._refuse_all(feed, known)
            return
        stored = await self._ask(lambda: log.amendments(symbol))
        had = {*stored, *state.applied.of(symbol)}
        repeats = [each for each in known.pending if each.amendment in had]
        self.metrics.amendments.labels("repeat").inc(len(repeats))
        known.pending[:] = _once(known.pending, had)
        if not known.pending:
            return
        earlier = earlier_ids(had | {each.amendment for each in known.pending})
        ids = {each: concerning(each.amendment.trade_id, earlier) for each in known.pending}
        found = await self._times(state, symbol, block, ids)
        minutes: dict[int, list[Amendment]] = {}
        for each in list(known.pending):
            times = [found[trade_id] for trade_id in ids[each] if trade_id in found]
            if times:
                start_ns = Timeframe.MIN_1.floor_ns(min(times))
                minutes.setdefault(start_ns, []).append(each.amendment)
                known.pending.remove(each)
        for start_ns, some in minutes.items():
            await self._amend(state, feed, known, _Group(start_ns, some, had))
            had |= set(some)

    async def _times(
        self, state: ShardState, symbol: Symbol, block: Block, ids: Mapping[Pending, set[int]]
    ) -> dict[int, int]:
        """When the trades were, as far as they are there."""
        found = times_in(block, symbol, set[int]().union(*ids.values()))
        wanted = found.keys() & {row[3] for row in state.core.dropped}  # were they folded at all?
        new = [ids[each] for each in ids if each.amendment in block.meta.notices]
        looked_up = await self._find(
            state, symbol, wanted.union(*new), block.meta.feed_time_ns + MINUTE_NS
        )
        return {trade_id: found[trade_id] for trade_id in found.keys() - wanted} | looked_up

    async def _amend(
        self, state: ShardState, feed: str, known: SymbolState, group: "_Group"
    ) -> None:
        symbol, start_ns = known.symbol, group.start_ns
        try:
            ticks = await self._ticks(state, symbol, start_ns, start_ns + MINUTE_NS)
        except TickLogError as exc:
            _LOG.error("a minute of %s cannot be amended: %s", symbol, exc)
            await self._refuse(feed, group.new, NOT_LOGGED)
            return
        keys = windows_about(state.core, symbol, start_ns)
        rows = await self._ask(lambda: self.store.load_rows(keys))
        minute = Minute(
            symbol=symbol, start_ns=start_ns, ticks=ticks, before=group.had, new=group.new
        )
        by_key = {(row.bar.symbol, row.bar.timeframe, row.bar.start_ns): row for row in rows}
        if minute.amend(state.core, by_key) is Outcome.INCOMPLETE:
            await self._refuse(feed, group.new, NOT_LOGGED)
            return
        for amendment in group.new:
            self.metrics.amendments.labels("applied").inc()
            if isinstance(amendment, Correction):
                known.ids.add(amendment.new_id)
        state.applied.add(group.new)
        try:
            await self._retell(state, known, minute, group)
        except TickLogError as exc:
            _LOG.error("the last trade of %s stays as it was told: %s", symbol, exc)

    async def _refuse_all(self, feed: str, known: SymbolState) -> None:
        refused = [each.amendment for each in known.pending]
        known.pending.clear()
        await self._refuse(feed, refused, NOT_LOGGED)

    async def _retell(
        self, state: ShardState, known: SymbolState, minute: Minute, group: "_Group"
    ) -> None:
        """If the last trade was amended, say which one is the last now."""
        had = amended(minute.ticks, group.had)
        if not had:
            return
        old, now = had[-1], minute.left[-1] if minute.left else None
        if known.last is not None and known.last[:3] != (old.event_ns, old.seq, old.trade_id):
            return
        if now is None:
            now = await self._newest_before(state, known.symbol, minute.start_ns, group)
        if now == old:
            return
        state.applied.retell(Retold(known.symbol, old.trade_id, now))
        known.last_dirty = known.last is not None and now is not None
        if known.last is not None:
            known.last = None if now is None else _as_last(now)

    async def _newest_before(
        self, state: ShardState, symbol: Symbol, end_ns: int, group: "_Group"
    ) -> Tick | None:
        for start_ns, stop_ns in self._spans(end_ns):
            ticks = await self._ticks(state, symbol, start_ns, stop_ns)
            left = amended(ticks, (*group.had, *group.new))
            if left:
                return left[-1]
        return None

    async def _find(
        self, state: ShardState, symbol: Symbol, ids: set[int], until_ns: int
    ) -> dict[int, int]:
        """The event times of those trades that are there."""
        found: dict[int, int] = {}
        for start_ns, stop_ns in self._spans(until_ns):
            wanted = list(ids - found.keys())
            if not wanted:
                break
            for part in await self._parts(state, symbol, start_ns, stop_ns):
                at = np.flatnonzero(np.isin(part.trade_id, wanted))
                times = part.event_ns[at].tolist()
                found |= dict(zip(part.trade_id[at].tolist(), times, strict=True))
        return found

    def _spans(self, until_ns: int) -> Iterable[tuple[int, int]]:
        """From *until_ns* back, in growing steps."""
        stop_ns = until_ns
        for back_ns in (*(minutes * MINUTE_NS for minutes in _STEPS), self.reach_ns):
            start_ns = until_ns - min(back_ns, self.reach_ns)
            if start_ns < stop_ns:
                yield start_ns, stop_ns
            stop_ns = start_ns

    async def _ticks(
        self, state: ShardState, symbol: Symbol, start_ns: int, end_ns: int
    ) -> list[Tick]:
        """By (event time, seq), then arrival."""
        parts = await self._parts(state, symbol, start_ns, end_ns)
        ticks = [tick for part in parts for tick in part.ticks()]
        return sorted(ticks, key=lambda tick: (tick.event_ns, tick.seq))

    async def _parts(
        self, state: ShardState, symbol: Symbol, start_ns: int, end_ns: int
    ) -> list[Ticks]:
        """What was folded of those times, in order of arrival."""

        async def read() -> list[Ticks]:
            return [part async for part in self._folded(state, symbol, start_ns, end_ns)]

        return await self._ask(read)

    def _folded(
        self, state: ShardState, symbol: Symbol, start_ns: int, end_ns: int
    ) -> AsyncIterator[Ticks]:
        return folded_parts(state, self.log, symbol, start_ns, end_ns)

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask the database, and wait while it is away."""
        return await self.database(call)  # type: ignore[return-value]  # it gives what call gives

    async def _refuse(self, feed: str, some: Sequence[Amendment], reason: str) -> None:
        """Keep what cannot be applied for a person to look at."""
        if not some:
            return
        self.metrics.amendments.labels(reason.removeprefix("amendment_")).inc(len(some))
        _LOG.warning("feed %s: quarantined (%s): %s%s", feed, _WHY[reason], _described(some[0]),
                     f" and {len(some) - 1} more" if len(some) > 1 else "")  # fmt: skip
        now_ns = self.now_ns()
        await self.quarantine(
            [QuarantineRecord(feed, reason, now_ns, _as_tick(a), _described(a)) for a in some]
        )


@dataclass(frozen=True, slots=True)
class _Group:
    """Amendments of one minute, and those that were applied before."""

    start_ns: int
    new: Sequence[Amendment]
    had: frozenset[Amendment] | set[Amendment]


def _once(pending: Iterable[Pending], had: Iterable[Amendment]) -> list[Pending]:
    seen = set(had)
    left = []
    for each in pending:
        if each.amendment not in seen:
            seen.add(each.amendment)
            left.append(each)
    return left


def _as_last(tick: Tick) -> tuple[int, int, int, float, float, int]:
    return tick.event_ns, tick.seq, tick.trade_id, tick.price, tick.size, int(tick.side)


def _as_tick(amendment: Amendment) -> Tick:
    """What an amendment is about, at the time when it was said."""
    side = amendment.side if isinstance(amendment, Cancel) else Side.UNKNOWN
    return Tick(
        amendment.symbol,
        amendment.trade_id,
        amendment.price,
        amendment.size,
        amendment.event_ns,
        side,
    )


def _described(amendment: Amendment) -> str:
    about = f"trade {amendment.trade_id} of {amendment.symbol}"
    if isinstance(amendment, Cancel):
        return f"{about} is cancelled"
    new = f"trade {amendment.new_id}, price {amendment.new_price:g}, size {amendment.new_size:g}"
    return f"{about} is corrected to {new}"
