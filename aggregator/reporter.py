"""Reporter: tells the other roles how far this aggregator is, and which shards it folds."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from aggregator.shards import ShardState
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.readiness import Readiness
from storage.errors import StreamUnavailable
from storage.roles import RoleBoard, RoleReport

log = logging.getLogger(__name__)

_REPORT_S: Final = 1.0
_MOVED_REPORT_S: Final = 0.05  # a replay at full speed waits for these reports


@dataclass(kw_only=True, slots=True)
class Reporter:
    """Reports at once when something moved, else each second."""

    board: RoleBoard
    report: RoleReport  # who this is
    states: Mapping[int, ShardState]  # by shard; a live view
    streams: Mapping[str, tuple[str, int]]  # feed and shard by key; a live view
    readiness: Readiness
    now_ns: Clock
    monotonic_ns: MonotonicClock
    _known: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Report for ever; a report that is lost is made good by the next.

        It also finds out whether Redis is there while folding waits for the database.
        """
        told: tuple[dict[str, int], list[int]] | None = None
        told_ns, failed = 0, False
        while True:
            await asyncio.sleep(_MOVED_REPORT_S)
            news = self._consumed(), sorted(self.states)
            if news == told and self.monotonic_ns() - told_ns < _REPORT_S * 1e9:
                continue
            try:
                await self.board.publish(self._report(*news))
            except StreamUnavailable as exc:
                failed = True
                if self.readiness.down("redis", str(exc)):
                    log.warning("waiting for Redis: %s", exc)
            else:
                if failed and self.readiness.up("redis"):
                    log.info("Redis is there")
                failed = False
            told, told_ns = news, self.monotonic_ns()

    def _consumed(self) -> dict[str, int]:
        """By stream, the number of the newest block that was folded, late ticks and all."""
        found: dict[str, int] = {}
        for key, (feed, shard) in self.streams.items():
            state = self.states[shard]
            if state.under_way == feed:
                if key in self._known:
                    found[key] = self._known[key]
            elif feed in state.positions:
                found[key] = state.positions[feed].number
        self._known = found
        return found

    def _report(self, consumed: dict[str, int], shards: list[int]) -> RoleReport:
        states = self.readiness.states()
        return msgspec.structs.replace(
            self.report,
            reported_ms=self.now_ns() // 10**6,
            consumed=consumed,
            shards=shards,
            waiting={name: state.reason for name, state in states.items() if not state.ok},
        )
