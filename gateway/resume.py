"""Clients that come back with a cursor: one task brings all of them to the live end, in rounds."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from websockets.frames import CloseCode

from core.market.errors import SymbolError
from core.runtime.ports import Clock, MonotonicClock
from gateway import messages
from gateway.channels import CONFLATED, WILDCARD, Codec, Mode
from gateway.cursor import Cursor, CursorError, CursorMaker, cursor_frame, decode_cursor
from gateway.encode import time_value
from gateway.fanout import Fanout
from gateway.hub import scope_of
from gateway.market import MarketState
from gateway.messages import RequestError, Subscribe
from gateway.metrics import GatewayMetrics
from gateway.plans import Bounds
from gateway.reader import MarketReader
from gateway.recovery import Recovery
from gateway.resumer import At, Gap, Resumer, Served
from gateway.session import Asked, enter, subscription, take
from storage.entry_id import EntryId
from storage.keys import StreamKeys
from storage.stream_state import Range, StreamState
from storage.streams import StreamUnavailable

if TYPE_CHECKING:
    from gateway.connection import Connection

_LOG: Final = logging.getLogger(__name__)
_ROUND_BYTES: Final = 1 << 20  # of entries; as messages for one client about 3 MB
_ROUND_ENTRIES: Final = 64  # of each stream
_MANY_ENTRIES: Final = 256  # while entries are small
_SMALL_BYTES: Final = 4_096
_READY_BYTES: Final = 65_536  # who has more than that unsent waits
_CROWD: Final = 100  # resumers; from so many on it is worth while to gather more
_GATHER_NS: Final = 50_000_000  # since the last one came
_GATHER_MOST_NS: Final = 2_000_000_000  # since the first one came
_GATHER_S: Final = 0.01
_SLICE: Final = 64  # resumers before the loop sees to everything else; about 5 ms
_PAUSE_S: Final = 0.02  # when nobody can be served
_RETRY_S: Final = 0.25  # when Redis is away
_LINGER_S: Final = 5.0  # that all is kept for the next one to resume
_MAX_HELD: Final = 20  # requests of a client while it resumes
_MAX_CURSORS: Final = 1_000  # kept decoded; clients come in droves with the same one
_MAX_POSITIONS: Final = 200_000  # of these, if all are like the newest: some 20 MB
_SECOND_NS: Final = 1_000_000_000
_MS_NS: Final = 1_000_000


class Ranges(Protocol):
    """What is asked of the streams: :class:`storage.stream_ranges.StreamRanges`."""

    async def read(
        self, ranges: Sequence[Range], *, count: int, max_bytes: int
    ) -> dict[str, list[tuple[EntryId, bytes]]]: ...

    async def states(self, keys: Sequence[str]) -> dict[str, StreamState]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumeLimits:
    """Bounds of resuming."""

    most: int = 100_000  # clients at a time; beyond, error 500
    wait_s: float = 5.0  # for symbols, or for positions while Redis answers, that are not known yet
    bound_s: float = 60.0  # for all of it; then a gap for what is left


@dataclass(slots=True, eq=False)
class _Guest:
    client: "Connection"
    request: Subscribe
    resumer: Resumer
    since_ns: int
    is_told: bool = False  # the subscription reply was sent
    outcome: str = "complete"
    held: list[Asked] = field(default_factory=list)  # what was asked for meanwhile


class Resumes:
    """Owns the clients from their request to resume until they are at the live end.

    Each is served when little is unsent to it, so none holds up the others; one that does not
    read at all ends by the rule for slow clients. While nobody resumes this costs nothing.
    """

    def __init__(  # noqa: PLR0913 - the list of dependencies
        self,
        *,
        fanout: Fanout,
        reader: MarketReader,
        market: MarketState,
        ranges: Ranges,
        keys: StreamKeys,
        cursors: CursorMaker,
        metrics: GatewayMetrics,
        now_ns: Clock,
        monotonic_ns: MonotonicClock,
        limits: ResumeLimits | None = None,
    ) -> None:
        """:meth:`run` must be running."""
        self._fanout, self._reader, self._market = fanout, reader, market
        self._ranges, self._keys, self._cursors = ranges, keys, cursors
        self._metrics = metrics
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns
        self._limits = limits or ResumeLimits()
        self._guests: dict[Connection, _Guest] = {}
        self._recovery: Recovery | None = None  # while there are guests, and a little longer
        self._decoded: dict[str, tuple[Cursor, At]] = {}
        self._wake = asyncio.Event()
        self._last_start_ns = 0
        self._away_ns = -(2**63)  # when Redis was away last
        self._page = _ROUND_ENTRIES  # entries of each stream in the next round
        self._cursor: tuple[At, str] = {}, ""  # the last one made on the way

    def start(self, client: "Connection", request: Subscribe) -> None:
        """Let *client* go on where the cursor in its *request* stands.

        Raises:
            RequestError: the cursor or a name is refused (400, 405); nothing has changed then.
        """
        try:
            self._start(client, request)
        except RequestError:
            self._metrics.resumes.labels("refused").inc()
            raise

    def hold(self, client: "Connection", asked: Asked) -> bool:
        """Keep what *client* *asked* for later, if it resumes; its requests are done in order."""
        guest = self._guests.get(client)
        if guest is None:
            return False
        if len(guest.held) >= _MAX_HELD:
            client.refuse(
                messages.INVALID_SYNTAX,
                f"more than {_MAX_HELD} requests during a resume; wait until it is through",
            )
        else:
            guest.held.append(asked)
        return True

    def regrant(self, client: "Connection") -> None:
        """*client* may read other things now: if it resumes, it goes on with what is among them.

        It is told if that ends a subscription. A request that was not answered yet is judged when
        it is, by what *client* may read then.
        """
        guest = self._guests.get(client)
        if guest is None:
            return
        names = guest.request.names
        if guest.is_told:
            names = tuple(self._fanout.hub.permitted(client, names, client.caller))
        self._ensure().turn(guest.resumer, names, self._bounds(client))
        if names != guest.request.names:
            guest.request = msgspec.structs.replace(guest.request, names=names)
            client.reply(subscription(set(names), client.endpoint))

    def has_told(self, client: "Connection") -> bool:
        """Does *client* resume, and know what it is subscribed to?"""
        guest = self._guests.get(client)
        return guest is not None and guest.is_told

    async def run(self) -> None:
        """Serve for ever."""
        while True:
            await self._wake.wait()
            pause_s = await self._round()
            self._metrics.resuming.set(len(self._guests))
            if self._guests:
                await asyncio.sleep(pause_s)
            else:
                await self._linger()

    async def _linger(self) -> None:
        """In a crowd that comes back the next client is near: what was read is kept for a while."""
        self._wake.clear()
        try:
            async with asyncio.timeout(_LINGER_S):
                await self._wake.wait()
        except TimeoutError:
            if not self._guests:  # else one came at this very moment
                self._recovery = self._reader.tap = None
                self._decoded.clear()

    def _start(self, client: "Connection", request: Subscribe) -> None:
        if client.group is not None:
            raise RequestError(
                messages.INVALID_SYNTAX,
                "resume: expected in the first subscribe of a connection, this one has "
                "subscriptions",
            )
        if len(self._guests) >= self._limits.most:
            raise RequestError(messages.INTERNAL, "too many clients resume; please try again")
        self._check(client, request)
        cursor, at = self._decode(request.resume)
        codec = client.style.codec
        resumer = Resumer(
            plan=self._ensure().plans.enter(request.names, self._bounds(client)),
            codec=codec,
            at=at,
            time_ms=cursor.time_ms,
            latest=client.style.mode is Mode.LATEST,
        )
        self._last_start_ns = self._monotonic_ns()
        guest = _Guest(client, request, resumer, self._last_start_ns)
        self._guests[client] = guest
        self._wake.set()
        if self._market.complete or not self._is_loose(client, request):
            self._tell(guest)

    def _bounds(self, client: "Connection") -> Bounds:
        codec = client.style.codec
        return Bounds(codec.stocks, scope_of(client.caller), codec.plain)

    def _decode(self, text: str) -> tuple[Cursor, At]:
        found = self._decoded.get(text)
        if found is None:
            try:
                cursor = decode_cursor(text, self._keys)
            except CursorError as exc:
                raise RequestError(messages.INVALID_SYNTAX, str(exc)) from exc
            at, kept = cursor.positions(self._keys), len(self._decoded)
            if kept >= _MAX_CURSORS or kept * len(at) > _MAX_POSITIONS:
                self._decoded.clear()
            found = self._decoded[text] = cursor, at
        return found

    def _ensure(self) -> Recovery:
        """From the first resumer on, what is published is kept until the last one has it."""
        if self._recovery is None:
            self._recovery = Recovery(
                keys=self._keys, market=self._market, positions=self._reader.positions
            )
            self._reader.tap = self._recovery.publish
        return self._recovery

    def _check(self, client: "Connection", request: Subscribe) -> None:
        """Would the hub take the request? It sets the session's style as well."""
        hub = self._fanout.hub
        now_ns = self._monotonic_ns()
        hub.subscribe(client, request.names, now_ns, request.options, client.caller)
        hub.leave(client)

    def _is_loose(self, client: "Connection", request: Subscribe) -> bool:
        """Is there a bare name that may belong to several venues, once the symbols are known?"""
        stocks = client.style.codec.stocks
        return any(
            ":" not in spelling and spelling != WILDCARD and self._is_unknown(spelling, stocks)
            for _, spelling in request.names
        )

    def _is_unknown(self, spelling: str, stocks: bool) -> bool:
        try:
            return self._market.resolve(spelling, stocks=stocks) is None
        except SymbolError:  # which the hub has judged already
            return False

    def _tell(self, guest: _Guest) -> None:
        guest.is_told = True
        guest.client.reply(subscription(set(guest.request.names), guest.client.endpoint))

    def _is_told(self, guest: _Guest, now_ns: int) -> bool:
        """After a restart bare names wait until the gateway knows the symbols, for a while."""
        if guest.is_told:
            return True
        if not self._market.complete and not self._is_past(guest, self._limits.wait_s, now_ns):
            return False
        try:
            self._check(guest.client, guest.request)
        except RequestError as exc:
            self._refuse(guest, exc)
            return False
        self._tell(guest)
        return True

    async def _round(self) -> float:
        """Serve everybody who is ready; how long to pause before the next round."""
        now_ns = self._monotonic_ns()
        if self._is_gathering(now_ns):
            return _GATHER_S
        for guest in list(self._guests.values()):
            if guest.client.over:
                self._end(guest, "left")
        ready = [
            guest
            for guest in list(self._guests.values())
            if guest.client.unsent_bytes() < _READY_BYTES and self._is_told(guest, now_ns)
        ]
        if not self._reader.positions.complete:  # nothing can be said of any cursor yet
            ready = [g for g in ready if self._is_past(g, self._limits.bound_s, now_ns)]
        if not ready:
            return _PAUSE_S
        pause_s = await self._read(ready)
        return max(pause_s, await self._serve(ready))

    def _is_gathering(self, now_ns: int) -> bool:
        """Do more come all the time? Letting them in goes first: who is live costs time, too."""
        if len(self._guests) < _CROWD or now_ns - self._last_start_ns >= _GATHER_NS:
            return False
        first = next(iter(self._guests.values()))
        return now_ns - first.since_ns < _GATHER_MOST_NS

    async def _read(self, ready: Sequence[_Guest]) -> float:
        recovery = self._ensure()
        ranges, heads = recovery.begin([guest.resumer for guest in ready])
        count = self._page
        try:
            found = await self._ranges.read(ranges, count=count, max_bytes=_ROUND_BYTES)
            for wanted in ranges:
                entries = found.get(wanted.key)
                if entries is not None:
                    new = recovery.take(wanted, entries, is_all=len(entries) < count)
                    self._fanout.hub.carry(new)
                    self._metrics.resume_entries.inc(len(entries))
                    await asyncio.sleep(0)
            recovery.learn(await self._ranges.states(heads))
        except StreamUnavailable as exc:
            _LOG.debug("resuming clients wait: %s", exc)  # the readers say so aloud
            self._away_ns = self._monotonic_ns()
            return _RETRY_S
        sizes = (len(payload) for entries in found.values() for _, payload in entries)
        are_small = max(sizes, default=_SMALL_BYTES + 1) <= _SMALL_BYTES
        self._page = _MANY_ENTRIES if are_small else _ROUND_ENTRIES
        return 0.0

    async def _serve(self, ready: Sequence[_Guest]) -> float:
        is_idle = True
        for index, guest in enumerate(ready):
            if not guest.client.over:
                is_idle &= not self._try_to_serve(guest)
            if index % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        return _PAUSE_S if is_idle else 0.0

    def _try_to_serve(self, guest: _Guest) -> bool:
        try:
            return self._serve_one(guest)
        except Exception:  # noqa: BLE001 - one client's trouble must not end the others
            _LOG.exception("internal error while a client resumes; closing it")
            error = (messages.INTERNAL, "internal error; please try again")
            guest.client.close(CloseCode.INTERNAL_ERROR, "internal", error=error)
            return True

    def _serve_one(self, guest: _Guest) -> bool:
        """Send a guest what there is for it; whether there was anything to do."""
        client, resumer, recovery = guest.client, guest.resumer, self._ensure()
        now_ns = self._monotonic_ns()
        over = self._is_past(guest, self._limits.bound_s, now_ns)
        waited_ns = now_ns - max(guest.since_ns, self._away_ns)
        waited = waited_ns >= self._limits.wait_s * _SECOND_NS
        served = recovery.serve(resumer, waited=waited, over=over)
        if served.waits:
            return False
        if served.gaps:
            guest.outcome = "timeout" if over else "gap"
            for gap in served.gaps:
                client.reply(self._gap(gap, resumer.codec))
        if served.parts:
            self._deliver(client, served)
        if client.over:  # too slow for that
            return True
        if served.complete and (over or resumer.latest or client.unsent_bytes() < _READY_BYTES):
            self._join(guest)
            return True
        recovery.advance(resumer)
        if served.parts:
            self._mark_way(client, resumer)
        return bool(served.parts or served.gaps)

    def _mark_way(self, client: "Connection", resumer: Resumer) -> None:
        """A cursor on the way, in case that the client is cut again."""
        if client.style.cursor and not resumer.floors:  # of those it cannot tell
            if self._cursor[0] is not resumer.at:
                self._cursor = resumer.at, self._cursors.of(resumer.at)
            client.deliver(cursor_frame(self._cursor[1], resumer.codec))

    def _deliver(self, client: "Connection", served: Served) -> None:
        framed = served.framed.get(client.style)
        if framed is None:
            framed = self._fanout.hub.frame(client.style, served.parts)
            served.framed[client.style] = framed
        client.deliver(framed)
        self._metrics.batches.inc()
        self._metrics.deliveries.inc(sum(part.count for part in served.parts))

    def _join(self, guest: _Guest) -> None:
        """*guest* has all that was published up to this moment; from here on it is live."""
        request = guest.request
        running = [name for name in request.names if name[0] in CONFLATED]
        try:
            enter(guest.client, request, snapshot=running)
        except RequestError as exc:
            self._refuse(guest, exc)
        else:
            self._end(guest, guest.outcome)

    def _refuse(self, guest: _Guest, error: RequestError) -> None:
        """Symbols that came to be known meanwhile make a name ambiguous: nothing is subscribed."""
        guest.client.refuse(error.code, error.reason, error.refused)
        if guest.is_told:
            guest.client.reply(subscription(set(), guest.client.endpoint))
        self._end(guest, "refused")

    def _end(self, guest: _Guest, outcome: str) -> None:
        del self._guests[guest.client]
        self._ensure().plans.leave(guest.resumer.plan)
        self._metrics.resumes.labels(outcome).inc()
        for asked in guest.held:
            if not guest.client.over:
                take(guest.client, asked)

    def _is_past(self, guest: _Guest, bound_s: float, now_ns: int) -> bool:
        return now_ns - guest.since_ns >= bound_s * _SECOND_NS

    def _gap(self, gap: Gap, codec: Codec) -> dict[str, Any]:
        now_ns = self._now_ns()
        from_ns = min(gap.from_ms * _MS_NS or now_ns, now_ns)  # ingest's clock may be ahead
        return {
            "T": "gap",
            "S": gap.spelling,
            "from": time_value(from_ns, codec),
            "to": time_value(now_ns, codec),
            "state": "lost",
            "channels": [channel.value for channel in gap.channels],
        }
