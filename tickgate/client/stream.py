"""An open stream: subscribe, iterate over messages; it comes back by itself."""

import asyncio
import inspect
import logging
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, Unpack

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from tickgate.client.address import Credentials, is_local, shown, stream_url
from tickgate.client.causes import passing_reason, reason_of
from tickgate.client.conversation import Ask, Conversation, NotNow
from tickgate.client.errors import AuthFailed, ClientError, Refused, StreamClosed, Unreachable
from tickgate.client.inbox import Inbox
from tickgate.client.messages import Gap, Message
from tickgate.client.state import State
from tickgate.client.tokens import renewal_s
from tickgate.client.wanted import Channels, by_channel
from tickgate.client.wire import Encoding, WireError

if TYPE_CHECKING:
    from tickgate.client.opening import connect

log = logging.getLogger(__name__)

_ANSWER_S: Final = 10.0  # a gateway that works answers a request within milliseconds
_RESUME_S: Final = 75.0  # while Redis is away a resume may wait for 60 s
_MISSED_HEARTBEATS: Final = 2.5
_CLOSE_S: Final = 2.0
_MAX_FRAME: Final = (
    16 << 20
)  # bytes; frames of data are far smaller, a long subscription's reply not
_REQUESTS_PER_S: Final = 10  # the gateway takes 20


class _NoToken(ClientError):
    """The caller's function gave no token, this time."""


_PASSING: Final = (NotNow, WireError, _NoToken)


