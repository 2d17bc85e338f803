"""From an answer's bytes to the wire: validators, cache headers, compression."""

import asyncio
import enum
import gzip
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from aiohttp import web

from core.market.symbol import Symbol
from gateway.http.validators import entity_tag, is_known, packed_tag, takes_gzip

JSON: Final = "application/json"
_PACKED_TYPES: Final = frozenset({JSON, "text/csv", "text/plain"})
_MIN_PACKED: Final = 1_024  # bytes; smaller ones fit a packet anyway
_LEVEL: Final = 1  # 500 bars: 74 kB to 22 kB in 0.4 ms; level 6 makes them 19 kB in 1.6 ms
_THREAD_BYTES: Final = 131_072  # beyond it packing takes longer than the loop may be kept: 1 ms


class Life(enum.Enum):
    """For how long an answer stays right."""

    CLOSED = "closed"
    """Every window in it is over: until a late trade revises one, or a bar comes after all."""

    RUNNING = "running"
    """It shows the present: for a second at most."""

    NEVER = "never"
    """For this request alone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a data endpoint has to say to a request, ready to be sent or kept.

    ``symbols`` are those whose bars it was made of, whether there were any or not. ``span_ns``
    are the first and the last window start that may be in it, UNIX nanoseconds, inclusive; None:
    any bar of these symbols may change it.
    """

    body: bytes
    content_type: str
    symbols: tuple[Symbol, ...]
    life: Life
    span_ns: tuple[int, int] | None = None
    headers: tuple[tuple[str, str], ...] = ()  # kept in this process only: not of a CLOSED one


Handle = Callable[[web.Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class DataRoute:
    """A path whose GET is answered by an :class:`Answer`.

    The answer may depend on the target of the request, on what its caller may see, and on the
    header fields named in *vary*; on nothing else of it.
    """

    path: str
    handler: Handle
    vary: tuple[str, ...] = ()


@dataclass(slots=True)
class Ready:
    """An answer's bytes with what its headers need; packed when that is first asked for."""

    answer: Answer
    tag: str
    packed: bytes | None = field(default=None, init=False)

    @classmethod
    def of(cls, answer: Answer) -> "Ready":
        return cls(answer, entity_tag(answer.body))

    @property
    def packable(self) -> bool:
        """Is it worth to be packed?"""
        answer = self.answer
        return len(answer.body) >= _MIN_PACKED and answer.content_type in _PACKED_TYPES

    async def pack(self) -> bytes:
        """The gzip form; made once."""
        if self.packed is None:
            body = self.answer.body
            if len(body) > _THREAD_BYTES:
                self.packed = await asyncio.to_thread(_packed, body)
            else:
                self.packed = _packed(body)
        return self.packed


class Serving:
    """Makes request handlers of data routes."""

    def __init__(self, *, keys_required: bool) -> None:
        """*keys_required*: answers are for their caller alone, no shared cache may keep them."""
        scope = "private" if keys_required else "public"
        # A cache between us and the caller does not hear of a revision: a minute at most, and
        # nothing that shows the present without asking whether it still does.
        self._control: Final[Mapping[Life, str]] = {
            Life.CLOSED: f"{scope}, max-age=60",
            Life.RUNNING: f"{scope}, no-cache",
            Life.NEVER: "no-store",
        }
        self._credentials = ("Authorization", "APCA-API-KEY-ID") if keys_required else ()

    def handler(self, route: DataRoute) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """What aiohttp calls for *route*."""
        vary = ", ".join(("Accept-Encoding", *route.vary, *self._credentials))

        async def handle(request: web.Request) -> web.StreamResponse:
            ready = Ready.of(await route.handler(request))
            return await self._response(request, ready, vary)

        return handle

    async def _response(self, request: web.Request, ready: Ready, vary: str) -> web.Response:
        answer, fields = ready.answer, request.headers
        headers = {
            "Cache-Control": self._control[answer.life],
            "Vary": vary,
            **dict(answer.headers),
        }
        packed = ready.packable and takes_gzip(fields.get("Accept-Encoding", ""))
        headers["ETag"] = packed_tag(ready.tag) if packed else ready.tag
        if is_known(fields.get("If-None-Match", ""), headers["ETag"]):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        headers["Content-Type"] = answer.content_type
        if packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=await ready.pack() if packed else answer.body, headers=headers)


def _packed(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)
