"""Amender: finds the trades that corrections and cancels are about, and has their bars revised."""

import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from aggregator.amending import Minute, Outcome, windows_about
from aggregator.flush import Store
from aggregator.late import Log, folded_parts
from aggregator.metrics import AggregatorMetrics
from aggregator.pending import (
    MAX_GIVEN,
    MAX_GIVEN_OF_SHARD,
    Pending,
    awaited,
    beyond,
    bound_given,
    expired,
    forget_given,
    ids_in,
    note,
    that_came,
)
from aggregator.shards import ShardState
from aggregator.symbols import SymbolState
from aggregator.wanted import WindowKey
from aggregator.whereabouts import Group, Known, Whereabouts
from core.market.amended import Amendment, Word, amended
from core.market.bar import BarRow
from core.market.block import Block, Ticks
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import MINUTE_NS
from storage.errors import TickLogError
from storage.quarantine import QuarantineRecord
from storage.rows import Retold

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

NOT_LOGGED: Final = "amendment_not_logged"
UNKNOWN_TRADE: Final = "amendment_unknown_trade"
TOO_MANY: Final = "amendment_too_many"
OWN_TRADE: Final = "amendment_own_trade"
_WHY: Final = {
    NOT_LOGGED: "the ticks of its minute are not, or not all, in the log",
    UNKNOWN_TRADE: "nobody has the trade that it is about",
    TOO_MANY: "too many wait for their trades, and it was the oldest",
}
_STEPS: Final = (5, 60, 360)  # minutes back that are looked at first: most amendments come soon


