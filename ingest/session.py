"""Session: one venue over one WebSocket, connected again for as long as the feed lives."""

import asyncio
import logging
from typing import Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from core.runtime.ports import MonotonicClock
from core.runtime.retry import full_jitter
from ingest.errors import ConnectionLost
from ingest.feed import FeedJournal, TickOutlet, WarnLimiter
from ingest.feed_clock import ClockKind
from ingest.limits import IngestLimits
from ingest.venues import VenueProtocol
from ingest.venues.protocol import Note, NoteKind, Parsed

log = logging.getLogger(__name__)

_CLOSE_S: Final = 2.0  # for the closing handshake; a stalled venue is not waited for
_CHECKS: Final = 8  # looks of the watchdog per span of silence
_QUEUE_FRAMES: Final = 64  # decoded frames waiting; then reading from the socket pauses


class Session:
    """Speaks a venue's protocol: subscribes, reads, probes, and connects again when it must.

    A watchdog gives a connection up when no whole frame came for ``silence_s``, whether the
    venue is gone, answers pings only, or stopped in the middle of a frame. Half-way it sends the
    venue's probe, so that a quiet market is not taken for a dead connection.
    """

    clock_kind = ClockKind.LIVE

    def __init__(
        self,
        *,
        venue: VenueProtocol,
        url: str,
        silence_s: float,
        limits: IngestLimits,
        monotonic_ns: MonotonicClock,
    ) -> None:
        self._venue, self._url, self._silence_s = venue, url, silence_s
        self._limits, self._monotonic_ns = limits, monotonic_ns
        self._last_frame_ns = 0
        self._busy = False
        self._refused = ""
        self._parse_warnings = WarnLimiter()

    async def run(self, outlet: TickOutlet, journal: FeedJournal) -> None:
        """Never returns; connection errors are waited out with capped full jitter."""
        policy = full_jitter(first_s=self._limits.reconnect_first_s,
                             cap_s=self._limits.reconnect_cap_s)  # fmt: skip

        def report(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            journal.reconnects += 1
            again = f"connecting again in {state.upcoming_sleep:.1f} s"
            journal.enter("connecting", f"{error}; {again}")

        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(ConnectionLost), wait=policy, before_sleep=report
        ):
            with attempt:
                ticks_before = journal.ticks
                try:
                    await self._connected(outlet, journal)
                finally:
                    if journal.ticks > ticks_before:
                        attempt.retry_state.attempt_number = 1  # it worked: begin anew at 1 s

    async def _connected(self, outlet: TickOutlet, journal: FeedJournal) -> None:
        """One connection from handshake to loss.

        Raises:
            ConnectionLost: always, in the end.
        """
        limits, self._refused = self._limits, ""
        try:
            async with connect(
                self._url,
                open_timeout=limits.connect_timeout_s,
                ping_interval=None,  # the watchdog is stricter, and knows when it is us who wait
                close_timeout=_CLOSE_S,
                max_size=limits.max_frame_bytes,
                max_queue=_QUEUE_FRAMES,
                compression=None,
                user_agent_header="tickgate",
                additional_headers=self._venue.headers,
                proxy=None,
            ) as socket:
                await self._converse(socket, outlet, journal)
        except (WebSocketException, OSError, TimeoutError, UnicodeError) as exc:
            raise ConnectionLost(self._venue.name, _reason(exc)) from exc

    async def _converse(
        self, socket: ClientConnection, outlet: TickOutlet, journal: FeedJournal
    ) -> None:
        outlet.reconnected()
        self._last_frame_ns = self._monotonic_ns()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(socket), name=f"watchdog {journal.feed}")
                for request in self._venue.subscribe_frames():
                    await socket.send(request)
                while True:
                    parsed = self._venue.parse(await socket.recv())
                    for reply in parsed.replies:
                        await socket.send(reply)
                    self._busy = True  # waiting for Redis is not the venue's silence
                    await self._take(parsed, outlet, journal)
                    self._busy, self._last_frame_ns = False, self._monotonic_ns()
        except ExceptionGroup as errors:
            _, others = errors.split((ConnectionLost, WebSocketException, OSError))
            if others:
                raise others from None
            raise errors.exceptions[0] from None
        finally:
            self._busy = False

    async def _watch(self, socket: ClientConnection) -> None:
        """Probe a silent connection, then give it up."""
        probe, probed_at_ns = self._venue.probe_frame(), 0
        while True:
            await asyncio.sleep(self._silence_s / _CHECKS)
            if self._busy:
                continue
            silent_s = (self._monotonic_ns() - self._last_frame_ns) / 1e9
            if silent_s >= self._silence_s:
                raise ConnectionLost(self._venue.name, self._silence_reason())
            if probe and silent_s >= self._silence_s / 2 and probed_at_ns < self._last_frame_ns:
                probed_at_ns = self._monotonic_ns()
                async with asyncio.timeout(self._silence_s / 2):
                    await socket.send(probe)

    async def _take(self, parsed: Parsed, outlet: TickOutlet, journal: FeedJournal) -> None:
        if parsed.ticks:
            if journal.state != "live":
                journal.enter("live", self._refused)
            await outlet.put(parsed.ticks)
        if parsed.notices:
            await outlet.pass_on(parsed.notices)
        if parsed.history:
            journal.history += len(parsed.history)
            outlet.announce(parsed.history)
        if parsed.errors:
            self._note_errors(parsed, journal)
        for note in parsed.notes:
            self._heed(note, journal)

    def _note_errors(self, parsed: Parsed, journal: FeedJournal) -> None:
        journal.parse_errors += len(parsed.errors)
        if self._parse_warnings.allows(self._monotonic_ns()):
            more = self._parse_warnings.more()
            log.warning("feed %s: %s%s", journal.feed, parsed.errors[0], more)

    def _heed(self, note: Note, journal: FeedJournal) -> None:
        if note.kind is NoteKind.LEAVING:
            raise ConnectionLost(self._venue.name, note.text)
        if note.kind is NoteKind.REFUSED:
            self._refused = f"{self._venue.name} refused: {note.text[:200]}"
            journal.enter("live" if journal.state == "live" else "failed", self._refused)
        elif journal.state != "live":
            journal.enter("live", self._refused)

    def _silence_reason(self) -> str:
        reason = f"no frame for {self._silence_s:g} s"
        return f"{reason}; {self._refused}" if self._refused else reason


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, InvalidURI | InvalidHandshake | WebSocketException | OSError):
        return " ".join(str(error).split())[:200] or type(error).__name__
    return type(error).__name__
