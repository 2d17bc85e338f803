"""Link: one connection to a Redis server; requests go out in order, replies come back in order.

redis-py makes the connection, packs what is sent and reads what is answered. The connection belongs
to whoever opened it for as long as it lasts: there is no pool to ask and nothing to probe before
each command, which is half of what a command used to cost.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

from redis import exceptions as said
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.connection import HiredisRespSerializer

from storage.redis_url import Address, Credentials, Tls

Argument = bytes | str | int
Command = Sequence[Argument]
Reply = Any  # what the server sent, undecoded; a ResponseError where it refused
_RESP: Final = 2  # the protocol that every server speaks without a HELLO
_CLOSED: Final = "the server closed the connection"
_READ_BYTES: Final = 256 * 1024  # taken at once from what has come in
_SERIALIZER: Final = HiredisRespSerializer()  # has no state
_LARGE_BYTES: Final = 6_000  # of an argument; redis-py's other serializer does not copy those


class ResponseError(Exception):
    """The server refused a command; the text begins with the kind of refusal."""

    @property
    def kind(self) -> str:
        """The first word: ``OOM``, ``MOVED``, ``READONLY`` and so on."""
        return str(self).partition(" ")[0]


class LinkDown(Exception):
    """The connection is gone, or the server does not answer on it."""


class _Request:
    """Replies still to come, and who waits for them."""

    __slots__ = ("count", "future", "replies", "sent_s")

    def __init__(self, count: int, future: "asyncio.Future[list[Reply]]", sent_s: float) -> None:
        self.count, self.future, self.sent_s = count, future, sent_s
        self.replies: list[Reply] = []


class _Wire(AbstractConnection):
    """A connection of redis-py that is written to without waiting, and can be cut.

    What redis-py offers for both may wait, and its waiting sender ends the connection of all
    others when it gives up.
    """

    def pack_command(self, *args: Any) -> list[bytes]:
        """By redis-py's fast serializer, unless there is much to copy: payloads come last."""
        if isinstance(args[-1], bytes) and len(args[-1]) > _LARGE_BYTES:
            return super().pack_command(*args)
        return cast("list[bytes]", _SERIALIZER.pack(*args))

    @property
    def open(self) -> bool:
        """Can be written to, as far as is known."""
        return self._writer is not None and not self._writer.is_closing()

    def write(self, commands: Sequence[Command]) -> None:
        """Pack and send; what the network does not take yet is kept."""
        if self._writer is not None:
            pack = self.pack_command
            self._writer.writelines([part for command in commands for part in pack(*command)])

    def cut(self) -> None:
        """End the connection now, whatever is still to be sent; reading fails."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.transport.abort()


class _TcpWire(_Wire, Connection):
    """By TCP."""


class _TlsWire(_Wire, SSLConnection):
    """By TLS."""


class _UnixWire(_Wire, UnixDomainSocketConnection):
    """By a socket of this machine."""


class Link:
    """Many may send at once; the server answers in the order of sending.

    Requests whose sender no longer waits stay in line, and their replies are thrown away. What
    is in flight is bounded by its callers, who each wait for their replies.
    """

    def __init__(self, address: Address, wire: _Wire) -> None:
        """For :func:`open_link`; *wire* is connected."""
        self.address = address
        self._wire = wire
        self._requests: deque[_Request] = deque()
        self._down = ""
        # No TaskGroup could own it: it lives as long as the connection, and ends with it.
        loop = asyncio.get_running_loop()
        self._reading = loop.create_task(self._read(), name=f"replies of {address}")

    @property
    def usable(self) -> bool:
        """Is the connection there, as far as is known?"""
        return not self._down

    @property
    def waiting_since_s(self) -> float:
        """When the oldest request without its replies was sent, by the loop's time."""
        return self._requests[0].sent_s if self._requests else float("inf")

    def send(self, commands: Sequence[Command]) -> "asyncio.Future[list[Reply]]":
        """Send *commands* in one go; the future brings their replies, or raises :class:`LinkDown`.

        Give up on it by leaving it alone; it need not be cancelled.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Reply]] = loop.create_future()
        if self._down or not self._wire.open:
            future.set_exception(LinkDown(self._down or _CLOSED))
        else:
            self._wire.write(commands)
            self._requests.append(_Request(len(commands), future, loop.time()))
        return future

    def drop(self, reason: str) -> None:
        """End the connection now; every request in line fails with *reason*."""
        self._down = self._down or reason
        self._wire.cut()
        self._reading.cancel()  # else nobody might hold it any more when the end is told to it
        requests, self._requests = self._requests, deque()
        for request in requests:
            if not request.future.done():
                request.future.set_exception(LinkDown(self._down))
                request.future.exception()  # who gave up on it does not have to look

    async def _read(self) -> None:
        """Bring replies to whom they belong, until the connection ends."""
        reason = "given up"
        read = self._wire.read_response
        try:
            while True:
                try:
                    reply = await read(disable_decoding=True, disconnect_on_error=False)
                except said.RedisError as exc:
                    reply = _refusal(exc)
                    if reply is None:
                        raise
                self._answer(reply)
        except (said.InvalidResponse, ValueError) as exc:
            # ValueError: it sends us to a place that is none, or speaks unasked
            reason = f"it does not speak as Redis does: {exc}"
        except said.RedisError as exc:
            reason = _why(exc)
        finally:
            self.drop(reason)

    def _answer(self, reply: Reply) -> None:
        if not self._requests:
            raise ValueError(f"nobody asked for {reply!r}")
        request = self._requests[0]
        request.replies.append(reply)
        if len(request.replies) == request.count:
            self._requests.popleft()
            if not request.future.done():
                request.future.set_result(request.replies)


async def open_link(
    address: Address, *, credentials: Credentials, database: int, tls: Tls | None, timeout_s: float
) -> Link:
    """A connection to the server at *address*, logged in, its database chosen.

    Raises:
        LinkDown: within *timeout_s* there is none, or the server does not let us in.
    """
    try:
        wire = _make_wire(address, credentials, database, tls, timeout_s)
    except OSError as exc:
        raise LinkDown(_words(exc)) from exc
    with contextlib.ExitStack() as undo:
        undo.callback(wire.cut)
        await _connect(wire, timeout_s)
        undo.pop_all()
    return Link(address, wire)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What *tls* asks for; reads its files.

    Raises:
        OSError: a file is not there or is none that is wanted (ssl.SSLError is one).
    """
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file or None)
    return context