class AmendedLog(Log, Protocol):
    """The log of ticks with what was said of them; `storage.tick_log.TickLog` is the real one."""

    async def amendments(self, symbol: Symbol) -> list[Word]:
        """Those that were applied, and sightings of their trades."""
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
        waiting = [state.core.symbols[s] for s in block.symbols if s in state.core.amending]
        ids = {known.symbol: awaited(known.pending, known.given_ids) for known in waiting}
        symbols |= dict.fromkeys(sorted(that_came(block, ids)))
        for symbol in symbols:
            try:
                await self._settle(state, feed, symbol, block)
            except TickLogError as exc:
                _LOG.error("the trades that are amended cannot be looked for: %s", exc)
                await self._refuse_all(feed, state.core.symbols[symbol], block)
            state.core.note_pending(symbol)
        if symbols:
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
        given = [state.core.symbols[symbol].given_ids for symbol in state.core.amending]
        gone = sum(bound_given([ids], MAX_GIVEN) for ids in given)
        gone += bound_given(given, MAX_GIVEN_OF_SHARD)
        if gone:
            self.metrics.amendments.labels("unwatched").inc(gone)
            _LOG.warning(
                "feed %s: %d of the ids that corrections gave are watched no longer: too many; "
                "a trade that comes under one of them counts beside the corrected one", feed, gone,
            )  # fmt: skip

    async def _expire(self, state: ShardState, feed: str, now_ns: int) -> None:
        for symbol in list(state.core.amending):
            known = state.core.symbols[symbol]
            forget_given(known.given_ids, before_ns=now_ns - self.reach_ns)
            if known.pending:
                old = expired(known.pending, before_ns=now_ns - self.keep_ns)
                await self._refuse(feed, old, UNKNOWN_TRADE)
            if not (known.pending or known.given_ids):
                state.core.note_pending(symbol)

    async def _settle(self, state: ShardState, feed: str, symbol: Symbol, block: Block) -> None:
        """Apply what waits for trades of *symbol* that are there.

        The log is searched for what *block* says; what waits longer waits for a trade to come.
        """
        known, log = state.core.symbols[symbol], self.log
        if not (known.pending or known.given_ids.keys() & ids_in(block, symbol)):
            return
        if log is None or state.folded is None:
            await self._refuse_all(feed, known, block)
            return
        had: set[Word] = {*await self._ask(lambda: log.amendments(symbol))}
        had |= state.applied.of(symbol)
        repeats = [each for each in known.pending if each.amendment in had]
        self.metrics.amendments.labels("repeat").inc(len(repeats))
        known.pending[:] = _once(known.pending, had)
        now_ns = block.meta.feed_time_ns
        memory = Known(
            known.ids,
            known.given_ids,
            {row[3] for row in state.core.dropped if block.symbols[row[0]] == symbol},
            now_ns - self.reach_ns,
        )
        waiting = [each.amendment for each in known.pending]
        trades = Whereabouts(block, symbol, waiting=waiting, had=had, known=memory)
        await self._find(state, trades, now_ns + MINUTE_NS)
        groups = trades.groups()
        settled = {amendment for group in groups for amendment in group.new}
        known.pending[:] = [each for each in known.pending if each.amendment not in settled]
        work = _Work(state, known, had, trades.came & trades.found.keys(), now_ns)
        for group in groups:
            if not await self._amend(work, group):
                await self._refuse(feed, group.new, NOT_LOGGED)
                await self._set_aside(feed, known, block, group.came)

    async def _amend(self, work: "_Work", group: Group) -> bool:
        """Apply all of *group*, or nothing: False."""
        if group.lost:
            return False
        try:
            minutes = [await self._minute(work, group, start_ns) for start_ns in group.minutes]
        except TickLogError as exc:
            _LOG.error("a minute of %s cannot be amended: %s", work.known.symbol, exc)
            return False
        for dry_run in (True, False):
            for minute, rows in minutes:
                outcome = minute.amend(work.state.core, rows, dry_run=dry_run)
                if outcome is Outcome.INCOMPLETE:
                    return False
        self._note(work, group)
        amended_minutes = [minute for minute, _ in minutes if minute.had]
        try:
            if amended_minutes:
                await self._retell(work, amended_minutes[-1])
        except TickLogError as exc:
            _LOG.error("the last trade of %s stays as it was told: %s", work.known.symbol, exc)
        return True

    async def _minute(
        self, work: "_Work", group: Group, start_ns: int
    ) -> tuple[Minute, dict[WindowKey, BarRow]]:
        """A minute of *group*, and what is stored about it."""
        state, symbol = work.state, work.known.symbol
        ticks = await self._ticks(state, symbol, start_ns, start_ns + MINUTE_NS)
        minute = Minute(
            symbol=symbol, start_ns=start_ns, ticks=ticks, before=work.had, new=group.words,
            raw=work.raw, left_raw=work.raw - group.came,
        )  # fmt: skip
        keys = windows_about(state.core, symbol, start_ns)
        rows = await self._ask(lambda: self.store.load_rows(keys))
        by_key = {(row.bar.symbol, row.bar.timeframe, row.bar.start_ns): row for row in rows}
        return minute, by_key

    def _note(self, work: "_Work", group: Group) -> None:
        """All of *group* is in the bars."""
        state, known = work.state, work.known
        state.applied.add(group.words)
        work.had |= set(group.words)
        work.raw -= group.came
        state.core.duplicates += len(group.came)
        self.metrics.amendments.labels("applied").inc(len(group.new))
        for amendment in group.new:
            if isinstance(amendment, Correction) and amendment.new_id not in group.ids:
                known.given_ids.pop(amendment.new_id, None)
                known.given_ids[amendment.new_id] = work.now_ns
        for trade_id in group.came:
            known.given_ids.pop(trade_id, None)

    async def _refuse_all(self, feed: str, known: SymbolState, block: Block) -> None:
        refused = [each.amendment for each in known.pending]
        known.pending.clear()
        await self._refuse(feed, refused, NOT_LOGGED)
        await self._set_aside(feed, known, block, ids_in(block, known.symbol))

    async def _set_aside(
        self, feed: str, known: SymbolState, block: Block, ids: Collection[int]
    ) -> None:
        """Trades of their own under *ids*, if corrections gave them, count twice: say so."""
        twice = {
            tick.trade_id: tick
            for tick in block.ticks()
            if tick.symbol == known.symbol and tick.trade_id in known.given_ids.keys() & ids
        }
        if not twice:
            return
        for trade_id in twice:
            del known.given_ids[trade_id]
        self.metrics.amendments.labels("own_trade").inc(len(twice))
        _LOG.warning(
            "feed %s: quarantined (%s): trades %s of %s count beside those that were corrected to "
            "them: the ticks of their minutes are not, or not all, in the log",
            feed, OWN_TRADE, sorted(twice), known.symbol,
        )  # fmt: skip
        now_ns = self.now_ns()
        await self.quarantine(
            [QuarantineRecord(feed, OWN_TRADE, now_ns, tick) for tick in twice.values()]
        )

    async def _retell(self, work: "_Work", minute: Minute) -> None:
        """If the last trade was amended, say which one is the last now."""
        known = work.known
        old, now = minute.had[-1], minute.left[-1] if minute.left else None
        key = old.event_ns, old.seq, old.trade_id
        # After a restart a late trade may be the last that memory knows, but not the last told.
        if known.last is not None and known.last[:3] != key and known.last[:2] >= key[:2]:
            return
        if now is None:
            now = await self._newest_before(work, minute.start_ns)
        if now == old:
            return
        work.state.applied.retell(Retold(known.symbol, old.trade_id, now))
        known.last_dirty = known.last is not None and now is not None
        if known.last is not None:
            known.last = None if now is None else _as_last(now)

    async def _newest_before(self, work: "_Work", end_ns: int) -> Tick | None:
        for start_ns, stop_ns in self._spans(end_ns):
            ticks = await self._ticks(work.state, work.known.symbol, start_ns, stop_ns)
            left = amended(ticks, work.had)
            if left:
                return left[-1]
        return None

    async def _find(self, state: ShardState, trades: Whereabouts, until_ns: int) -> None:
        """Look for *trades* in the log, as far back as it takes."""
        for start_ns, stop_ns in self._spans(until_ns):
            if trades.is_over(stop_ns):
                break
            for part in await self._parts(state, trades.symbol, start_ns, stop_ns):
                trades.take(part)

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


@dataclass(slots=True)
class _Work:
    """What is known of a symbol while what waits is applied."""

    state: ShardState
    known: SymbolState
    had: set[Word]
    raw: set[int]  # ids that came and are in the bars as trades of their own
    now_ns: int  # feed time


def _once(pending: Iterable[Pending], had: Iterable[Word]) -> list[Pending]:
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
