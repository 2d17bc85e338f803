"""One WebSocket client: handshake, requests, data frames, and its end. No task, no timer.

`websockets`' Sans-I/O protocol does the handshake and the control frames; data frames come
finished from the hub.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from websockets.exceptions import PayloadTooBig
from websockets.extensions import ServerExtensionFactory
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol, State

from core.runtime.ports import MonotonicClock
from gateway import messages
from gateway.access.grant import ANYBODY, Caller
from gateway.access.guard import Guard
from gateway.access.proxies import Proxies
from gateway.assembly import Assembly
from gateway.budget import Budget
from gateway.channels import Codec, Mode
from gateway.encode import control
from gateway.endpoints import NATIVE, endpoint_of
from gateway.fanout import Fanout
from gateway.frames import frame
from gateway.handshake import Handshake, requested_codec, shown_credentials
from gateway.latecomers import Latecomers
from gateway.messages import NOT_NAMED
from gateway.metrics import GatewayMetrics
from gateway.outlet import Outlet
from gateway.parsers import Parsers, let_go
from gateway.resume import Resumes
from gateway.roster import Roster
from gateway.routes import Group, Send
from gateway.session import handle_request, hello, review
from gateway.wire import hand_over

_LOG: Final = logging.getLogger(__name__)
WIRE_LOG: Final = logging.getLogger("websockets.gateway")  # chatter: two lines a connection
_PONG: Final = b"\x8a"  # first byte of a pong frame
_PING: Final = b"\x89\x00"  # a whole ping frame


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one client may do; the defaults are those of the settings."""

    max_inbound_bytes: int = 1_048_576
    messages_per_s: int = 20
    frames_per_s: int = 500  # with fragments, pings and pongs; far above what clients need
    slow_client_age_ns: int = 5_000_000_000
    slow_client_bytes: int = 1_048_576
    max_connections_per_ip: int = 0  # 0: no limit
    max_connections_per_key: int = 0  # 0: no limit
    handshakes_per_s: int = 0  # from one address; 0: no limit
    only_with_keys: bool = False  # addresses have no limits while no keys are asked for


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What all connections of a process share."""

    fanout: Fanout
    roster: Roster
    guard: Guard
    late: Latecomers
    limits: Limits
    metrics: GatewayMetrics
    monotonic_ns: MonotonicClock
    parsers: Parsers
    resumes: Resumes
    proxies: Proxies
    extensions: Sequence[ServerExtensionFactory] = ()
    secure: bool = False  # they come by TLS
    on_change: Callable[[], None] = lambda: None  # a subscription came or went
    on_subscribed: Callable[["Connection"], None] = lambda _: None  # it had none before

    def address_of(self, transport: asyncio.Transport, headers: Mapping[str, str]) -> str:
        """Of the client that speaks over *transport*, perhaps by way of a proxy."""
        peer = transport.get_extra_info("peername") or ("",)
        return self.proxies.client(str(peer[0]), headers)


class Connection(Outlet):
    """A client's connection, from its handshake request on.

    A client that is behind is judged by the age of its oldest unsent bytes, then by their number,
    and closed: error 407, code 1008. One of mode ``latest`` gets less often what is newest.
    """

    __slots__ = (
        "_budget",
        "_closed",
        "_core",
        "_frames",
        "_heard",
        "_message",
        "address",
        "authenticated",
        "caller",
        "endpoint",
        "group",
        "style",
    )

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self.shared = shared
        self.style = shared.fanout.hub.style(Codec.JSON)
        self.group: Group | None = None
        self.endpoint = NATIVE
        self.authenticated = False
        self.caller: Caller = ANYBODY
        self.address = ""
        # The protocol core while it has a state of its own: before the handshake is through, in
        # the middle of a frame or message, and from the close on. Else it is lent by the parsers.
        self._core: Protocol | None = Handshake(
            secure=shared.secure,
            extensions=shared.extensions,
            max_size=shared.limits.max_inbound_bytes,
            logger=WIRE_LOG,
        )
        self._budget: Budget | None = None  # None: full
        self._frames: Budget | None = None
        self._heard = True
        self._closed = ""  # why, once it is over
        self._message: Assembly | None = None

    @property
    def over(self) -> bool:
        """Is no more data to be sent?"""
        return bool(self._closed)

    @property
    def listens(self) -> bool:
        return self.group is not None or self.shared.resumes.has_told(self)

    @property
    def codec(self) -> Codec:
        """Of what is sent."""
        return self.style.codec

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.open(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.shut()
        self._over("lost")
        if self._core is not None:
            let_go(self._core)
        self.shared.roster.discard(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.shared.roster.blocked[self] = None

    def resume_writing(self) -> None:
        super().resume_writing()
        self.shared.roster.blocked.pop(self, None)
        self.make_up()

    def eof_received(self) -> bool:
        self._over("lost")
        core = self._own_core()
        core.receive_eof()
        self._send_control(core)
        return False

    def data_received(self, data: bytes) -> None:
        self._heard = True
        core = self._own_core()
        try:
            core.receive_data(data)
            self._on_events(core, deque(core.data_to_send()))
            if self.shared.parsers.give_back(core):
                self._core = None
        except Exception:  # noqa: BLE001 - one client's trouble must not end the others
            _LOG.exception("internal error while serving a client; closing it")
            self.close(CloseCode.INTERNAL_ERROR, "internal", error=(messages.INTERNAL, _INTERNAL))

    def on_message(self, payload: bytes, *, binary: bool) -> None:
        """A message is complete; the text of one that is not *binary* is UTF-8.

        Who asks on without reading the answers is not answered for ever.
        """
        limit = self.shared.limits.slow_client_bytes
        if self.unsent_bytes() > limit:
            self._close_slow("slow_bytes", f"more than {limit} bytes behind")
        else:
            handle_request(self, payload, binary=binary)

    # What the hub, the roster and the session call.

    def deliver(self, framed: bytes) -> None:
        """Send finished frames, in order; nothing once it is over."""
        hand_over(framed, (self,))

    def send_behind(self, framed: bytes) -> int:
        limit = self.shared.limits.slow_client_bytes
        if self.style.mode is Mode.ALL and self.unsent_bytes() > limit:
            self._close_slow("slow_bytes", f"more than {limit} bytes behind")
            return len(framed)
        return super().send_behind(framed)

    def offer(self, send: Send) -> None:
        if self._closed:
            return
        if self._unsent is None:
            self.push(send.framed())
        else:
            self.shared.metrics.conflated.inc(self.miss(send.parts))

    def make_up(self) -> None:
        """Send what was held while the client was behind: before what else it is sent."""
        parts = self.missed()
        if parts:
            self.deliver(self.shared.fanout.hub.frame(self.style, parts))

    def reply(self, message: dict[str, Any]) -> None:
        """Send one control message, alone in its array."""
        if not self._closed:
            if message["T"] == "error":
                self.shared.metrics.request_errors.labels(str(message["code"])).inc()
            self.push(frame(control(message, self.codec), self.codec))

    def refuse(
        self, code: int, reason: str, refused: Mapping[str, Sequence[str]] = NOT_NAMED
    ) -> None:
        """Send an error message; *refused* are the names of the request that it is about."""
        self.reply(messages.error(code, reason, refused, published=self.codec.plain))

    def close(self, code: int, why: str, *, error: tuple[int, str] | None = None) -> None:
        """Begin the closing handshake, after an error message where one is given."""
        if error is not None:
            self.refuse(*error)
        core = self._own_core()
        if core.state is State.OPEN:
            core.send_close(code, error[1][:100] if error else "")
        self._over(why)
        self._send_control(core)
        self.shared.roster.closing.start(self, self.shared.monotonic_ns())

    def check_pace(self, now_ns: int) -> None:
        since_ns, age_ns = self.unsent_since_ns(), self.shared.limits.slow_client_age_ns
        if since_ns is None or self._closed or self.style.mode is Mode.LATEST:
            return
        if now_ns - since_ns >= age_ns:
            self._close_slow("slow_age", f"more than {age_ns / 1e9:g} s behind")

    def ping(self) -> None:
        if self._closed:
            return
        if not self._heard:
            self._over("silent")
            self.abort()
            return
        self._heard = False
        self._budget = self._frames = None  # both are full again by now, and take up memory
        self.push(_PING)

    def expire(self) -> None:
        error = (messages.AUTH_TIMEOUT, "auth timeout")
        self.close(CloseCode.POLICY_VIOLATION, "auth", error=error)

    def heartbeat(self, framed: Mapping[Codec, bytes]) -> None:
        self.bring_up_to_date()  # so that it tells of no tick that is still to come
        self.notice(framed)

    def bring_up_to_date(self) -> None:
        if self.style.cursor and not self._closed:
            self.shared.fanout.bring_up_to_date(self)

    def notice(self, framed: Mapping[Codec, bytes]) -> None:
        # Some of the published SDKs take each message that they do not know for an error.
        if not (self._closed or self.codec.plain):
            self.push(framed[self.codec])

    def review(self) -> None:
        review(self)

    def say_goodbye(self) -> None:
        if not self._closed:
            self.make_up()
            self.close(CloseCode.SERVICE_RESTART, "drain")

    def abort(self) -> None:
        self._transport.abort()

    # Inside.

    def _own_core(self) -> Protocol:
        """The protocol core; from now on it is this connection's."""
        if self._core is None:
            self._core = self.shared.parsers.take()
        return self._core

    def _on_events(self, core: Protocol, pieces: deque[bytes]) -> None:
        """Answer in the order of what came: each ping has its pong first in *pieces*."""
        for event in cast("list[Any]", core.events_received()):
            if isinstance(event, Request):
                self._handshake(cast("Handshake", core), event)
            elif not self._closed:
                self._on_frame(event)
                if event.opcode is Opcode.PING and not self._closed:
                    self._write_control((pieces.popleft(),))
        self._on_violation(core)
        if self._closed:
            pieces = deque(piece for piece in pieces if piece[:1] != _PONG)
        self._write_control(pieces)
        self._send_control(core)

    def _handshake(self, core: Handshake, request: Request) -> None:
        codec = requested_codec(request)
        if codec is None:
            response = core.reject(400, "encoding: expected json or msgpack")
        else:
            response = core.accept(request)
            self.endpoint = endpoint_of(request.path.partition("?")[0]) or NATIVE
            codec = self.endpoint.codec(codec)
            self.style = self.shared.fanout.hub.style(codec, deflate=bool(core.extensions))
        core.send_response(response)
        self._send_control(core)
        if response.status_code != 101:
            self._closed = "handshake"
            return
        self.address = self.shared.address_of(self._transport, request.headers)
        self.shared.roster.add(self, self.address)
        self.shared.metrics.clients.inc()
        hello(self, shown_credentials(request))

    def _on_frame(self, received: Frame) -> None:
        now_ns, limits = self.shared.monotonic_ns(), self.shared.limits
        if self._frames is None:
            self._frames = Budget(limits.frames_per_s, now_ns)
        if not self._frames.take(now_ns):
            self._close_busy(f"more than {limits.frames_per_s} frames a second")
        elif received.opcode is Opcode.TEXT or received.opcode is Opcode.BINARY:
            self._message = Assembly(binary=received.opcode is Opcode.BINARY)
            self._on_part(self._message, received)
        elif received.opcode is Opcode.CONT and self._message is not None:
            self._on_part(self._message, received)
        elif received.opcode is Opcode.CLOSE:
            self._over("client")
        elif self.unsent_bytes() > limits.slow_client_bytes:  # it pings, and reads nothing
            self._close_slow("slow_bytes", f"more than {limits.slow_client_bytes} bytes behind")

    def _on_part(self, message: Assembly, received: Frame) -> None:
        try:
            message.add(bytes(received.data), last=received.fin)
        except UnicodeDecodeError:
            self.refuse(messages.INVALID_SYNTAX, "a text message is not UTF-8")
            self._own_core().fail(CloseCode.INVALID_DATA, "not UTF-8")
            self._over("protocol")
            return
        if received.fin:
            self._message = None
            self._complete(message)

    def _complete(self, message: Assembly) -> None:
        now_ns, rate = self.shared.monotonic_ns(), self.shared.limits.messages_per_s
        if self._budget is None:
            self._budget = Budget(rate, now_ns)
        if self._budget.take(now_ns):
            self.on_message(message.payload(), binary=message.binary)
        else:
            self._close_busy(f"more than {rate} messages a second")

    def _close_busy(self, reason: str) -> None:
        error = (messages.INVALID_SYNTAX, reason)
        self.close(CloseCode.POLICY_VIOLATION, "rate", error=error)

    def _close_slow(self, why: str, reason: str) -> None:
        """407 and the close come behind what is unsent, if the client still reads that soon."""
        error = (messages.SLOW_CLIENT, f"slow client: {reason}")
        self.close(CloseCode.POLICY_VIOLATION, why, error=error)
        self.shared.roster.closing.stop(self)
        self.shared.roster.lingering.start(self, self.shared.monotonic_ns())

    def _on_violation(self, core: Protocol) -> None:
        """The protocol core has found a violation and made its close frame: say why before it."""
        error = core.parser_exc
        if error is None or isinstance(error, EOFError):
            return
        limit = self.shared.limits.max_inbound_bytes
        if isinstance(error, PayloadTooBig):
            self.refuse(messages.INVALID_SYNTAX, f"message is larger than {limit} bytes")
        else:
            self.refuse(messages.INVALID_SYNTAX, f"protocol violation: {error}"[:200])
        self._over("protocol")

    def _send_control(self, core: Protocol) -> None:
        """Write what the protocol core has made since."""
        self._write_control(core.data_to_send())

    def _write_control(self, pieces: Iterable[bytes]) -> None:
        """Write pieces of the protocol core; an empty one is its end of stream."""
        for piece in pieces:
            if piece:
                self.push(piece)
            else:
                self._over("protocol")
                self.shared.roster.closing.start(self, self.shared.monotonic_ns())
                self._transport.close()

    def _over(self, why: str) -> None:
        """No more data for this client; its subscriptions end. Later calls change nothing."""
        if self._closed:
            return
        self._closed = why
        self.stop()
        self._message = None
        if self in self.shared.roster.guests:
            self.shared.metrics.clients.dec()
            self.shared.metrics.closed.labels(why).inc()
        self.shared.fanout.hub.leave(self)
        self.shared.roster.auth.stop(self)
        self.shared.on_change()


_INTERNAL: Final = "internal error; please try again"
