"""Who may open the stream: refusals come before anything is made that costs."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from core.runtime.ports import MonotonicClock
from gateway import messages
from gateway.access.addresses import counted_as
from gateway.access.admission import Access
from gateway.connection import Limits
from gateway.metrics import GatewayMetrics
from gateway.refusals import ConnectionLimit, http_refusal
from gateway.roster import Roster
from gateway.sniff import Upgrade

_SECOND_NS: Final = 1_000_000_000
_HANDSHAKES: Final = b"GET /v1/stream"  # as nearly all of them begin
_MAX_FAST: Final = 10_000  # of these are refused at a glance; further ones at a second look
_MAX_LINGERING: Final = 1_000  # refused connections that may still read; beyond: closed at once
_MAX_IGNORED_BYTES: Final = 65_536  # from a client that was refused


class Door:
    """Answers upgrade requests: with a session, or with a refusal that costs little."""

    def __init__(  # noqa: PLR0913 - what it judges and answers by
        self,
        *,
        connect: Callable[[], asyncio.Protocol],
        roster: Roster,
        limits: Limits,
        access: Access,
        metrics: GatewayMetrics,
        monotonic_ns: MonotonicClock,
        secure: bool = False,
    ) -> None:
        """*connect* makes a session; connections are counted by *roster*; *secure*: by TLS."""
        self._connect, self.roster = connect, roster
        self._tally, self.monotonic_ns = roster.tally, monotonic_ns
        self._limits, self._access = limits, access
        self._too_many = ConnectionLimit(limits.max_connections_per_ip)
        self._too_fast = http_refusal(
            "429 Too Many Requests",
            f"more than {limits.handshakes_per_s} handshakes in this second from one address; "
            "try again in 1 s",
            secure=secure,
            headers={"Retry-After": "1"},
        )
        self._secure = secure
        self._second, self._fast = 0, set[str]()  # whoever was too fast in it
        self._errors = metrics.request_errors.labels(str(messages.CONNECTION_LIMIT))
        self._refused = {
            reason: metrics.refused.labels(reason)
            for reason in ("handshake_rate", "origin", "connection_limit")
        }

    def glance(self, head: bytes, address: str) -> bytes | None:
        """The refusal where one look at the beginning of a request is enough."""
        if not self._fast or not head.startswith(_HANDSHAKES):
            return None
        if counted_as(address) not in self._fast:
            return None
        if self.monotonic_ns() // _SECOND_NS != self._second:
            self._fast.clear()
            return None
        self._refused["handshake_rate"].inc()
        return self._too_fast

    def open(self, upgrade: Upgrade, address: str) -> asyncio.Protocol | bytes:
        """The session for *upgrade*, which came from *address*, or the answer that refuses it."""
        counted = counted_as(self._access.proxies.client(address, upgrade.fields))
        if self._is_fast(counted, address):
            self._refused["handshake_rate"].inc()
            return self._too_fast
        fields = upgrade.fields
        if not self._access.origins.admit(fields.get("origin"), fields.get("host", "")):
            self._refused["origin"].inc()
            return self._foreign(fields["origin"])
        answer = self._too_many.answer(upgrade) if self._is_full(counted) else None
        if answer is None:  # also for an odd request: the session finds what is wrong with it
            return self._connect()
        self._refused["connection_limit"].inc()
        self._errors.inc()
        return answer

    def _is_fast(self, counted: str, peer: str) -> bool:
        limit, now_ns = self._limits.handshakes_per_s, self.monotonic_ns()
        if not limit or not self._is_limited():
            return False
        if self._tally.hit(self._tally.mark("handshake", counted), 1, now_ns) <= limit:
            return False
        second = now_ns // _SECOND_NS
        if second != self._second or len(self._fast) >= _MAX_FAST:
            self._second, self._fast = second, set()
        if not self._access.proxies.trusts(peer):  # others come by way of it, too
            self._fast.add(counted)
        return True

    def _foreign(self, origin: str) -> bytes:
        message = f"pages from {origin[:80]!a} may not open this stream; see allowed_origins"
        return http_refusal("403 Forbidden", message, secure=self._secure)

    def _is_limited(self) -> bool:
        return self._access.guard.required or not self._limits.only_with_keys

    def _is_full(self, counted: str) -> bool:
        limit = self._limits.max_connections_per_ip if self._is_limited() else 0
        return bool(limit) and self._tally.total(self._tally.mark("ip", counted)) >= limit


class Refusable(asyncio.Protocol):
    """A connection that can be refused: its client has a moment to read the answer and to go."""

    __slots__ = ("_door", "_ignored_bytes", "_transport")
    _transport: asyncio.Transport

    def __init__(self, door: Door) -> None:
        self._door = door
        self._ignored_bytes = -1  # it is not refused yet

    def refuse(self, answer: bytes, received: int = 0) -> None:
        """Write *answer* and end this half; what still comes is not looked at.

        *received* bytes have come already.
        """
        self._ignored_bytes = received
        self._transport.write(answer)
        roster = self._door.roster
        if len(roster.refused) >= _MAX_LINGERING or not self._transport.can_write_eof():
            self._transport.close()
            return
        # Were all of it closed now, bytes that still come would make the kernel take back what
        # the client has not read yet.
        self._transport.write_eof()
        roster.refused.start(self, self._door.monotonic_ns())

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.roster.refused.stop(self)

    def data_received(self, data: bytes) -> None:
        self._ignored_bytes += len(data)
        if self._ignored_bytes > _MAX_IGNORED_BYTES:
            self._transport.abort()

    def abort(self) -> None:
        self._transport.abort()


class Refused(Refusable):
    """Takes over a connection that another protocol had, and refuses it."""

    __slots__ = ("_answer",)

    def __init__(self, door: Door, answer: bytes) -> None:
        super().__init__(door)
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not derive from it
        self.refuse(self._answer)
