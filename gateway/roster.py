"""All connections of this process: who is behind, who runs out of time, who is to be pinged."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from core.runtime.ports import MonotonicClock
from gateway.access.addresses import counted_as
from gateway.channels import Codec
from gateway.deadlines import Deadlines, Wheel
from gateway.tally import Tally

SWEEP_S: Final = 0.25  # period of sweep(): a slow client is found within it
_SECOND_NS: Final = 1_000_000_000
_CLOSE_S: Final = 5  # for the client's half of a closing handshake
_LINGER_S: Final = 1  # for a slow client to read its error, then the connection is aborted


class Guest(Protocol):
    """A connection as the roster sees it."""

    @property
    def group(self) -> object | None:
        """Its subscriptions; None without any."""
        ...

    @property
    def listens(self) -> bool:
        """Has it subscriptions, or was it told that it has them once it has caught up?"""
        ...

    def check_pace(self, now_ns: int) -> None:
        """Close it when it is too slow."""
        ...

    def ping(self) -> None:
        """Send a ping; close when nothing was heard since the last one."""
        ...

    def heartbeat(self, framed: Mapping[Codec, bytes]) -> None:
        """As :meth:`notice`, of the heartbeat; it is subscribed to something."""
        ...

    def bring_up_to_date(self) -> None:
        """Send what is pending, and a cursor behind that, if it wants cursors."""
        ...

    def notice(self, framed: Mapping[Codec, bytes]) -> None:
        """Send what nobody asked for, *framed* in its codec, where readers know such messages."""
        ...

    def say_goodbye(self) -> None:
        """The gateway ends: close, in order."""
        ...

    def expire(self) -> None:
        """The authentication did not come in time."""
        ...

    def review(self) -> None:
        """Look anew whether it may still have what it has."""
        ...

    def abort(self) -> None:
        """Cut the connection."""
        ...

    def unsent_bytes(self) -> int:
        """What the kernel has not taken yet."""
        ...


class Pending(Protocol):
    """A connection whose first request is not complete."""

    def abort(self) -> None:
        """Cut the connection."""
        ...


@dataclass(kw_only=True)
class Roster:
    """One periodic call of :meth:`sweep` serves time-outs, pings, heartbeats, slow-client ages."""

    monotonic_ns: MonotonicClock
    auth_timeout_s: float
    request_timeout_s: float
    ping_s: float
    heartbeat_s: float = 0.0  # 0: none
    heartbeats: Callable[[], Mapping[Codec, bytes]] = dict  # framed by codec, asked once a sweep
    tally: Tally  # of connections by address and by key, in all workers
    guests: dict[Guest, int] = field(default_factory=dict)  # with the mark of each one's address
    blocked: dict[Guest, None] = field(default_factory=dict)  # those with unsent bytes
    keys: dict[Guest, int] = field(default_factory=dict)  # marks of the keys that were shown
    expiring: dict[Guest, int] = field(default_factory=dict)  # UNIX ns when their time comes

    def __post_init__(self) -> None:
        self.auth: Deadlines[Guest] = Deadlines(int(self.auth_timeout_s * _SECOND_NS))
        self.closing: Deadlines[Guest] = Deadlines(_CLOSE_S * _SECOND_NS)
        self.lingering: Deadlines[Guest] = Deadlines(_LINGER_S * _SECOND_NS)
        self.refused: Deadlines[Pending] = Deadlines(_LINGER_S * _SECOND_NS)
        self.requests: Deadlines[Pending] = Deadlines(int(self.request_timeout_s * _SECOND_NS))
        periods_s = [self.ping_s, *([self.heartbeat_s] if self.heartbeat_s else [])]
        self._turns: Wheel[Guest] = Wheel(*(max(1, round(s / SWEEP_S)) for s in periods_s))
        self._left = asyncio.Event()

    def add(self, guest: Guest, address: str) -> None:
        """Take in an open connection."""
        mark = self.guests[guest] = self.tally.mark("ip", counted_as(address))
        self.tally.enter(mark, self.monotonic_ns())
        self._turns.add(guest)

    def from_same_address(self, guest: Guest) -> int:
        """How many connections there are from its address, in all workers."""
        return self.tally.total(self.guests[guest])

    def let_in(self, guest: Guest, key_id: str, expires_ns: int = 0) -> int:
        """*guest* has shown a key that is right; how many did with that key, in all workers."""
        self.expire_at(guest, expires_ns)
        mark = self.keys[guest] = self.tally.mark("key", key_id)
        return self.tally.enter(mark, self.monotonic_ns())

    def expire_at(self, guest: Guest, expires_ns: int) -> None:
        """What *guest* has shown is good until then, UNIX nanoseconds; 0: for ever."""
        self.expiring.pop(guest, None)
        if expires_ns:
            self.expiring[guest] = expires_ns

    def expired(self, now_ns: int) -> list[Guest]:
        """Those whose time has come by *now_ns*, each once."""
        over = [guest for guest, at_ns in self.expiring.items() if at_ns <= now_ns]
        for guest in over:
            del self.expiring[guest]
        return over

    def discard(self, guest: Guest) -> None:
        """Forget a connection that is lost; one that never opened is no matter."""
        for mark in (self.guests.pop(guest, None), self.keys.pop(guest, None)):
            if mark is not None:
                self.tally.leave(mark)
        self.blocked.pop(guest, None)
        self.expiring.pop(guest, None)
        self._turns.discard(guest)
        for deadlines in (self.auth, self.closing, self.lingering):
            deadlines.stop(guest)
        self._left.set()

    async def wait_empty(self) -> None:
        """Return once the last connection is lost; the caller sets the bound."""
        while self.guests:
            self._left.clear()
            await self._left.wait()

    def largest_unsent_bytes(self) -> int:
        """What the client that is furthest behind has still to be sent."""
        return max((guest.unsent_bytes() for guest in self.blocked), default=0)

    def sweep(self) -> None:
        """Do what is due by now."""
        now_ns = self.monotonic_ns()
        for guest in list(self.blocked):
            guest.check_pace(now_ns)
        for guest in self.auth.due(now_ns):
            guest.expire()
        for guest in self.closing.due(now_ns) + self.lingering.due(now_ns):
            guest.abort()
        for pending in self.requests.due(now_ns) + self.refused.due(now_ns):
            pending.abort()
        pings, *heartbeats = self._turns.step()
        for guest in pings:
            guest.ping()
        for turn in heartbeats:
            self._beat(turn)

    def _beat(self, guests: Sequence[Guest]) -> None:
        """Heartbeats for those whose turn it is, made once for all of them."""
        listening = [guest for guest in guests if guest.listens]
        framed = self.heartbeats() if listening else {}
        for guest in listening:
            guest.heartbeat(framed)