class Stream:
    """An open stream: subscribe, and iterate over what comes. One task iterates at a time."""

    def __init__(self, options: "connect") -> None:
        encoding = Encoding(options.encoding)
        self._options = options
        self._url = stream_url(options.url, encoding)
        wishes = {"mode": options.mode, "interval_ms": options.interval_ms}
        self._conversation = Conversation(
            encoding=encoding,
            options={name: value for name, value in wishes.items() if value is not None},
            cursor=options.resume,
        )
        self._inbox = Inbox(options.max_queued)
        self._inbox.cursor = options.resume
        self._socket: ClientConnection | None = None
        self._failure: ClientError | None = None
        self._is_closed = False
        self._renew_at_s: float | None = None  # by the loop's clock
        # Not bounded by itself: whoever asks waits for the answer before asking again.
        self._outbox: asyncio.Queue[tuple[ClientConnection, bytes | str]] = asyncio.Queue()
        self._requests: deque[float] = deque(maxlen=_REQUESTS_PER_S)
        self._asked_s = -math.inf  # by the loop's clock
        self._heard = False
        self.state = State()

    @property
    def cursor(self) -> str:
        """Where the messages that were taken end; store it, and give it to ``resume=`` later.

        It moves batch by batch: with the last message of a batch it covers all of them.
        """
        return self._inbox.cursor

    @property
    def queued(self) -> int:
        """Messages that have come and were not taken yet."""
        return len(self._inbox)

    @property
    def subscriptions(self) -> dict[str, tuple[str, ...]]:
        """What the gateway has agreed to, by channel as on the wire.

        It shrinks when the gateway takes a symbol from the rights of this caller.
        """
        return self._conversation.subscriptions

    async def subscribe(self, *, snapshot: bool = False, **channels: Unpack[Channels]) -> None:
        """Add symbols to channels; returns once the gateway has agreed.

        While the connection is lost that takes until it is back. With *snapshot* the last trade
        and the running bar of each symbol come first, as far as there are any.

        Raises:
            SymbolRefused: a symbol is ill-formed, ambiguous or not allowed; nothing has changed.
            StreamClosed, Unreachable, AuthFailed: the stream has ended.
            TypeError: a channel that there is not.
        """
        await self._change(channels, adds=True, snapshot=snapshot)

    async def unsubscribe(self, **channels: Unpack[Channels]) -> None:
        """Take symbols off channels, as they were spelled; what is on its way still comes.

        Raises: as :meth:`subscribe`.
        """
        await self._change(channels, adds=False)

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        """The next message.

        Raises:
            AuthFailed, Unreachable, SymbolRefused: what ended the stream, behind its last message.
        """
        message = await self._inbox.get()
        if message is None:
            if self._failure is not None:
                raise self._failure
            raise StopAsyncIteration
        if type(message) is Gap and self._options.on_gap is not None:
            outcome = self._options.on_gap(message)
            if inspect.isawaitable(outcome):
                await outcome
        return message

    async def __aenter__(self) -> Self:
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._tasks = (
            self._group.create_task(self._run(), name="tickgate stream"),
            self._group.create_task(self._send(), name="tickgate stream requests"),
        )
        try:
            async with asyncio.timeout(self._options.first_s):
                await asyncio.shield(self._opened)
        except TimeoutError:
            # The last cause: what follows ends the stream, and has none.
            reason = self.state.reason or f"no answer for {self._options.first_s:g} s"
            await self.__aexit__(None, None, None)
            raise Unreachable(shown(self._url), reason) from None
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the connection. An error of the block leaves it as it is, in no group."""
        for task in self._tasks:
            task.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # of a callback: one task calls any
        finally:
            self._end(StreamClosed())
            self._failure = None
        self._tell(State("closed"))

    async def _change(self, channels: Channels, *, adds: bool, snapshot: bool = False) -> None:
        if self._is_closed:
            raise self._failure or StreamClosed()
        names = by_channel(channels)
        if not names:
            return
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ask = Ask(names=names, adds=adds, snapshot=snapshot, done=partial(_resolve, answer))
        self._post(self._conversation.ask(ask))
        try:
            with self._inbox.hurried():
                await answer
        finally:
            self._conversation.withdraw(ask)

    def _post(self, requests: list[bytes | str]) -> None:
        """Have *requests* sent on this connection, whether or not who asks goes on waiting."""
        for request in requests:
            self._asked_s = asyncio.get_running_loop().time()
            if self._socket is not None:
                self._outbox.put_nowait((self._socket, request))

    async def _send(self) -> None:
        """Send in turn, below what a gateway takes from one connection in a second."""
        loop = asyncio.get_running_loop()
        while True:
            socket, request = await self._outbox.get()
            if len(self._requests) == _REQUESTS_PER_S:
                await asyncio.sleep(self._requests[0] + 1.0 - loop.time())
            if socket is not self._socket:
                continue  # the connection after it asks for everything in its own order
            self._requests.append(loop.time())
            self._asked_s = loop.time()
            with suppress(ConnectionClosed):  # who reads finds out, and everything comes again
                await socket.send(request)

    async def _run(self) -> None:
        """Connect, again and again; ends with the error that makes it useless."""
        try:
            await self._keep_connected()
        except ClientError as exc:
            self._end(exc)

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            self._heard = False
            reason = await self._one_connection()
            if self._heard:
                attempt = 0
            limit = self._options.max_attempts
            if limit is not None and attempt >= limit:
                raise Unreachable(shown(self._url), reason)
            wait_s = self._options.backoff.wait_s(attempt, random.random())
            attempt += 1
            self._tell(State("lost", reason, attempt, wait_s))
            await asyncio.sleep(wait_s)

    async def _one_connection(self) -> str:
        """From connecting to the loss; the reason of it.

        Raises:
            ClientError: trying again would be of no use.
        """
        options = self._options
        self._conversation.complaint = ""  # that was about another connection
        try:
            login = await self._login()
            async with open_socket(
                self._url,
                compression="deflate" if options.compression else None,
                max_size=_MAX_FRAME,
                open_timeout=_ANSWER_S,
                close_timeout=_CLOSE_S,
                proxy=None if is_local(self._url) else True,
                ping_interval=None,  # heartbeats tell; a reader that stops must not look dead
                ssl=options.ssl or (True if self._url.startswith("wss:") else None),
            ) as socket:
                self._socket = socket
                await self._converse(socket, login)
        except InvalidStatus as exc:
            return passing_reason(exc)
        except (OSError, TimeoutError, WebSocketException, *_PASSING) as exc:
            return self._conversation.complaint or reason_of(exc)
        finally:
            self._socket = None
        return self._conversation.complaint or "the gateway closed the connection"

    async def _login(self) -> dict[str, str] | None:
        options = self._options
        token = await self._token() if callable(options.token) else options.token
        return Credentials(options.key, options.secret, token).message()

    async def _token(self) -> str:
        """A new token, and when the next one will be due.

        Raises:
            _NoToken: the caller's function failed.
        """
        assert callable(self._options.token)
        self._renew_at_s = None
        try:
            async with asyncio.timeout(_ANSWER_S):
                given = self._options.token()
                token = await given if inspect.isawaitable(given) else given
        except Exception as exc:
            raise _NoToken(f"no token: {exc!r}") from exc
        if not isinstance(token, str):
            raise TypeError(f"token: the function gave {token!r}; expected text")
        left_s = renewal_s(token, time.time_ns() / 1e9)
        now_s = asyncio.get_running_loop().time()
        self._renew_at_s = None if left_s is None else now_s + left_s
        return token

    async def _converse(self, socket: ClientConnection, login: dict[str, str] | None) -> None:
        self._conversation.begin(login)
        renewal = self._group.create_task(self._renew(), name="tickgate stream token")
        try:
            await self._read(socket)
        finally:
            renewal.cancel()

    async def _read(self, socket: ClientConnection) -> None:
        conversation = self._conversation
        was_let_in = False
        while True:
            payload = await self._receive(socket)
            try:
                received = conversation.receive(payload, time.time_ns())
            except AuthFailed:
                if was_let_in and callable(self._options.token):
                    return  # it has expired: the next connection shows a new one
                raise
            for problem in received.problems:
                self._tell_problem(problem)
            self._post(received.send)
            if not was_let_in and conversation.is_let_in:
                was_let_in = True
                self._let_in()
            self._heard = self._heard or bool(received.messages)
            await self._inbox.put(received.messages, received.cursor)

    async def _renew(self) -> None:
        """Show a new token whenever the old one is about to expire; reading goes on meanwhile."""
        loop = asyncio.get_running_loop()
        while self._renew_at_s is not None:
            await asyncio.sleep(self._renew_at_s - loop.time())
            with suppress(_NoToken):  # with the old one the gateway ends the connection later
                login = await self._login()
                if login is not None:
                    self._post(self._conversation.log_in_again(login))

    async def _receive(self, socket: ClientConnection) -> bytes | str:
        """The next frame.

        How long to wait for it changes when something is asked meanwhile, so it is looked at again
        at least as often as an answer may take.
        """
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        while True:
            deadline_s, look_s = self._deadline_s(since_s), loop.time() + _ANSWER_S
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(look_s, deadline_s or look_s)):
                    return await socket.recv()
            deadline_s = self._deadline_s(since_s)
            if deadline_s is not None and loop.time() >= deadline_s:
                socket.transport.abort()  # who is silent does not answer a close either
                raise TimeoutError(f"nothing was heard for {self._patience_s():g} s")

    def _deadline_s(self, since_s: float) -> float | None:
        """When a connection that is silent since then, or since the last request, is dead."""
        patience_s = self._patience_s()
        return None if patience_s is None else max(since_s, self._asked_s) + patience_s

    def _patience_s(self) -> float | None:
        conversation = self._conversation
        if conversation.is_resuming:
            return _RESUME_S
        if conversation.is_waiting:
            return _ANSWER_S
        if conversation.has_subscriptions and self._options.heartbeat_s > 0:
            return self._options.heartbeat_s * _MISSED_HEARTBEATS
        return None

    def _let_in(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)
        self._tell(State("live"))

    def _end(self, error: ClientError) -> None:
        """No further connection, and *error* for everybody who waits."""
        self._is_closed = True
        if self._failure is None:
            self._failure = error
        self._conversation.fail(error)
        self._inbox.close()
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # whoever waits raises it; it is no news for the loop

    def _tell(self, state: State) -> None:
        self.state = state
        log.debug("%s: %s", shown(self._url), state)
        if self._options.on_state is not None:
            self._options.on_state(state)

    def _tell_problem(self, problem: Refused) -> None:
        log.warning("%s: %s", shown(self._url), problem)
        if self._options.on_problem is not None:
            self._options.on_problem(problem)


def _resolve(answer: "asyncio.Future[None]", error: ClientError | None) -> None:
    if answer.done():
        return  # nobody waits any more
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
