"""Asks aggregators, by way of the database, to change stored bars, and hears what became of it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

from core.market.errors import TickgateError
from storage.rebuilds import Rebuilds, Report

P = TypeVar("P")

_ASKED: Final = 8  # requests that wait for an answer at a time
_PATIENCE_S: Final = 20.0  # of waiting for any answer: leases move within 5 s
_LOOK_S: Final = 0.05


class NobodyAnswers(TickgateError):
    """No aggregator answered."""

    def __str__(self) -> str:
        return (
            f"no aggregator answered within {_PATIENCE_S:g} s; see that one runs on this database, "
            "with the same setting `shards`, then ask again"
        )


async def answers(
    rebuilds: Rebuilds, pieces: Iterator[P], ask: Callable[[P], Awaitable[int]]
) -> AsyncGenerator[tuple[P, Report], None]:
    """Ask for each of *pieces*, a few at a time; each comes with its answer, as these come.

    Args:
        rebuilds: where answers are.
        pieces: taken as they can be asked for.
        ask: asks for one; returns the number of the request.

    Raises:
        NobodyAnswers: none came for a while; what was asked for is withdrawn.
        DatabaseUnavailable: it is away, or too slow.
    """
    asked: dict[int, P] = {}
    heard_s = time.monotonic()
    try:
        while await _ask_more(asked, pieces, ask):
            heard = await rebuilds.reports(list(asked))
            if heard:
                heard_s = time.monotonic()
                await rebuilds.withdraw(list(heard))
            for number in sorted(heard):
                yield asked.pop(number), heard[number]
            if time.monotonic() - heard_s > _PATIENCE_S:
                raise NobodyAnswers
            await asyncio.sleep(_LOOK_S if asked else 0)
    finally:
        if asked:
            await rebuilds.withdraw(list(asked))


async def _ask_more(
    asked: dict[int, P], pieces: Iterator[P], ask: Callable[[P], Awaitable[int]]
) -> bool:
    """Ask for as many as may wait; False when nothing waits any more."""
    for piece in islice(pieces, _ASKED - len(asked)):
        asked[await ask(piece)] = piece
    return bool(asked)
