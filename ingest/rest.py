"""Rest: asks a venue's trade history over HTTP, through the venue's gate."""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector

from core.market.tick import Tick
from core.runtime.ports import Clock, MonotonicClock
from ingest.errors import HistoryError
from ingest.history import Page, TradeHistory, Want
from ingest.limits import IngestLimits
from ingest.retry_after import seconds_of
from ingest.venue_gate import VenueGate
from ingest.venues.protocol import MAX_ID

_BUSY: Final = (418, 429)
_CHUNK_BYTES: Final = 65_536
_CONNECTIONS: Final = 4  # to one venue; the gate lets few requests out at a time


def open_session(limits: IngestLimits) -> ClientSession:
    """HTTP as all venues are asked: 1 s to connect, 2 s between bytes, 3 s in all."""
    timeout = ClientTimeout(
        total=limits.poll_total_s,
        sock_connect=limits.poll_connect_s,
        sock_read=limits.poll_read_s,
    )
    return ClientSession(timeout=timeout, connector=TCPConnector(limit=_CONNECTIONS))


@dataclass(slots=True, kw_only=True)
class VenueRest:
    """One venue's history. Requests wait at the gate, which all feeds of the venue share.

    ``http`` (of :func:`open_session`) stays the caller's; ``max_bytes`` bounds an answer.
    """

    history: TradeHistory
    url: str
    gate: VenueGate
    http: ClientSession
    max_bytes: int
    now_ns: Clock
    monotonic_ns: MonotonicClock

    async def ask(self, want: Want, *, deadline_s: float) -> Page:
        """One page of *want*; waits until the venue may be asked, to *deadline_s* (monotonic).

        Raises:
            HistoryError: no answer, one that is none, or the deadline is over.
        """
        return await self._ask(self.history.path(want), want, deadline_s)

    async def newest(self, ticker: str, *, deadline_s: float) -> Tick | None:
        """The newest trade of *ticker*; None: it has none.

        Raises:
            HistoryError: as :meth:`ask`.
        """
        path = self.history.newest_path(ticker)
        page = await self._ask(path, Want(ticker, 0, MAX_ID, 0), deadline_s)
        return page.ticks[-1] if page.ticks else None

    async def _ask(self, path: str, want: Want, deadline_s: float) -> Page:
        await self._pass_gate(deadline_s)
        try:
            page = self.history.read(want, await self._get(path))
        except HistoryError as exc:
            if exc.busy:
                self.gate.refuse(self._now_s(), exc.retry_after_s)
            elif exc.retryable:
                self.gate.fail(self._now_s(), exc.reason)
            else:
                self.gate.answer(self._now_s())  # "no such product" is an answer
            raise
        self.gate.answer(self._now_s())
        return page

    async def _pass_gate(self, deadline_s: float) -> None:
        while wait_s := self.gate.enter(self._now_s()):
            if self._now_s() + wait_s > deadline_s:
                fault = f"; {self.gate.fault}" if self.gate.fault else ""
                reason = f"may not be asked in time, its circuit breaker is {self.gate.state}"
                raise HistoryError(self.history.name, reason + fault)
            await asyncio.sleep(wait_s)

    async def _get(self, path: str) -> bytes:
        name = self.history.name
        try:
            async with self.http.get(self.url + path) as response:
                if response.status != 200:
                    raise self._refusal(response)
                return await self._body(response)
        except TimeoutError as exc:
            raise HistoryError(name, f"GET {path}: timed out") from exc
        except (ClientError, OSError, UnicodeError) as exc:  # the last: of a host's name
            raise HistoryError(name, f"GET {path}: {str(exc) or type(exc).__name__}") from exc

    def _refusal(self, response: ClientResponse) -> HistoryError:
        status = response.status
        return HistoryError(
            self.history.name,
            f"GET {response.url.path_qs}: status {status}",
            retryable=status in _BUSY or status >= 500,
            busy=status in _BUSY,
            retry_after_s=seconds_of(response.headers.get("Retry-After", ""), self.now_ns()),
        )

    async def _body(self, response: ClientResponse) -> bytes:
        parts, size = [], 0
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            parts.append(chunk)
            size += len(chunk)
            if size > self.max_bytes:
                reason = f"an answer of more than {self.max_bytes} bytes"
                raise HistoryError(self.history.name, reason, retryable=False)
        return b"".join(parts)

    def _now_s(self) -> float:
        return self.monotonic_ns() / 1e9
