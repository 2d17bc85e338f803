"""Poll: an HTTP endpoint that answers JSON, pulled again and again; one task per address."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

from core.market.tick import Tick
from core.market.timeframe import SECOND_NS
from core.runtime.breaker import Breaker
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.retry import full_jitter
from ingest.errors import ParseError, PollError
from ingest.feed import FeedJournal, TickOutlet, WarnLimiter
from ingest.feed_clock import ClockKind
from ingest.items import ItemReader
from ingest.limits import IngestLimits
from ingest.retry_after import MAX_S, seconds_of
from ingest.spec import PollOptions

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 3  # of one pull; a GET may be repeated
_RETRY_FIRST_S: Final = 0.1
_RETRY_CAP_S: Final = 1.0
_MAX_FAILURES: Final = 5  # pulls in a row, then the breaker opens
_OPEN_S: Final = 10.0
_CONNECTIONS: Final = 100  # at once; further pulls wait for one, within their time limit
_CHUNK_BYTES: Final = 65_536


@dataclass(slots=True)
class _Target:
    """One address; its breaker, so that a dead one neither costs much nor holds others up."""

    url: str
    symbol: str | None
    reader: ItemReader
    breaker: Breaker = field(
        default_factory=lambda: Breaker(max_failures=_MAX_FAILURES, retry_after_s=_OPEN_S)
    )
    fault: str = ""


class Poll:
    """Pulls every address each ``every_s`` seconds, each in a task of its own.

    A pull: 1 s to connect, 2 s between bytes, 3 s in all; time-outs, lost connections, 429 and
    5xx are tried three times with full jitter; five failed pulls in a row open the address's
    circuit breaker, which lets one probe through every 10 s. A 429 that says for how long stops
    the pulls of all addresses for that time, as they are asked of one server.
    """

    clock_kind = ClockKind.PULLED

    def __init__(
        self,
        options: PollOptions,
        *,
        limits: IngestLimits,
        now_ns: Clock,
        monotonic_ns: MonotonicClock,
    ) -> None:
        self._options, self._limits = options, limits
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns
        self._targets = _targets(options)
        self._warnings = WarnLimiter()
        self._busy_until_ns = 0

    async def run(self, outlet: TickOutlet, journal: FeedJournal) -> None:
        """Never returns; failing addresses are shown in the journal."""
        limits = self._limits
        timeout = ClientTimeout(
            total=limits.poll_total_s,
            sock_connect=limits.poll_connect_s,
            sock_read=limits.poll_read_s,
        )
        connector = TCPConnector(limit=_CONNECTIONS)
        async with (
            ClientSession(timeout=timeout, connector=connector) as http,
            asyncio.TaskGroup() as group,
        ):
            for nth, target in enumerate(self._targets):
                offset_s = self._options.every_s * nth / len(self._targets)
                group.create_task(
                    self._follow(target, offset_s, http, outlet, journal), name=f"poll {target.url}"
                )

    async def _follow(
        self,
        target: _Target,
        offset_s: float,
        http: ClientSession,
        outlet: TickOutlet,
        journal: FeedJournal,
    ) -> None:
        """Pull one address on a fixed schedule; a pull that took too long skips its turns."""
        every_ns = int(self._options.every_s * 1e9)
        due_ns = self._monotonic_ns() + int(offset_s * 1e9)
        while True:
            await asyncio.sleep(max(0, due_ns - self._monotonic_ns()) / 1e9)
            now_ns = self._monotonic_ns()
            if now_ns >= self._busy_until_ns and target.breaker.allows(now_ns / 1e9):
                ticks = await self._pull(target, http, journal)
                await outlet.put(ticks)
            turns = max(1, -(-(self._monotonic_ns() - due_ns) // every_ns))
            due_ns += turns * every_ns

    async def _pull(self, target: _Target, http: ClientSession, journal: FeedJournal) -> list[Tick]:
        try:
            body = await self._get(target.url, http)
        except PollError as exc:
            target.fault = exc.reason
            now_ns = self._monotonic_ns()
            # Who says for how long it is busy works.
            target.breaker.record(ok=exc.busy_s is not None, now_s=now_ns / 1e9)
            busy_until_ns = now_ns + int((exc.busy_s or 0.0) * SECOND_NS)
            self._busy_until_ns = max(self._busy_until_ns, busy_until_ns)
            ticks: list[Tick] = []
        else:
            target.fault = ""
            target.breaker.record(ok=True, now_s=self._monotonic_ns() / 1e9)
            ticks, errors = target.reader.read(
                body, symbol=target.symbol, arrived_ns=self._now_ns()
            )
            self._note_errors(errors, journal)
            if errors and not ticks:
                target.fault = str(errors[0])
        self._show(journal)
        return ticks

    async def _get(self, url: str, http: ClientSession) -> bytes:
        """The body of one answer.

        Raises:
            PollError: the attempts are used up, or another one cannot help.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(lambda exc: isinstance(exc, PollError) and exc.retryable),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=full_jitter(first_s=_RETRY_FIRST_S, cap_s=_RETRY_CAP_S),
            reraise=True,
        ):
            with attempt:
                return await self._get_once(url, http)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _get_once(self, url: str, http: ClientSession) -> bytes:
        try:
            async with http.get(url, headers={"Accept": "application/json"}) as response:
                if response.status != 200:
                    raise self._refusal(url, response)
                return await self._body(response, url)
        except TimeoutError as exc:
            raise PollError(url, "timed out", retryable=True) from exc
        except (ClientError, OSError) as exc:
            raise PollError(url, str(exc) or type(exc).__name__, retryable=True) from exc

    def _refusal(self, url: str, response: ClientResponse) -> PollError:
        reason = f"status {response.status}"
        header = response.headers.get("Retry-After", "")
        busy_s = seconds_of(header, self._now_ns()) if response.status == 429 else None
        if busy_s is not None:
            busy_s = min(busy_s, MAX_S)
            reason = f"{reason}, not to be asked for {busy_s:.0f} s"
            return PollError(url, reason, retryable=False, busy_s=busy_s)
        return PollError(url, reason, retryable=response.status == 429 or response.status >= 500)

    async def _body(self, response: ClientResponse, url: str) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            parts.append(chunk)
            size += len(chunk)
            if size > self._limits.max_frame_bytes:
                reason = f"more than {self._limits.max_frame_bytes} bytes"
                raise PollError(url, reason, retryable=False)
        return b"".join(parts)

    def _note_errors(self, errors: list[ParseError], journal: FeedJournal) -> None:
        journal.parse_errors += len(errors)
        if errors and self._warnings.allows(self._monotonic_ns()):
            more = self._warnings.more()
            log.warning("feed %s: %s%s", journal.feed, errors[0], more)

    def _show(self, journal: FeedJournal) -> None:
        """Live while any address works; the detail names one that does not."""
        faulty = [target for target in self._targets if target.fault]
        if not faulty:
            journal.enter("live")
            return
        first = faulty[0]
        detail = f"{len(faulty)} of {len(self._targets)} addresses fail: {first.url}: {first.fault}"
        journal.enter("failed" if len(faulty) == len(self._targets) else "live", detail)


def _targets(options: PollOptions) -> list[_Target]:
    if "{symbol}" not in options.url:
        only = options.symbols[0] if len(options.symbols) == 1 and not options.symbol else None
        return [_Target(options.url, only, ItemReader(options))]
    return [
        _Target(options.url.replace("{symbol}", quote(name, safe="")), name, ItemReader(options))
        for name in options.symbols
    ]