def _make_wire(
    address: Address, credentials: Credentials, database: int, tls: Tls | None, timeout_s: float
) -> _Wire:
    options: dict[str, Any] = {
        "db": database,
        "password": credentials.password or None,
        "username": (credentials.user or None) if credentials.password else None,
        "protocol": _RESP,
        "driver_info": None,  # it would be told by a command that few users may give
        "socket_timeout": None,  # how long is waited for a reply is its sender's to say
        "socket_connect_timeout": timeout_s,
        "socket_read_size": _READ_BYTES,
    }
    host, port = address
    if not port:
        return _UnixWire(path=host, **options)
    if tls is None:
        return _TcpWire(host=host, port=port, **options)
    wire = _TlsWire(host=host, port=port, **options)
    # redis-py's own would trust the system's authorities besides the one that is named.
    wire.ssl_context.context = tls_context(tls)
    return wire


async def _connect(wire: _Wire, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await wire.connect()  # type: ignore[no-untyped-call]
    except (TimeoutError, said.TimeoutError) as exc:
        raise LinkDown(f"no connection within {timeout_s:g} s") from exc
    except said.RedisError as exc:
        raise LinkDown(_why(exc)) from exc


def _refusal(error: said.RedisError) -> ResponseError | None:
    """What the server said, word by word; None: it is not the server that speaks.

    redis-py takes the first word off for the kinds that it knows, and reports some of them as if
    the connection had failed.
    """
    if error.status_code:
        return ResponseError(f"{error.status_code} {error}".rstrip())
    return ResponseError(str(error)) if isinstance(error, said.ResponseError) else None


def _why(error: said.RedisError) -> str:
    """Why there is no connection any more, or none came to be: by what redis-py ran into."""
    inner = error.__cause__ or error.__context__
    if isinstance(inner, OSError):
        return _words(inner)
    if isinstance(inner, said.RedisError):
        error = inner
    refusal = _refusal(error)
    return f"refused: {refusal}" if refusal else _words(error)


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
