"""From an answer to the wire: caches, one load for all who ask, validators, compression."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

import msgspec
from aiohttp import web

from core.runtime.ports import MonotonicClock
from gateway.access.caller import caller_of
from gateway.changes import Changes
from gateway.http.answer_cache import AnswerCache, Kept
from gateway.http.packing import pack
from gateway.http.ready import JSON, Answer, Life, Ready
from gateway.http.shared_answers import SharedAnswers
from gateway.http.validators import is_known, listed, takes_gzip

__all__ = ["JSON", "Answer", "DataRoute", "Life", "Serving"]

Handle = Callable[[web.Request], Awaitable[Answer]]
_CREDENTIALS: Final = "Authorization, APCA-API-KEY-ID, APCA-API-SECRET-KEY"
Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class DataRoute:
    """A path whose GET is answered by an :class:`Answer`.

    The answer may depend on the target of the request, on what its caller may read, and on the
    header fields named in *vary*; on nothing else of it. Unless *closes*, it is never CLOSED.
    """

    path: str
    handler: Handle
    vary: tuple[str, ...] = ()
    closes: bool = True


class RequestKey(NamedTuple):
    """What an answer depends on, besides the market."""

    target: str
    varying: tuple[str, ...]
    readable: tuple[str, ...]  # the patterns of an entitlement

    @property
    def words(self) -> tuple[str, ...]:
        """The same as text."""
        return self.target, *self.varying, *self.readable


class Directory(Protocol):
    """The part of :class:`gateway.http.ports.Market` that tells what names mean."""

    directory: int


class _Asked(msgspec.Struct, frozen=True, eq=False):
    """A request as the caches know it."""

    route: DataRoute
    request: web.Request
    key: RequestKey

    @classmethod
    def of(cls, route: DataRoute, request: web.Request) -> "_Asked":
        varying = tuple(listed(request.headers, name) for name in route.vary)
        readable = caller_of(request).symbols.patterns
        return cls(route, request, RequestKey(request.raw_path, varying, readable))


@dataclass(slots=True)
class _Flight:
    """A load that others wait for; *number* counts them all."""

    number: int
    landed: "asyncio.Future[Kept]"


class DataResponse(web.Response):
    """An answer that may be given again, as it is, while *kept* is right; set once it was."""

    kept: Kept | None = None
    key: RequestKey | None = None


@dataclass(kw_only=True)
class Serving:
    """Makes request handlers of data routes.

    An answer is looked up in this process, then in Redis where *shared* is given, then the
    route's handler is asked; of all who ask for the same at a time one does that, and the others
    wait. While *is_private*, answers are for their caller alone, and no shared cache may keep them.
    Nobody is given an answer that was on its way already when they asked, unless it is
    right still.
    """

    market: Directory
    changes: Changes
    monotonic_ns: MonotonicClock
    on_lookup: Callable[[str], None]
    is_private: Callable[[], bool]
    shared: SharedAnswers | None = None
    max_bytes: int
    cache: AnswerCache = field(init=False)
    _flights: dict[Hashable, _Flight] = field(default_factory=dict, init=False)
    _started: int = field(default=0, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.cache = AnswerCache(self.changes, max_bytes=self.max_bytes)

    def handler(self, route: DataRoute) -> Respond:
        """What aiohttp calls for *route*."""
        vary = ", ".join(("Accept-Encoding", *route.vary))

        async def handle(request: web.Request) -> web.StreamResponse:
            asked = _Asked.of(route, request)
            return await self._response(asked, await self._kept(asked), vary)

        return handle

    def ready(self, key: RequestKey, now_ns: int) -> Kept | None:
        """The answer to *key*, if one is in memory and right."""
        return self.cache.get(key, self.market.directory, now_ns)

    def on_hit(self, key: RequestKey, kept: Kept) -> None:
        """Count it; what is asked for twice is worth to be shared, and to be remembered."""
        self.on_lookup("hit")
        kept.again = True
        if not kept.shared and self.shared is not None:
            kept.shared = True
            self.shared.offer(key.words, kept)

    async def _kept(self, asked: _Asked) -> Kept:
        before = self._started
        while True:
            kept = self.ready(asked.key, self.monotonic_ns())
            if kept is not None:
                self.on_hit(asked.key, kept)
                return kept
            flight = self._flights.get(asked.key)
            if flight is None:
                self.on_lookup("load")
                return await self._load(asked)
            await asyncio.wait({flight.landed})  # does not cancel it when we are cancelled
            if flight.landed.cancelled():
                continue
            kept = flight.landed.result()
            if flight.number > before or self._is_right(kept):
                self.on_lookup("joined")
                return kept

    def _is_right(self, kept: Kept) -> bool:
        return self.cache.right(kept, self.market.directory, self.monotonic_ns())

    async def _load(self, asked: _Asked) -> Kept:
        self._started += 1
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        landed: asyncio.Future[Kept] = self._loop.create_future()
        self._flights[asked.key] = _Flight(self._started, landed)
        try:
            kept = await self._find(asked)
        except Exception as exc:
            landed.set_exception(exc)
            landed.exception()  # nobody may be waiting: that is no unhandled error
            raise
        else:
            landed.set_result(kept)
            if self._is_right(kept):
                self.cache.put(asked.key, kept)
            return kept
        finally:
            landed.cancel()  # only when we were cancelled is it not done yet
            del self._flights[asked.key]

    async def _find(self, asked: _Asked) -> Kept:
        """The answer from Redis, or made now."""
        if self.shared is not None and asked.route.closes:
            kept = await self.shared.find(asked.key.words, self.market.directory)
            if kept is not None:
                return kept
        directory, moment = self.market.directory, self.changes.moment()
        asked_ns = self.monotonic_ns()
        answer = await asked.route.handler(asked.request)
        basis = self.changes.basis(moment, answer.symbols, answer.span_ns)
        return Kept(Ready.of(answer), basis, directory, asked_ns)

    async def _response(self, asked: _Asked, kept: Kept, vary: str) -> web.Response:
        ready, fields, private = kept.ready, asked.request.headers, self.is_private()
        headers = {
            "Cache-Control": _control(ready.answer.life, private=private),
            "Vary": f"{vary}, {_CREDENTIALS}" if private else vary,
            **dict(ready.answer.headers),
        }
        packed = ready.packable and takes_gzip(listed(fields, "Accept-Encoding"))
        headers["ETag"] = ready.packed_tag if packed else ready.tag
        if is_known(listed(fields, "If-None-Match"), headers["ETag"]):
            response = DataResponse(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        else:
            headers["Content-Type"] = ready.answer.content_type
            if packed:
                headers["Content-Encoding"] = "gzip"
            body = await self._packed(asked, kept) if packed else ready.answer.body
            response = DataResponse(body=body, headers=headers)
        if kept.again:
            response.kept, response.key = kept, asked.key
        return response

    async def _packed(self, asked: _Asked, kept: Kept) -> bytes:
        if kept.ready.packed is None:
            await pack(kept.ready)
            self.cache.weigh_anew(asked.key, kept)
        return kept.ready.packed or b""


def _control(life: Life, *, private: bool) -> str:
    """A cache between us and a caller does not hear of a revision: it keeps nothing for long.

    What is closed for a minute at most, and nothing that shows the present without asking
    whether it still does.
    """
    if life is Life.NEVER:
        return "no-store"
    kept = "max-age=60" if life is Life.CLOSED else "no-cache"
    return f"{'private' if private else 'public'}, {kept}"
