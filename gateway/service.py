"""The gateway role's streaming half: listener, stream readers, fan-out and the role's report."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from aiohttp import web

from core.market.errors import TickgateError
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.readiness import Readiness
from gateway.access.admission import Access
from gateway.access.follow import KeyFollower
from gateway.access.jwks import JwksSource
from gateway.changes import Changes
from gateway.channels import Codec
from gateway.connection import WIRE_LOG, Connection, Limits, Shared
from gateway.cursor import CursorMaker
from gateway.door import Door
from gateway.drain import Drain, Pace, announce
from gateway.fanout import Fanout
from gateway.handshake import compressions
from gateway.http.state import LISTENER
from gateway.hub import Hub
from gateway.latecomers import Latecomers
from gateway.listener import Address, add_stream_routes, listening
from gateway.market import MarketState
from gateway.metrics import GatewayMetrics
from gateway.parsers import Parsers
from gateway.positions import Positions
from gateway.reader import Feeds, MarketReader, Streams
from gateway.recall import LoadSymbols, Recall
from gateway.reporter import Board, Identity, Reporter
from gateway.resume import ResumeLimits, Resumes
from gateway.ring import best_wire
from gateway.roster import SWEEP_S, Guest, Roster
from gateway.silence import Silence, heartbeats, staleness
from gateway.tally import Tally
from gateway.tally_memory import private
from gateway.tls import Certificate
from storage.stream_ranges import StreamRanges
from storage.streams import FeedInfo, StreamKeys

_LOG: Final = logging.getLogger(__name__)
_PING_S: Final = 1.0  # between two looks at whether the database is there
_MS_NS: Final = 1_000_000
_SLICE: Final = 256  # clients looked at before the loop sees to everything else
_SECOND_NS: Final = 1_000_000_000
DATABASE: Final = "database"  # the name of the dependency in /readyz


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewaySettings:
    """Plain values of the role."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0: a free one
    shared_port: bool = False  # several processes listen on it
    batch_ms: int = 100
    max_message_bytes: int = 16_384
    compression: bool = False
    io_uring: bool = True  # where the system has it
    max_symbols: int = 1_000  # per connection
    auth_timeout_s: float = 10.0
    request_timeout_s: float = 10.0  # for the head of a connection's first request
    ping_s: float = 25.0  # below the 30 s after which proxies commonly cut idle connections
    drain_s: float = 3.0  # for clients to answer the close at the end
    drain_pace: Pace = field(default_factory=Pace)
    limits: Limits = field(default_factory=Limits)
    resume: ResumeLimits = field(default_factory=ResumeLimits)


class _Registry:
    """The registry of feeds as the reader asks it; notes the venue of each, and what it trades."""

    def __init__(self, feeds: Feeds, *, market: MarketState, hub: Hub) -> None:
        self.venues: dict[str, str] = {}
        self._feeds, self._market, self._hub = feeds, market, hub

    async def feeds(self) -> list[FeedInfo]:
        found = await self._feeds.feeds()
        self.venues.update((info.feed, info.venue) for info in found)
        classes = {info.venue: False for info in found}
        classes.update((info.venue, True) for info in found if info.stocks)
        self._hub.carry(self._market.declare(classes))
        return found


