"""The gateway's report of itself: each second, and at once where somebody waits for it."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, Protocol

from core.runtime.ports import Clock
from core.runtime.readiness import Readiness
from gateway.fanout import Fanout
from gateway.market import MarketState
from gateway.positions import Positions
from gateway.roster import Roster
from storage.roles import RoleReport
from storage.streams import StreamUnavailable

_LOG: Final = logging.getLogger(__name__)
_PERIOD_S: Final = 1.0
_LEAST_S: Final = 0.02  # between two reports, also when a replay waits for each
_UNSENT_BYTES: Final = 262_144  # a client further behind than this holds back a replay
_MS_NS: Final = 1_000_000


class Board(Protocol):
    """Where the role reports: :class:`storage.roles.RoleBoard`."""

    async def publish(self, report: RoleReport) -> None:
        """Put up the report; raises StreamUnavailable."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """How the role names itself in its reports."""

    name: str  # host:pid
    pid: int
    version: str = ""
    ops_url: str = ""


@dataclass(kw_only=True)
class Reporter:
    """Says what was delivered, to how many. Delivered is what was written to the sockets while
    no client had more than 256 KiB unsent.
    """

    identity: Identity
    board: Board
    positions: Positions
    fanout: Fanout
    market: MarketState
    roster: Roster
    readiness: Readiness
    now_ns: Clock

    def __post_init__(self) -> None:
        self._started_ms = self.now_ns() // _MS_NS
        self._news = asyncio.Event()
        self._reported: dict[str, int] = {}
        self._reported_subscribers = 0
        self.draining = False
        self._lag_s = 0.0  # the largest since the last report

    def note_lag(self, lag_s: float) -> None:
        """The event loop woke a periodic task so late."""
        self._lag_s = max(self._lag_s, lag_s)

    def on_written(self) -> None:
        """All that was published is written."""
        if self.fanout.idle and self.roster.largest_unsent_bytes() < _UNSENT_BYTES:
            self.positions.deliver()
            if self.positions.replay_waits(self._reported):
                self._news.set()

    def on_change(self) -> None:
        """A subscription came or went."""
        if bool(self.fanout.hub.subscribers) != bool(self._reported_subscribers):
            self._news.set()

    async def run(self) -> None:
        """Report for ever; Redis away: the next report says it all."""
        while True:
            self._news.clear()
            await self._publish()
            await asyncio.sleep(_LEAST_S)
            try:
                async with asyncio.timeout(_PERIOD_S - _LEAST_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _publish(self) -> None:
        report = self._report()
        self._reported, self._reported_subscribers = report.consumed, report.subscribers
        self._lag_s = 0.0
        try:
            await self.board.publish(report)
        except StreamUnavailable as exc:
            _LOG.debug("no report: %s", exc)  # the readers say aloud that Redis is away

    def _report(self) -> RoleReport:
        waiting = {
            name: state.reason for name, state in self.readiness.states().items() if not state.ok
        }
        return RoleReport(
            role="gateway",
            name=self.identity.name,
            pid=self.identity.pid,
            reported_ms=self.now_ns() // _MS_NS,
            started_ms=self._started_ms,
            ops_url=self.identity.ops_url,
            version=self.identity.version,
            consumed=self.positions.delivered(),
            clients=len(self.roster.guests),
            subscribers=self.fanout.hub.subscribers,
            waiting=waiting,
            loop_lag_ms=round(self._lag_s * 1_000, 3),
            draining=self.draining,
            open_asked=self.market.open_asked,
        )
