"""Ticks of several symbols from the log in one order of time, five minutes at a time."""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Final

import numpy as np

from core.market.amended import Word, amended
from core.market.block import Ticks
from core.market.symbol import Symbol
from storage.tick_codec import SLOT_NS
from storage.tick_log import TickLog

_COLUMNS: Final = ("event_ns", "price", "size", "trade_id", "seq", "side")


async def merged_slots(
    log: TickLog, symbols: Sequence[Symbol], start_ns: int, end_ns: int
) -> AsyncIterator[Ticks]:
    """Ticks of *symbols* with an event time in ``[start_ns, end_ns)``, by five minutes.

    In the order of time, those of one symbol and moment by sequence, then arrival; as they stand
    after corrections and cancels. ``symbol_index`` points into *symbols*.

    Raises:
        DatabaseUnavailable: it is away, or too slow.
        TickLogError: a part of the log cannot be read.
    """
    waiting: dict[int, tuple[int, Ticks]] = {}  # by symbol: its next slot
    sources = {at: _slots(log, symbol, start_ns, end_ns) for at, symbol in enumerate(symbols)}
    for at in list(sources):
        await _advance(at, sources, waiting)
    while waiting:
        slot = min(slot for slot, _ in waiting.values())
        due = [at for at in sorted(waiting) if waiting[at][0] == slot]
        yield _merged(symbols, [(at, waiting.pop(at)[1]) for at in due])
        for at in due:
            await _advance(at, sources, waiting)


async def _advance(
    at: int,
    sources: dict[int, AsyncIterator[tuple[int, Ticks]]],
    waiting: dict[int, tuple[int, Ticks]],
) -> None:
    found = await anext(sources[at], None)
    if found is not None:
        waiting[at] = found


async def _slots(
    log: TickLog, symbol: Symbol, start_ns: int, end_ns: int
) -> AsyncIterator[tuple[int, Ticks]]:
    """The number of each slot that has ticks, and these, in order of arrival."""
    said = await log.amendments(symbol)
    number, parts = 0, list[Ticks]()
    async for part in log.parts(symbol, start_ns, end_ns):
        of = int(part.event_ns[0]) // SLOT_NS
        if parts and of != number:
            yield number, _whole(symbol, parts, said)
            parts = []
        number = of
        parts.append(part)
    if parts:
        yield number, _whole(symbol, parts, said)


def _whole(symbol: Symbol, parts: Sequence[Ticks], said: Collection[Word]) -> Ticks:
    if not said:
        return _joined((symbol,), [(0, part) for part in parts])
    ticks = amended([tick for part in parts for tick in part.ticks()], said)
    columns: list[Any] = [
        np.array([getattr(tick, name) for tick in ticks], dtype)
        for name, dtype in zip(_COLUMNS, ("i8", "f8", "f8", "i8", "i8", "u1"), strict=True)
    ]
    return Ticks((symbol,), np.zeros(len(ticks), np.intp), *columns)


def _merged(symbols: Sequence[Symbol], parts: Sequence[tuple[int, Ticks]]) -> Ticks:
    joined = _joined(symbols, parts)
    order = np.lexsort((joined.seq, joined.symbol_index, joined.event_ns))  # stable
    columns: list[Any] = [getattr(joined, name)[order] for name in _COLUMNS]
    return Ticks(joined.symbols, joined.symbol_index[order], *columns)


def _joined(symbols: Sequence[Symbol], parts: Sequence[tuple[int, Ticks]]) -> Ticks:
    index = np.concatenate([np.full(len(part), at, np.intp) for at, part in parts])
    columns: list[Any] = [
        np.concatenate([getattr(part, name) for _, part in parts]) for name in _COLUMNS
    ]
    return Ticks(tuple(symbols), index, *columns)