@dataclass(kw_only=True)
class GatewayService:
    """Serves clients from the streams. Waits for Redis and the database, and says so.

    The caller opens and closes what is passed in. ``app`` is the HTTP API and the page; the
    stream's paths are added to it. ``ticks`` and ``bars`` are two stream readers.
    ``load_symbols`` gives the symbols of the database; it raises a TickgateError while that is
    away or has no schema yet, and is asked again. ``ping_database`` likewise raises one while the
    database is away: it is called each second, for `/readyz`. ``silence`` is told of the feeds
    here, and may be shown elsewhere. ``changes`` is told of closed bars, where somebody asks it.
    """

    name: ClassVar[str] = "gateway"

    settings: GatewaySettings
    identity: Identity
    app: web.Application
    market: MarketState
    access: Access
    stream_keys: StreamKeys
    ticks: Streams
    bars: Streams
    feeds: Feeds
    ranges: StreamRanges
    board: Board
    load_symbols: LoadSymbols
    readiness: Readiness
    metrics: GatewayMetrics
    now_ns: Clock
    monotonic_ns: MonotonicClock
    ping_database: Callable[[], Awaitable[None]] | None = None
    keys: KeyFollower | None = None
    jwks: JwksSource | None = None
    certificate: Certificate | None = None
    silence: Silence = field(default_factory=Silence)
    tally: Tally = field(default_factory=private)
    changes: Changes | None = None

    def __post_init__(self) -> None:
        self.port = 0  # where it listens, once it does
        self._draining = asyncio.Event()
        self._changed = asyncio.Event()  # the keys are others
        self._database_error: type[TickgateError] | None = None  # of the newest failure
        positions = Positions()
        cursors = CursorMaker(positions, self.stream_keys)
        self._fanout = self._make_fanout(cursors)
        self._roster = Roster(
            monotonic_ns=self.monotonic_ns,
            auth_timeout_s=self.settings.auth_timeout_s,
            request_timeout_s=self.settings.request_timeout_s,
            ping_s=self.settings.ping_s,
            tally=self.tally,
            heartbeat_s=self.silence.heartbeat_s,
            heartbeats=self._heartbeats,
        )
        self._registry = _Registry(self.feeds, market=self.market, hub=self._fanout.hub)
        self._recall = Recall(self.market, self.load_symbols)
        self._reader = self._make_reader(positions)
        self._resumes = Resumes(
            fanout=self._fanout,
            reader=self._reader,
            market=self.market,
            ranges=self.ranges,
            keys=self.stream_keys,
            cursors=cursors,
            metrics=self.metrics,
            now_ns=self.now_ns,
            monotonic_ns=self.monotonic_ns,
            limits=self.settings.resume,
        )
        self._reporter = Reporter(
            identity=self.identity,
            board=self.board,
            positions=self._reader.positions,
            fanout=self._fanout,
            market=self.market,
            roster=self._roster,
            readiness=self.readiness,
            now_ns=self.now_ns,
        )
        self._drain = Drain(
            fanout=self._fanout,
            roster=self._roster,
            monotonic_ns=self.monotonic_ns,
            pace=self.settings.drain_pace,
            answer_s=self.settings.drain_s,
        )
        self._fanout.on_written = self._on_written
        self._late = Latecomers(self.jwks.look_for if self.jwks is not None else None)
        self._shared = Shared(
            fanout=self._fanout,
            roster=self._roster,
            guard=self.access.guard,
            late=self._late,
            proxies=self.access.proxies,
            limits=self.settings.limits,
            metrics=self.metrics,
            monotonic_ns=self.monotonic_ns,
            extensions=compressions() if self.settings.compression else (),
            secure=self.certificate is not None,
            resumes=self._resumes,
            parsers=Parsers(max_size=self.settings.limits.max_inbound_bytes, logger=WIRE_LOG),
            on_change=self._reporter.on_change,
            on_subscribed=self._tell_stale,
        )
        self._door = Door(
            connect=self._connect,
            roster=self._roster,
            limits=self.settings.limits,
            access=self.access,
            metrics=self.metrics,
            monotonic_ns=self.monotonic_ns,
            secure=self.certificate is not None,
        )
        add_stream_routes(self.app, self._door)

    @property
    def unsent_bytes(self) -> int:
        """What the client that is furthest behind has still to be sent."""
        return self._roster.largest_unsent_bytes()

    def read_positions(self) -> dict[str, int]:
        """By stream key, the newest block number that was read, delivered or not."""
        return self._reader.positions.read()

    def begin_drain(self) -> None:
        self.readiness.down(LISTENER, "draining: nobody is let in any more")
        self._reporter.draining = True
        self._draining.set()

    async def run(self) -> None:
        """Serve until drained.

        Raises:
            ListenError: the port is in use, or must not be used.
        """
        settings = self.settings
        address = Address(
            host=settings.host,
            port=settings.port,
            shared=settings.shared_port,
            tls=None if self.certificate is None else self.certificate.context,
        )
        async with listening(address=address, app=self.app, door=self._door) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.tally.announce(self.identity.pid, listens=True)
            _LOG.info("listening on %s:%d", self.settings.host, self.port)
            with best_wire(allowed=settings.io_uring) as self._fanout.wire:
                await self._serve(server)

    async def _serve(self, server: asyncio.Server) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work, name=f"gateway {name}")
                for name, work in self._work().items()
            ]
            await self._draining.wait()
            for _ in range(2):  # one turn of the loop accepts who is through TCP's handshake
                await asyncio.sleep(0)
            server.close()
            await self._drain.run()
            for task in tasks:
                task.cancel()

    def _work(self) -> dict[str, Coroutine[Any, Any, None]]:
        return {
            "feeds": self._reader.follow_feeds(),
            "ticks": self._reader.read_ticks(),
            "bars": self._reader.read_bars(),
            "first cursors": self._tell_cursors(),
            "report": self._reporter.run(),
            "sweep": self._sweep(),
            "symbols": self._load(),
            "resumes": self._resumes.run(),
            "fan-out": self._fanout.watch(),
            "tokens": self._late.run(),
            "keys": self._follow_keys(),
            **({} if self.jwks is None else {"token keys": self.jwks.run()}),
            **({} if self.certificate is None else {"certificate": self.certificate.run()}),
        }

    async def _follow_keys(self) -> None:
        """Know the keys of the database as they are, and who has lost what it had."""
        if self.keys is None:
            await asyncio.Event().wait()
        else:
            self.keys.on_change = self._changed.set
            async with asyncio.TaskGroup() as group:
                group.create_task(self.keys.run(), name="gateway key store")
                group.create_task(self._review(), name="gateway key review")

    async def _review(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            async for guest in self._guests():
                guest.review()

    async def _tell_cursors(self) -> None:
        """Who subscribed before it was known where the streams stand has no cursor yet."""
        await self._reader.starts_known.wait()
        async for guest in self._guests():
            guest.bring_up_to_date()

    async def _guests(self) -> AsyncIterator[Guest]:
        for number, guest in enumerate(list(self._roster.guests), 1):
            yield guest
            if number % _SLICE == 0:
                await asyncio.sleep(0)

    async def _load(self) -> None:
        """Take in what the database knows, while the gateway serves; then watch that it stays."""
        work: Callable[[], Awaitable[None]] = self._load_once
        while True:
            if await self._reached(work):
                work = self._look_again
            await asyncio.sleep(_PING_S)

    async def _reached(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except TickgateError as exc:
            before, self._database_error = self._database_error, type(exc)
            news = self.readiness.down(DATABASE, str(exc))
            if news or type(exc) is not before:  # there, for example, but without the schema
                _LOG.warning("waiting for the database: %s", exc)
            return False
        if self.readiness.up(DATABASE):
            _LOG.info("the database is there")
        return True

    async def _load_once(self) -> None:
        found = await self.load_symbols()
        new = self.market.add_symbols(row.symbol for row in found)
        for row in found:
            if row.last_trade is not None:
                self.market.apply_trade(row.last_trade)
        self.market.complete = True
        self._fanout.hub.carry(new)

    async def _look_again(self) -> None:
        if self.ping_database is not None:
            await self.ping_database()
        await self._recall.look()

    async def _sweep(self) -> None:
        """The one periodic task: silence, time-outs, pings, slow clients, the numbers to show."""
        while True:
            due_ns = self.monotonic_ns() + int(SWEEP_S * _SECOND_NS)
            await asyncio.sleep(SWEEP_S)
            lag_s = max(0, self.monotonic_ns() - due_ns) / _SECOND_NS
            self.metrics.loop_lag_seconds.observe(lag_s)
            self._reporter.note_lag(lag_s)
            self.metrics.subscribers.set(self._fanout.hub.subscribers)
            self.metrics.refused_symbols.set(self.market.refused_symbols)
            await self._tell_silence()
            for guest in self._roster.expired(self.access.guard.now_ns()):
                guest.review()
            self._roster.sweep()
            self._reporter.on_written()  # a client may have caught up since

    async def _tell_silence(self) -> None:
        """Look at the feeds; tell the sessions of those that are stale now, or no more."""
        changed = self.silence.look(
            self.market.feeds(),
            self._registry.venues,
            now_ns=self.now_ns(),
            monotonic_ns=self.monotonic_ns(),
        )
        for state in changed:
            self.metrics.feed_stale.labels(state.feed).set(state.stale)
            listening = [guest for guest in self._roster.guests if guest.group is not None]
            await announce(listening, staleness(state))

    def _tell_stale(self, guest: Guest) -> None:
        """*guest* has subscribed: let it know what was said before it came."""
        for state in self.silence.stale():
            guest.notice(staleness(state))

    def _heartbeats(self) -> Mapping[Codec, bytes]:
        return heartbeats(self.silence.states(), self.now_ns())

    def _on_written(self) -> None:
        self._reporter.on_written()
        self._drain.close_due()

    def _connect(self) -> Connection:
        return Connection(self._shared)

    def _make_fanout(self, cursor: Callable[[], str]) -> Fanout:
        hub = Hub(
            market=self.market,
            interval_ms=self.settings.batch_ms,
            max_message_bytes=self.settings.max_message_bytes,
            max_symbols=self.settings.max_symbols,
            cursor=cursor,
        )
        return Fanout(
            hub=hub,
            metrics=self.metrics,
            now_ns=self.now_ns,
            monotonic_ns=self.monotonic_ns,
        )

    def _make_reader(self, positions: Positions) -> MarketReader:
        return MarketReader(
            positions=positions,
            ticks=self.ticks,
            bars=self.bars,
            feeds=self._registry,
            starts=self.ranges,
            keys=self.stream_keys,
            market=self.market,
            fanout=self._fanout,
            readiness=self.readiness,
            metrics=self.metrics,
            changes=self.changes or Changes(self.stream_keys.shards),
            now_ns=self.now_ns,
            monotonic_ns=self.monotonic_ns,
        )
