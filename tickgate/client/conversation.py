"""What client and gateway say to each other: requests, replies, batches, cursors. Pure.

One conversation outlives many connections. It asks one thing at a time: first it shows who asks,
then it restores the whole set of subscriptions where the newest cursor stands, then it makes the
changes that were asked for. Data is held until the cursor behind it has come: only then does it
count as received, so that after a lost connection nothing is missing and nothing comes twice.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tickgate.client.errors import (
    AUTH_FAILED,
    NOT_AUTHENTICATED,
    AuthFailed,
    ClientError,
    Refused,
    SymbolRefused,
)
from tickgate.client.messages import Gap, Heartbeat, Message, Shutdown, Stale
from tickgate.client.wanted import (
    ByChannel,
    Wanted,
    as_said,
    blamed,
    by_symbol,
    ended,
    without,
)
from tickgate.client.wire import Cursor, Decoder, Encoding, Error, Subscription, Success

_ALREADY_AUTHENTICATED: Final = 403
_NOT_PERMITTED: Final = 409
_INTERNAL: Final = 500
_NO_ENTRY: Final = frozenset({NOT_AUTHENTICATED, AUTH_FAILED})
_OF_THE_CONNECTION: Final = frozenset({404, 406, 407})  # late, too many, slow: no one's answer
_RIGHTS_ENDED: Final = "what this caller may read has changed, and ends subscriptions"
_CURSOR_UNKNOWN: Final = frozenset({400, _INTERNAL})
_AT_ONCE: Final = frozenset({Heartbeat, Stale, Shutdown})  # not part of what a cursor counts
_CONTROL: Final = frozenset({Success, Subscription, Error, Cursor})


@dataclass(kw_only=True, eq=False)
class Ask:
    """A change of the set; ``done`` is told the outcome, an error or None, exactly once."""

    names: ByChannel
    adds: bool
    done: Callable[[ClientError | None], None]
    snapshot: bool = False


@dataclass(kw_only=True, eq=False)
class _Sent:
    """What was asked last and has no answer yet."""

    request: dict[str, Any]
    ask: Ask | None = None  # None: authentication, or the set is restored
    lost: bool = False  # the cursor is not known any more
    is_said: bool = False


@dataclass
class Received:
    """What one frame led to: requests to send, messages to hand on, the cursor behind them.

    ``problems`` are errors of the gateway that answer nothing which anybody waits for.
    """

    send: list[bytes | str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    problems: list[Refused] = field(default_factory=list)
    cursor: str = ""


class NotNow(ClientError):
    """The gateway cannot restore the set just now: the next connection asks for it again."""


class Conversation:
    """See the module. ``complaint`` is what the gateway said last before it ended a connection."""

    def __init__(
        self, *, encoding: Encoding, options: dict[str, Any] | None = None, cursor: str = ""
    ) -> None:
        """*options* go into every subscription; *cursor* is where the first one goes on."""
        self._encoding = Encoding(encoding)
        self._decoder = Decoder(self._encoding)
        self._options = {**(options or {}), "cursor": True}
        self._wanted = Wanted()
        self._asks: deque[Ask] = deque()
        self._cursor, self._cursor_ns = cursor, 0
        self._held: list[Message] = []
        self._login: dict[str, str] | None = None
        self._sent: _Sent | None = None
        self._is_restored = self._has_subscribed = False
        self.has_begun = False
        self.complaint = ""

    @property
    def is_let_in(self) -> bool:
        """Has the gateway accepted the credentials, or asked for none?"""
        if not self.has_begun or self._login is not None:
            return False
        return not self._is_asked("auth")

    @property
    def is_waiting(self) -> bool:
        """Is an answer of the gateway due?"""
        return not self.has_begun or self._sent is not None

    @property
    def is_resuming(self) -> bool:
        """May that answer take a while?"""
        return self._sent is not None and "resume" in self._sent.request

    @property
    def subscriptions(self) -> ByChannel:
        """What the gateway has agreed to."""
        return self._wanted.by_channel()

    @property
    def has_subscriptions(self) -> bool:
        """Then heartbeats come."""
        return bool(self._wanted)

    def begin(self, login: dict[str, str] | None) -> None:
        """A new connection; *login* is the message that shows who asks, if any."""
        self._login, self._sent = login, None
        self._held.clear()
        self._is_restored = self._has_subscribed = self.has_begun = False
        self.complaint = ""

    def ask(self, ask: Ask) -> list[bytes | str]:
        """Make a change as soon as it is its turn; what is to be sent now."""
        self._asks.append(ask)
        return self._due()

    def withdraw(self, ask: Ask) -> None:
        """Nobody waits for *ask* any more; if it was sent, its outcome holds nevertheless."""
        is_sent = self._sent is not None and self._sent.ask is ask
        if ask in self._asks and not is_sent:
            self._asks.remove(ask)

    def log_in_again(self, login: dict[str, str]) -> list[bytes | str]:
        """Show new credentials on a connection that lives; what is to be sent now."""
        self._login = login
        return self._due()

    def fail(self, error: ClientError) -> None:
        """There is no further connection: every change that waits has failed."""
        asks, self._asks = self._asks, deque()
        for ask in asks:
            ask.done(error)

    def receive(self, payload: bytes | str, now_ns: int) -> Received:
        """Take in one frame.

        Raises:
            AuthFailed: the credentials are not accepted, or are missing.
            SymbolRefused: of the set that was accepted before nothing is left to this caller.
            NotNow: the set cannot be restored on this connection.
            WireError: it is no frame of the stream.
        """
        received = Received()
        for item in self._decoder.decode(payload):
            kind = type(item)
            if kind in _CONTROL:
                self._take_control(item, received, now_ns)
            elif kind in _AT_ONCE:
                received.messages.append(item)  # type: ignore[arg-type]
            else:
                self._held.append(item)  # type: ignore[arg-type]
        received.send = self._due()
        return received

    def _take_control(self, item: Any, received: Received, now_ns: int) -> None:
        if isinstance(item, Cursor):
            self._cursor, self._cursor_ns = item.c, now_ns
            received.messages += self._held
            received.cursor = item.c
            self._held.clear()
            return
        if isinstance(item, Success):
            self.has_begun = True
            if item.msg == "authenticated" and self._is_asked("auth"):
                self._sent = None
        elif isinstance(item, Subscription):
            self._confirm(item, received, now_ns)
        else:
            self._refuse(item, received)

    def _due(self) -> list[bytes | str]:
        """What is to be sent now: at most one request, and none while an answer is due."""
        if self._sent is None and self.has_begun:
            self._sent = self._next()
        if self._sent is None or self._sent.is_said:
            return []
        self._sent.is_said = True
        if self._encoding is Encoding.JSON:
            return [msgspec.json.encode(self._sent.request).decode()]
        return [msgspec.msgpack.encode(self._sent.request)]

    def _next(self) -> _Sent | None:
        """Who asks, then the whole set, then changes, one by one."""
        if self._login is not None:
            login, self._login = self._login, None
            return _Sent(request=dict(login))
        if not self._is_restored:
            self._is_restored = True
            if self._wanted:
                return _Sent(request=self._subscribe(self._wanted.by_channel()))
        if not self._asks:
            return None
        ask = self._asks[0]
        if ask.adds:
            return _Sent(request=self._subscribe(ask.names, snapshot=ask.snapshot), ask=ask)
        return _Sent(request={"action": "unsubscribe", **ask.names}, ask=ask)

    def _subscribe(self, names: ByChannel, *, snapshot: bool = False) -> dict[str, Any]:
        request = {"action": "subscribe", **names, **self._options}
        if snapshot:
            request["snapshot"] = True
        if self._cursor and not self._has_subscribed:
            request["resume"] = self._cursor
        return request

    def _confirm(self, agreed: Subscription, received: Received, now_ns: int) -> None:
        """The set is what the gateway says, also where it says so unasked."""
        before = self._wanted.by_channel()
        self._wanted.replace(as_said(msgspec.structs.asdict(agreed)))
        self._tell_ended(before, received)
        if not self._wanted:
            self._cursor = ""  # what begins after this begins anew
        sent = self._sent
        if sent is None or not self._is_answer(sent.request):
            return
        self._sent = None
        self._has_subscribed = self._has_subscribed or sent.request["action"] == "subscribe"
        if sent.lost:
            self._held += self._gaps(sent.request, now_ns)
        if sent.ask is not None:
            self._asks.popleft()
            sent.ask.done(None)

    def _tell_ended(self, before: ByChannel, received: Received) -> None:
        """Say what of the set *before* a right has ended for; nobody took that off.

        Raises:
            SymbolRefused: nothing else was in it: no data will come, and no heartbeat.
        """
        sent, left = self._sent, self._wanted.by_channel()
        is_taking_off = sent is not None and sent.request["action"] == "unsubscribe"
        gone = ended(before, left, _names(sent.request) if sent and is_taking_off else {})
        if not gone:
            return
        symbols, channels = blamed(gone, left)
        refusal = SymbolRefused(_NOT_PERMITTED, _RIGHTS_ENDED, symbols, channels)
        if not left:
            raise refusal
        received.problems.append(refusal)

    def _is_answer(self, request: dict[str, Any]) -> bool:
        """Is the set as *request* leaves it? One that is told unasked may come before the answer.

        Nothing else tells them apart. Where both are alike it does not matter which one it is.
        """
        if request["action"] == "auth":
            return False
        return self._wanted.is_after(_names(request), adds=request["action"] == "subscribe")

    def _is_asked(self, action: str) -> bool:
        return self._sent is not None and self._sent.request["action"] == action

    def _gaps(self, request: dict[str, Any], now_ns: int) -> list[Message]:
        """The client's own words for what nobody can give it any more."""
        return [
            Gap(symbol, self._cursor_ns, now_ns, "lost", channels)
            for symbol, channels in by_symbol(_names(request)).items()
        ]

    def _refuse(self, error: Error, received: Received) -> None:
        sent, words = self._sent, f"{error.msg} (code {error.code})"
        if sent is None or error.code in _OF_THE_CONNECTION | _NO_ENTRY | {_INTERNAL}:
            self.complaint = words  # the connection may end with it
        if error.code in _NO_ENTRY:
            raise AuthFailed(words, code=error.code)
        if sent is None or error.code in _OF_THE_CONNECTION:
            received.problems.append(Refused(error.code, error.msg))
            return
        if sent.request["action"] == "auth":
            self._refuse_login(error)
            return
        self._sent = None
        if sent.ask is None:
            self._refuse_set(sent, error, received)
        elif not self._begins_anew(sent, error):
            self._asks.popleft()
            is_passing = error.code == _INTERNAL
            sent.ask.done(Refused(error.code, error.msg) if is_passing else _refusal(error))

    def _refuse_login(self, error: Error) -> None:
        if error.code == _INTERNAL and not self._is_restored:
            return  # nobody can tell yet whether it is good: the gateway ends this connection
        self._sent = None
        if error.code not in (_ALREADY_AUTHENTICATED, _INTERNAL):
            raise AuthFailed(f"{error.msg} (code {error.code})", code=error.code)

    def _refuse_set(self, sent: _Sent, error: Error, received: Received) -> None:
        """What was agreed to before is not to be had (any more)."""
        if error.code != _INTERNAL and self._shrinks(error):
            received.problems.append(_refusal(error))
        elif not self._begins_anew(sent, error):
            if error.code == _INTERNAL:
                raise NotNow(self.complaint)
            raise _refusal(error)

    def _begins_anew(self, sent: _Sent, error: Error) -> bool:
        """Ask again without the cursor, where it may be that which is refused."""
        if "resume" not in sent.request or error.code not in _CURSOR_UNKNOWN:
            return False
        if error.symbols or error.channels:
            return False
        request = {name: value for name, value in sent.request.items() if name != "resume"}
        self._sent = _Sent(request=request, ask=sent.ask, lost=True)
        return True

    def _shrinks(self, error: Error) -> bool:
        """Restore the set without what *error* lists; False: nothing would be left, or gone."""
        whole = self._wanted.by_channel()
        left = without(whole, error.symbols, error.channels)
        if not left or left == whole:
            return False
        self._wanted.replace(left)
        self._is_restored = False
        return True


def _refusal(error: Error) -> SymbolRefused:
    return SymbolRefused(error.code, error.msg, error.symbols, error.channels)


def _names(request: dict[str, Any]) -> ByChannel:
    return {name: symbols for name, symbols in request.items() if isinstance(symbols, tuple)}
