"""Clients whose token is signed by a key that is not known yet: it is fetched, then they go on."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway import messages
from gateway.access.credentials import Shown
from gateway.access.guard import UNREADABLE
from gateway.session import After, authenticate, handle_request, put_off

if TYPE_CHECKING:
    from gateway.connection import Connection

_MAX_WAITING: Final = 1_000  # clients at a time; further ones are asked to come back
_MAX_HELD: Final = 20  # messages of one of them
_MAX_HELD_BYTES: Final = 65_536  # of one of them: nobody knows yet who it is

LookFor = Callable[[str], Awaitable[bool]]
"""Fetches keys anew for the sake of one of that id, if that may help; ends in a few seconds.

False: they cannot be had at the moment."""


@dataclass(slots=True)
class _Waiting:
    shown: Shown
    key_id: str
    held: list[tuple[bytes, bool]] = field(default_factory=list)
    held_bytes: int = 0


class Latecomers:
    """Keeps what these clients say, in order, until their token can be judged."""

    def __init__(self, look_for: LookFor | None = None) -> None:
        """*look_for*: None where no keys can be fetched."""
        self._look_for = look_for
        self._waiting: dict[Connection, _Waiting] = {}
        self._came = asyncio.Event()

    def start(self, client: "Connection", shown: Shown, key_id: str) -> bool:
        """Judge *client* once the key *key_id* was looked for; False: that is of no use."""
        if self._look_for is None:
            return False
        if len(self._waiting) >= _MAX_WAITING:
            put_off(client, UNREADABLE)
            return True
        self._waiting[client] = _Waiting(shown, key_id)
        if not client.authenticated:  # else what it showed before holds meanwhile
            client.shared.roster.auth.start(client, client.shared.monotonic_ns())
        self._came.set()
        return True

    def hold(self, client: "Connection", payload: bytes, *, binary: bool) -> bool:
        """Keep a message of *client* for later, if it waits."""
        waiting = self._waiting.get(client)
        if waiting is None:
            return False
        waiting.held_bytes += len(payload)
        if len(waiting.held) >= _MAX_HELD:
            client.refuse(messages.INVALID_SYNTAX, f"more than {_MAX_HELD} requests before auth")
        elif waiting.held_bytes > _MAX_HELD_BYTES:
            words = f"more than {_MAX_HELD_BYTES} bytes of requests before auth"
            client.refuse(messages.INVALID_SYNTAX, words)
        else:
            waiting.held.append((payload, binary))
        return True

    async def run(self) -> None:
        """Serve for ever."""
        while True:
            await self._came.wait()
            self._came.clear()
            for key_id in dict.fromkeys(one.key_id for one in self._waiting.values()):
                assert self._look_for is not None  # or nobody waits
                after = After.LOOK if await self._look_for(key_id) else After.FAILURE
                self._go_on(key_id, after)

    def _go_on(self, key_id: str, after: After) -> None:
        ready = [(c, one) for c, one in self._waiting.items() if one.key_id == key_id]
        for client, one in ready:
            del self._waiting[client]
            if client.over:
                continue
            authenticate(client, one.shown, after)
            for payload, binary in one.held:
                if not client.over:
                    handle_request(client, payload, binary=binary)
