"""One port for WebSocket, HTTP and the page: each connection goes where its request belongs."""

import asyncio
import errno
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, cast

from aiohttp import web

from core.market.errors import TickgateError
from gateway.door import Door, Refusable, Refused
from gateway.endpoints import ENDPOINTS, StreamPaths
from gateway.http.errors import ApiError
from gateway.http.fast_path import FAST_PATH
from gateway.http.middlewares import error_response
from gateway.http.protocol import http_protocols
from gateway.sniff import First, Upgrade, sniff

_STREAM_PATHS: Final = StreamPaths()
_BACKLOG: Final = 4_096  # a whole fleet that reconnects at once; the kernel caps it at somaxconn
_HANDSHAKE_S: Final = 10.0  # of TLS
_KEEPALIVE_S: Final = 75.0  # idle HTTP connections, and later requests that stall


class ListenError(TickgateError):
    """The port cannot be had."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host, self.port, self.reason = host, port, reason
        super().__init__(host, port, reason)

    def __str__(self) -> str:
        return (
            f"cannot listen on {self.host}:{self.port}: {self.reason}; "
            "choose another --port, or stop the program that uses it"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where to listen; *shared*: with other processes of the same user that share it too.

    *tls*: what clients are shown; None: they speak without.
    """

    host: str
    port: int
    shared: bool = False
    tls: ssl.SSLContext | None = None


class FirstRequest(Refusable):
    """A new connection until its first request's head is complete; then somebody else's."""

    __slots__ = ("_address", "_head", "_http")

    def __init__(self, *, door: Door, http: Callable[[], asyncio.Protocol]) -> None:
        super().__init__(door)
        self._http = http
        self._head = b""
        self._address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is one without deriving from it
        self._transport = transport
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        self._door.roster.requests.start(self, self._door.monotonic_ns())

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.roster.requests.stop(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ignored_bytes >= 0:
            super().data_received(data)
            return
        self._head += data
        answer = self._door.glance(self._head, self._address)
        if answer is None:
            self._decide()
        else:
            self._settle(answer)

    def _decide(self) -> None:
        first = sniff(self._head, _STREAM_PATHS)
        if isinstance(first, Upgrade):
            self._settle(self._door.open(first, self._address))
        elif first is First.HTTP:
            self._settle(self._http())

    def _settle(self, answer: asyncio.Protocol | bytes) -> None:
        self._door.roster.requests.stop(self)
        if isinstance(answer, bytes):
            self.refuse(answer, len(self._head))
            self._head = b""
        else:
            hand_over(self._transport, answer, self._head)


def hand_over(transport: asyncio.Transport, protocol: asyncio.Protocol, received: bytes) -> None:
    """Let *protocol* have the connection, and what was read from it already.

    Frames that came in one piece with an upgrade request come after it, as a close that answers
    them can only be made once the handshake is through.
    """
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    head, end, rest = received.partition(b"\r\n\r\n")
    protocol.data_received(head + end)
    if rest:
        protocol.data_received(rest)


class _Rest:
    """Takes, in the place of aiohttp's own parser, what came behind an upgrade request."""

    def __init__(self) -> None:
        self.received = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.received += data
        return False, b""

    def feed_eof(self) -> None:
        """Called when aiohttp lets go of the connection."""


def take_over(request: web.Request, protocol: asyncio.Protocol) -> web.Response:
    """Move an upgrade request from a connection that aiohttp owns to *protocol*.

    Pooled HTTP clients send it on a kept-alive connection. aiohttp is told that the connection
    is lost to it, and forgets it; the answer that is returned goes nowhere.
    """
    handler, transport = request.protocol, request.transport
    rest = _Rest()
    if transport is not None:
        handler.set_parser(rest)  # type: ignore[arg-type]  # the two methods that are called
        handler.transport = None
        handler.connection_lost(None)
        hand_over(transport, protocol, _head_of(request) + rest.received)
    return web.Response()


def _head_of(request: web.Request) -> bytes:
    version = request.version
    line = f"{request.method} {request.raw_path} HTTP/{version.major}.{version.minor}\r\n"
    fields = [name + b": " + value + b"\r\n" for name, value in request.raw_headers]
    return b"".join((line.encode("latin-1"), *fields, b"\r\n"))


def _upgrade_of(request: web.Request) -> Upgrade:
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    return Upgrade.of((request.method, request.raw_path, version), request.headers.items())


def add_stream_routes(app: web.Application, door: Door) -> None:
    """Answer the stream's paths in *app*: upgrades are taken over, all else is refused."""

    async def stream(request: web.Request) -> web.StreamResponse:
        if "websocket" in request.headers.get("Upgrade", "").lower():
            answer = door.open(_upgrade_of(request), request.remote or "")
            if isinstance(answer, bytes):
                answer = Refused(door, answer)
            return take_over(request, answer)
        message = f"{request.path} is a WebSocket endpoint: send an upgrade request"
        return error_response(ApiError(426, message, {"Upgrade": "websocket"}))

    for endpoint in ENDPOINTS:
        app.router.add_get(endpoint.path, stream)


@asynccontextmanager
async def listening(
    *,
    address: Address,
    app: web.Application,
    door: Door,
) -> AsyncIterator[asyncio.Server]:
    """Serve until the block ends; then running HTTP requests have a moment to finish.

    Raises:
        ListenError: the port is in use, or must not be used.
    """
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=_KEEPALIVE_S, shutdown_timeout=2.0
    )
    await runner.setup()
    assert runner.server is not None  # after setup()
    http = http_protocols(runner.server, app.get(FAST_PATH))

    def first_request() -> FirstRequest:
        return FirstRequest(door=door, http=http)

    try:
        server = await _listen(first_request, address)
        try:
            yield server
        finally:
            server.close()
    finally:
        await runner.cleanup()


async def _listen(factory: Callable[[], asyncio.Protocol], address: Address) -> asyncio.Server:
    loop, host, port = asyncio.get_running_loop(), address.host, address.port
    try:
        return await loop.create_server(
            factory,
            host,
            port,
            backlog=_BACKLOG,
            reuse_port=address.shared,
            ssl=address.tls,
            ssl_handshake_timeout=_HANDSHAKE_S if address.tls else None,
        )
    except OSError as exc:
        in_use = exc.errno == errno.EADDRINUSE
        reason = "the port is in use" if in_use else str(exc.strerror or exc)
        raise ListenError(host, port, reason) from exc
