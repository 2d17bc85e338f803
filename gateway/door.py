"""Who may open the stream: refusals come before anything is made that costs."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from core.runtime.ports import MonotonicClock
from gateway import messages
from gateway.connection import Limits
from gateway.metrics import GatewayMetrics
from gateway.origins import Origins
from gateway.refusals import ConnectionLimit, http_refusal
from gateway.roster import Roster
from gateway.sniff import Upgrade

_MAX_LINGERING: Final = 1_000  # refused connections that may still read; beyond: closed at once
_MAX_IGNORED_BYTES: Final = 65_536  # from a client that was refused


class Door:
    """Makes the protocol for an upgrade request: a session, or a refusal that costs little."""

    def __init__(
        self,
        *,
        connect: Callable[[], asyncio.Protocol],
        roster: Roster,
        limits: Limits,
        origins: Origins,
        metrics: GatewayMetrics,
        monotonic_ns: MonotonicClock,
    ) -> None:
        """*connect* makes a session; connections are counted by *roster*."""
        self._connect, self._roster = connect, roster
        self._tally, self._monotonic_ns = roster.tally, monotonic_ns
        self._limits, self._origins, self._metrics = limits, origins, metrics
        self._limit = ConnectionLimit(limits.max_connections_per_ip)
        self._too_fast = http_refusal(
            "429 Too Many Requests",
            f"more than {limits.handshakes_per_s} handshakes in this second from one address; "
            "try again in 1 s",
            headers={"Retry-After": "1"},
        )

    def open(self, upgrade: Upgrade, address: str) -> asyncio.Protocol:
        """The protocol that answers *upgrade*, which came from *address*."""
        limits = self._limits
        if limits.handshakes_per_s and self._rate(address) > limits.handshakes_per_s:
            return self._refuse("handshake_rate", self._too_fast)
        fields = upgrade.fields
        if not self._origins.admit(fields.get("origin"), fields.get("host", "")):
            return self._refuse("origin", _foreign(fields["origin"]))
        if limits.max_connections_per_ip and self._connections(address) >= (
            limits.max_connections_per_ip
        ):
            answer = self._limit.answer(upgrade)
            if answer is not None:  # else the session itself finds what is wrong
                self._metrics.request_errors.labels(str(messages.CONNECTION_LIMIT)).inc()
                return self._refuse("connection_limit", answer)
        return self._connect()

    def _rate(self, address: str) -> int:
        return self._tally.hit(self._tally.mark("handshake", address), 1, self._monotonic_ns())

    def _connections(self, address: str) -> int:
        return self._tally.total(self._tally.mark("ip", address))

    def _refuse(self, reason: str, answer: bytes) -> "Refused":
        self._metrics.refused.labels(reason).inc()
        return Refused(answer, self._roster, self._monotonic_ns)


def _foreign(origin: str) -> bytes:
    message = f"pages from {origin[:80]!a} may not open this stream; see allowed_origins"
    return http_refusal("403 Forbidden", message)


class Refused(asyncio.Protocol):
    """Writes one answer and ends its half; the client has a moment to read it and to go."""

    __slots__ = ("_answer", "_ignored_bytes", "_monotonic_ns", "_roster", "_transport")
    _transport: asyncio.Transport

    def __init__(self, answer: bytes, roster: Roster, monotonic_ns: MonotonicClock) -> None:
        self._answer, self._roster, self._monotonic_ns = answer, roster, monotonic_ns
        self._ignored_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is one without deriving from it
        self._transport = transport
        transport.write(self._answer)
        if len(self._roster.refused) >= _MAX_LINGERING:
            transport.close()
            return
        # Were all of it closed now, bytes that still come would make the kernel take back what
        # the client has not read yet.
        transport.write_eof()
        self._roster.refused.start(self, self._monotonic_ns())

    def connection_lost(self, exc: Exception | None) -> None:
        self._roster.refused.stop(self)

    def data_received(self, data: bytes) -> None:
        self._ignored_bytes += len(data)
        if self._ignored_bytes > _MAX_IGNORED_BYTES:
            self._transport.abort()

    def abort(self) -> None:
        self._transport.abort()
