"""Replay: a file of trades put on the streams at its own pace, another one, or all it can."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from core.market.tick import Tick
from core.runtime.ports import MonotonicClock
from ingest.admission import EARLIEST_NS, Reason
from ingest.blocks import MAX_BATCH
from ingest.errors import ReplayFileError
from ingest.feed import FeedJournal, TickOutlet
from ingest.feed_clock import ClockKind
from ingest.gate import ReaderGate
from ingest.limits import IngestLimits
from ingest.replay_file import ReplayFile, Row
from ingest.spec import ReplayOptions

log = logging.getLogger(__name__)

_SLICE_ROWS: Final = 2_000  # per visit to the worker thread: a few ms of parsing
_ASK_S: Final = 0.01  # between looks at the status board
_LONG_S: Final = 10.0  # a paced replay that waits for longer says so


class Replay:
    """One file. Its position is the number of rows read; it goes on there after a restart."""

    clock_kind = ClockKind.REPLAY

    def __init__(
        self, options: ReplayOptions, *, limits: IngestLimits, monotonic_ns: MonotonicClock
    ) -> None:
        self._options, self._monotonic_ns = options, monotonic_ns
        self._file = ReplayFile(options.path, options.venue)
        self._gate = ReaderGate(limits.in_flight_ticks, monotonic_ns=monotonic_ns)
        self._origin: tuple[int, int] | None = None  # monotonic and event time of the first row

    async def prepare(self) -> str:
        """Open the file; returns the short name of its content.

        Raises:
            ReplayFileError: it cannot be read, or has another header.
        """
        opening = asyncio.get_running_loop().run_in_executor(None, self._file.open)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(lambda _: self._file.close())  # the thread goes on
            raise

    def close(self) -> None:
        """Let go of the file; for a replay that is prepared and not run."""
        self._file.close()

    async def run(self, outlet: TickOutlet, journal: FeedJournal) -> None:
        """Put all rows after the published ones; returns at the end of the file."""
        try:
            await self._await_start(outlet, journal)
            await asyncio.to_thread(self._file.skip, outlet.position)
            journal.enter("live", f"from row {outlet.position + 1}" if outlet.position else "")
            while rows := await asyncio.to_thread(self._file.read, _SLICE_ROWS):
                await self._put_all(rows, outlet, journal)
        except ReplayFileError as exc:  # what was read before stands
            journal.enter("failed", str(exc))
        finally:
            self._file.close()

    async def _await_start(self, outlet: TickOutlet, journal: FeedJournal) -> None:
        if outlet.position:
            return  # it had started before
        if self._options.start == "subscribed":
            journal.enter("waiting", "for a client to subscribe")
            while True:  # there is nothing to be told by: another process's report is awaited
                if await outlet.wanted():
                    break
                await asyncio.sleep(_ASK_S)
        elif self._options.start:
            journal.enter("waiting", f"for {self._options.start:g} s")
            await asyncio.sleep(self._options.start)

    async def _put_all(self, rows: Sequence[Row], outlet: TickOutlet, journal: FeedJournal) -> None:
        at = 0
        while at < len(rows):
            one_by_one = outlet.position < outlet.catch_up_until
            batch = rows[at : at + (1 if one_by_one else MAX_BATCH)]
            if self._options.speed is None:
                await self._gate.pass_on(len(batch), outlet, journal)
            else:
                batch = await self._pace(batch, self._options.speed, journal)
            ticks: list[Tick] = []
            for row in batch:
                if row.tick is not None:
                    ticks.append(row.tick)
                elif row.number > outlet.catch_up_until:
                    outlet.quarantine(self._file.placeholder(), Reason.ILL_FORMED, str(row.error))
            await outlet.put(ticks, batch[-1].number)
            at += len(batch)

    async def _pace(
        self, batch: Sequence[Row], speed: float, journal: FeedJournal
    ) -> Sequence[Row]:
        """Wait until the first row of *batch* is due; returns the rows that are due by then."""
        due_s = self._due_in_s(batch[0], speed)
        if due_s >= _LONG_S:  # a night without trades, or a wrong time in the file
            journal.enter(
                "waiting", f"{due_s:,.0f} s until the event time of row {batch[0].number}"
            )
        await asyncio.sleep(due_s)
        if due_s >= _LONG_S:
            journal.enter("live")
        count = 1
        while count < len(batch) and self._due_in_s(batch[count], speed) <= 0:
            count += 1
        return batch[:count]

    def _due_in_s(self, row: Row, speed: float) -> float:
        if row.tick is None or row.tick.event_ns < EARLIEST_NS:
            return 0.0  # it will be quarantined, and its time tells nothing
        now_ns, event_ns = self._monotonic_ns(), row.tick.event_ns
        if self._origin is None:
            self._origin = (now_ns, event_ns)
        origin_ns, first_ns = self._origin
        return max(0.0, (origin_ns + (event_ns - first_ns) / speed - now_ns) / 1e9)
