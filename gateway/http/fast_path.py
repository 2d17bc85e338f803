"""Answers that are ready, to requests that came before, byte for byte: written at once.

The way through aiohttp costs ten times what it costs to write an answer that is in memory. So who
has learnt which bytes were a request for which answer gives that answer again, as long as it is
right: under the head that aiohttp sent, with the date and the caller's limits of now. It learns
what is asked for a second time. Every other request, and every one that is odd in any way, goes to
aiohttp as it came.
"""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from prometheus_client import Counter, Histogram

from core.market.timeframe import SECOND_NS
from gateway.access.caller import Caller, caller_of
from gateway.http.answer_cache import Kept
from gateway.http.errors import ApiError
from gateway.http.metrics import HttpMetrics
from gateway.http.serving import DataResponse, RequestKey, Serving

MAX_REQUEST: Final = 16_384  # bytes: 1,000 symbols fit; longer ones are not remembered
_MAX_BYTES: Final = 8 << 20  # of requests remembered; beyond: the oldest are forgotten
_OVERHEAD: Final = 3_000  # bytes of one besides itself, about
_LINE: Final = b"\r\n"
_END: Final = b"\r\n\r\n"
_VERSION: Final = b" HTTP/1.1"
_ODD: Final = (b"\ncontent-length", b"\ntransfer-encoding", b"\nupgrade", b"\nexpect")
_CONNECTION: Final = b"\nconnection:"
_KEEPS: Final = b"\nconnection: keep-alive\r\n"
_LIMITS: Final = frozenset({"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"})
_DATE: Final = "Date"

Admitted = tuple[Caller, Mapping[str, str]]
"""Whose request it is, and the headers that its answer is to have besides."""

Admit = Callable[[Mapping[str, str], str, str], Admitted | None]
"""Judges the headers (by names in lower case), the target and the address of a request: see
:meth:`gateway.access.admission.Access.admit`. Raises ApiError to refuse it; None: not that fast."""


def is_plain(data: bytes) -> bool:
    """Is *data* one whole request without a body, that leaves the connection open?"""
    if not data.startswith(b"GET /") or data.find(_END) != len(data) - len(_END):
        return False
    if len(data) > MAX_REQUEST or data.count(b"\n") != data.count(b"\r\n"):
        return False
    if not data.endswith(_VERSION, 0, data.find(_LINE)):
        return False
    lower = data.lower()
    if any(name in lower for name in _ODD):
        return False
    return lower.count(_CONNECTION) == lower.count(_KEEPS)


@dataclass(slots=True, eq=False)
class _Known:
    """What a request was answered by."""

    kept: "weakref.ref[Kept]"  # the cache decides how long it stays in memory
    key: RequestKey
    caller: Caller
    headers: Mapping[str, str]  # of the request; finds names in any case
    path: str  # as it was routed
    parts: tuple[bytes | str, ...]  # of the head; a name stands for a value that changes
    limits: int  # how many of these are of the caller's limits
    body: bool  # 200 with a body, else 304
    packed: bool
    requests: Counter
    seconds: Histogram


class Sent(NamedTuple):
    """An answer to be written."""

    head: bytes
    body: bytes


class FastPath:
    """Remembers requests and gives their answers again. One for each way into the application."""

    def __init__(self, serving: Serving, metrics: HttpMetrics, admit: Admit) -> None:
        self._serving, self._metrics, self._admit = serving, metrics, admit
        self._known: dict[bytes, _Known] = {}
        self._bytes = 0
        self._monotonic_ns = serving.monotonic_ns

    def __len__(self) -> int:
        return len(self._known)

    def answer(self, data: bytes, remote: str) -> Sent | None:
        """The answer to the request *data* from the address *remote*; None: ask aiohttp."""
        known = self._known.get(data)
        if known is None:
            return None
        started_ns = self._monotonic_ns()
        kept = self._serving.ready(known.key, started_ns)
        if kept is None or kept is not known.kept():
            self._forget(data)
            return None
        admitted = self._admitted(data, known, remote)
        if admitted is None:
            return None
        body = kept.ready.packed if known.packed else kept.ready.answer.body
        self._serving.on_hit(known.key, kept)
        known.requests.inc()
        known.seconds.observe((self._monotonic_ns() - started_ns) / SECOND_NS)
        return Sent(_head(known.parts, admitted), (body or b"") if known.body else b"")

    def learn(self, data: bytes, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """*data* was the *request* that *response*, which was sent, is the answer to."""
        if not isinstance(request, web.Request) or not isinstance(response, DataResponse):
            return
        kept, key = response.kept, response.key
        if kept is None or key is None or not response.keep_alive:
            return
        if self._serving.ready(key, self._monotonic_ns()) is not kept:
            return
        route = request.match_info.route.resource
        canonical = "unmatched" if route is None else route.canonical
        requests, seconds = self._metrics.of_request(canonical, response.status)
        parts = _parts(response)
        self._forget(data)
        self._bytes += len(data) + _OVERHEAD
        while self._bytes > _MAX_BYTES:
            self._forget(next(iter(self._known)))
        self._known[data] = _Known(
            kept=weakref.ref(kept),
            key=key,
            caller=caller_of(request),
            headers=request.headers,
            path=request.rel_url.path_safe,
            parts=parts,
            limits=sum(part in _LIMITS for part in parts),
            body=response.status == HTTPStatus.OK,
            packed="Content-Encoding" in response.headers,
            requests=requests,
            seconds=seconds,
        )

    def _forget(self, data: bytes) -> None:
        if self._known.pop(data, None) is not None:
            self._bytes -= len(data) + _OVERHEAD

    def _admitted(self, data: bytes, known: _Known, remote: str) -> Mapping[str, str] | None:
        """The headers of limits, where the request may be answered as it was before."""
        try:
            admitted = self._admit(known.headers, known.path, remote)
        except ApiError as error:  # aiohttp's way says so in words
            if error.status != HTTPStatus.TOO_MANY_REQUESTS:
                self._forget(data)  # else each further attempt would count twice
            return None
        if admitted is None or admitted[0] != known.caller or len(admitted[1]) != known.limits:
            return None
        return admitted[1]


def _parts(response: web.StreamResponse) -> tuple[bytes | str, ...]:
    """The head of *response* as aiohttp wrote it, in pieces between what changes."""
    status = HTTPStatus(response.status)
    parts: list[bytes | str] = []
    text = f"HTTP/1.1 {response.status} {response.reason or status.phrase}\r\n"
    for name, value in response.headers.items():
        if name == _DATE or name in _LIMITS:
            parts += [f"{text}{name}: ".encode(), name]
            text = "\r\n"
        else:
            text += f"{name}: {value}\r\n"
    return (*parts, f"{text}\r\n".encode())


def _head(parts: tuple[bytes | str, ...], limits: Mapping[str, str]) -> bytes:
    pieces = [part if isinstance(part, bytes) else _now(part, limits) for part in parts]
    return b"".join(pieces)


def _now(name: str, limits: Mapping[str, str]) -> bytes:
    return (rfc822_formatted_time() if name == _DATE else limits[name]).encode()


FAST_PATH: Final = web.AppKey("fast_path", FastPath)
"""Where an application has its own, for who listens for it."""
