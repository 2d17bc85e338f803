"""Late ticks whose ids may be forgotten: the tick log tells new ones from repeats."""

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from aggregator.flush import Store
from aggregator.imported import is_imported
from aggregator.shards import ShardState
from aggregator.window import Window
from core.market.block import MAX_TICKS, BlockMeta, Ticks, decode_block, encode_block
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from storage.errors import TickLogError
from storage.tick_codec import SLOT_NS
from storage.tick_log import NEAR_NS, FlushId

_LOG = logging.getLogger(__name__)
_MINUTE = Timeframe.MIN_1
_NOBODY_KNOWS = 2**63
Minute = tuple[Symbol, int]  # and where it starts


class Log(Protocol):
    """What is needed of the log; `storage.tick_log.TickLog` is the real one."""

    def parts(
        self, symbol: Symbol, start_ns: int, end_ns: int, *, without: frozenset[FlushId]
    ) -> AsyncIterator[Ticks]:
        """Logged ticks with an event time in the range, those of some flushes left out."""
        ...


@dataclass(slots=True)
class Verdict:
    """What became of doubtful ticks; each list in the order of arrival."""

    new: list[Tick] = field(default_factory=list)
    duplicates: int = 0
    unverifiable: list[Tick] = field(default_factory=list)

    def new_ticks(self) -> Iterator[Ticks]:
        """The new ones in columns."""
        meta = BlockMeta(number=0, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
        for at in range(0, len(self.new), MAX_TICKS):
            yield decode_block(encode_block(meta, self.new[at : at + MAX_TICKS]))


async def judge(
    state: ShardState, ticks: Sequence[Tick], *, log: Log | None, store: Store
) -> Verdict:
    """Tell which of *ticks*, all of *state*'s shard, were folded before.

    A tick is a repeat when one of its id is logged within a minute of its time, or waits to be. It
    is new when the log has as many ticks of its minute as were folded there (none, if nothing
    was), and cannot be told otherwise, nor where the bar was given or a row of the log cannot be
    read. Changes nothing, so it may be called again.

    Raises:
        DatabaseUnavailable: it is away, or too slow.
    """
    slots: dict[Minute, list[Tick]] = {}
    for tick in ticks:
        slots.setdefault((tick.symbol, tick.event_ns // SLOT_NS), []).append(tick)
    ids: dict[Minute, set[int]] = {}
    logged: dict[Minute, int] = {}
    for (symbol, slot), some in slots.items():
        times = [tick.event_ns for tick in some]
        start_ns = _MINUTE.floor_ns(min(times) - NEAR_NS)
        end_ns = _MINUTE.floor_ns(max(times) + NEAR_NS) + MINUTE_NS
        seen = await _seen(state, log, symbol, (start_ns, end_ns))
        ids[symbol, slot] = {number for part in seen or () for number in part.trade_id.tolist()}
        for start_ns in {_MINUTE.floor_ns(tick.event_ns) for tick in some}:
            inside = (part.between(start_ns, start_ns + MINUTE_NS) for part in seen or ())
            logged[symbol, start_ns] = -1 if seen is None else sum(map(len, inside))
    trades = await _trades(state, store, logged)
    return _verdict(ticks, ids, {minute for minute in logged if logged[minute] >= trades[minute]})


async def _seen(
    state: ShardState, log: Log | None, symbol: Symbol, span_ns: tuple[int, int]
) -> list[Ticks] | None:
    """What was folded with a time in the span; None where a row of the log cannot be read."""
    try:
        return [part async for part in folded_parts(state, log, symbol, *span_ns)]
    except TickLogError as exc:
        _LOG.error("late ticks of %s cannot be told from repeats: %s", symbol, exc)
        return None


async def folded_parts(
    state: ShardState, log: Log | None, symbol: Symbol, start_ns: int, end_ns: int
) -> AsyncIterator[Ticks]:
    """What was folded with a time in the range: from the log, then what is on its way there.

    By slots of the log, each slot in order of arrival; then the rest in order of arrival.

    Raises:
        DatabaseUnavailable: it is away, or too slow.
        TickLogError: a row of the log cannot be read.
    """
    if log is None or state.folded is None:
        return
    flushes, waiting = state.folded.waiting()
    without = frozenset(FlushId(state.token, flush) for flush in flushes)
    async for part in log.parts(symbol, start_ns, end_ns, without=without):
        yield part
    for folded in waiting:
        if symbol in folded.symbols:
            kept = folded.kept()
            near = kept.between(start_ns, end_ns)
            yield near.where(near.symbol_index == np.intp(kept.symbols.index(symbol)))


async def _trades(state: ShardState, store: Store, minutes: Iterable[Minute]) -> dict[Minute, int]:
    """How many ticks are in each of *minutes*: of a bar that was given, more than anybody knows."""
    found: dict[Minute, int] = {}
    for symbol, start_ns in minutes:
        known = state.core.symbols.get(symbol)
        window = known.windows.get((_MINUTE, start_ns)) if known else None
        if window is not None:
            found[symbol, start_ns] = _known_trades(window)
    unknown = [
        (symbol, _MINUTE, start) for symbol, start in minutes if (symbol, start) not in found
    ]
    for row in await store.load_rows(unknown):
        found[row.bar.symbol, row.bar.start_ns] = _known_trades(Window.from_row(row))
    return {minute: found.get(minute, 0) for minute in minutes}


def _known_trades(window: Window) -> int:
    return _NOBODY_KNOWS if is_imported(window) else window.trades


def _verdict(
    ticks: Sequence[Tick], ids: Mapping[Minute, set[int]], covered: set[Minute]
) -> Verdict:
    verdict = Verdict()
    for tick in ticks:
        known = ids[tick.symbol, tick.event_ns // SLOT_NS]
        if tick.trade_id in known and tick.trade_id != NO_ID:
            verdict.duplicates += 1
        elif (tick.symbol, _MINUTE.floor_ns(tick.event_ns)) in covered:
            known.add(tick.trade_id)
            verdict.new.append(tick)
        else:
            verdict.unverifiable.append(tick)
    return verdict
