"""Audience: finds out that a gateway wants to be told of open bars, as it was not there before."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from storage.errors import StreamUnavailable
from storage.roles import RoleBoard

_LOOK_S: Final = 1.0  # gateways report each second


@dataclass(kw_only=True, slots=True)
class Audience:
    """Looks at the board each second.

    A gateway reads running bars from its start on, and those of a symbol that has not traded since
    are not among them. One that was not heard of for a while counts as new, and who asks anew.
    """

    board: RoleBoard
    on_newcomer: Callable[[], None]
    _known: frozenset[tuple[str, int, int]] = field(default=frozenset(), init=False)

    async def run(self) -> None:
        """Look for ever; while Redis is away, which others tell of, nobody comes."""
        while True:
            with suppress(StreamUnavailable):
                await self._look()
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> None:
        reports = await self.board.read()
        gateways = [one for one in reports if one.role == "gateway"]
        found = {(one.name, one.started_ms, one.open_asked) for one in gateways}
        if found - self._known:
            self.on_newcomer()
        self._known = frozenset(found)
