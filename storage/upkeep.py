"""Upkeep of the stored bars: what one of all aggregators does, once a day or when room is short."""

from typing import Final

from core.market.timeframe import Timeframe
from storage.bars import BarStore
from storage.chores import Chores, in_turn

_DAY_S: Final = 86_400.0
_PRUNE_S: Final = 50.0  # callers ask each minute: a little less, so that no turn is missed


async def tend_bars(
    store: BarStore, chores: Chores, *, keep_minutes_ns: int, max_bytes: int
) -> int:
    """Do what is due and nobody else does; to be called each minute, by any number of processes.

    Args:
        store: whose bars.
        chores: of the same database.
        keep_minutes_ns: how far 1-minute bars reach back from their symbol's newest; 0: all stay.
        max_bytes: size of the database above which the oldest bars go; 0: none go.

    Returns:
        How many bars were deleted.

    Raises:
        DatabaseUnavailable: it is away, or too slow; what was not done is due at the next call.
            Room is made also where old bars cannot be deleted.
    """

    async def drop_old() -> int:
        removed = 0
        async with chores.claim("tend bars", every_s=_DAY_S) as mine:
            if mine and keep_minutes_ns:
                removed = await store.drop_older(Timeframe.MIN_1, keep_minutes_ns)
            if mine:
                await store.vacuum()
        return removed

    async def make_room() -> int:
        if not max_bytes:
            return 0
        async with chores.claim("prune bars", every_s=_PRUNE_S) as mine:
            return await store.prune(max_bytes=max_bytes) if mine else 0

    return await in_turn(drop_old, make_room)
