"""Link: one connection to a Redis server; requests go out in order, replies come back in order.

The connection belongs to whoever opened it for as long as it lasts: there is no pool to ask and
nothing to probe before each command, which is half of what a command used to cost.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import hiredis

from storage.redis_url import Address, Credentials, Tls

Argument = bytes | str | int
Command = Sequence[Argument]
Reply = Any  # what the server sent, undecoded; a ResponseError where it refused
_MORE: Final = object()  # no reply is complete yet


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


class Link(asyncio.Protocol):
    """Many may send at once; the server answers in the order of sending.

    Requests whose sender no longer waits stay in line, and their replies are thrown away. What
    is in flight is bounded by its callers, who each wait for their replies.
    """

    def __init__(self, address: Address) -> None:
        """For :func:`open_link`."""
        self.address = address
        self._reader = hiredis.Reader(replyError=ResponseError, notEnoughData=_MORE)
        self._requests: deque[_Request] = deque()
        self._transport: asyncio.WriteTransport | None = None
        self._down = ""

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
        packed = [hiredis.pack_command(tuple(command)) for command in commands]  # type: ignore[arg-type]
        return self.send_packed(b"".join(packed), len(packed))

    def send_packed(self, packed: bytes, count: int) -> "asyncio.Future[list[Reply]]":
        """As :meth:`send`, of *count* commands that are packed already."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Reply]] = loop.create_future()
        if self._down or self._transport is None:
            future.set_exception(LinkDown(self._down or "not connected"))
        else:
            self._requests.append(_Request(count, future, loop.time()))
            self._transport.write(packed)
        return future

    def drop(self, reason: str) -> None:
        """End the connection now; every request in line fails with *reason*."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = transport  # type: ignore[assignment]  # streams have write transports

    def data_received(self, data: bytes) -> None:
        """Called by the loop: bring complete replies to whom they belong."""
        gets = self._reader.gets
        try:
            self._reader.feed(data)
            while (reply := gets()) is not _MORE:
                request = self._requests[0]
                request.replies.append(reply)
                if len(request.replies) == request.count:
                    self._requests.popleft()
                    if not request.future.done():
                        request.future.set_result(request.replies)
        except (hiredis.ProtocolError, IndexError) as exc:  # IndexError: it speaks unasked
            self.drop(f"it does not speak as Redis does: {exc}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._end(_words(exc) if exc else "the server closed the connection")

    def _end(self, reason: str) -> None:
        self._down = self._down or reason
        requests, self._requests = self._requests, deque()
        for request in requests:
            if not request.future.done():
                request.future.set_exception(LinkDown(self._down))
                request.future.exception()  # who gave up on it does not have to look


async def open_link(
    address: Address, *, credentials: Credentials, database: int, tls: Tls | None, timeout_s: float
) -> Link:
    """A connection to the server at *address*, logged in, its database chosen.

    Raises:
        LinkDown: within *timeout_s* there is none, or the server does not let us in.
    """
    commands: list[Command] = []
    if credentials.password:
        user = (credentials.user,) if credentials.user else ()
        commands.append(("AUTH", *user, credentials.password))
    if database:
        commands.append(("SELECT", database))
    link = Link(address)
    try:
        async with asyncio.timeout(timeout_s):
            await _connect(link, tls)
            replies = await link.send(commands) if commands else []
    except TimeoutError as exc:
        link.drop("no answer")
        raise LinkDown(f"no connection within {timeout_s:g} s") from exc
    except (OSError, ValueError) as exc:  # ValueError: a name that no resolver takes
        raise LinkDown(_words(exc)) from exc
    except asyncio.CancelledError:
        link.drop("given up")
        raise
    for reply in replies:
        if isinstance(reply, ResponseError):
            link.drop(str(reply))
            raise LinkDown(f"refused: {reply}")
    return link


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


async def _connect(link: Link, tls: Tls | None) -> None:
    loop = asyncio.get_running_loop()
    host, port = link.address
    if not port:
        await loop.create_unix_connection(lambda: link, host)
        return
    await loop.create_connection(lambda: link, host, port, ssl=tls_context(tls) if tls else None)


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
