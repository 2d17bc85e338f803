"""A client of Redis or Valkey: bounded, without silent retries, errors in one type.

Every exchange happens once or raises. What is repeated is only what a server refused because
another one is in charge: that one was not carried out.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Final

from storage.errors import MemoryFull, StreamUnavailable
from storage.keys import slot_of
from storage.link import Argument, Command, Link, LinkDown, Reply, ResponseError, open_link
from storage.redis_url import Address, mask_url, parse_url
from storage.topology import key_of, make_topology, redirection

__all__ = [
    "Argument",
    "Command",
    "Redis",
    "Reply",
    "ResponseError",
    "command",
    "connect",
    "exchange",
    "mask_url",
    "refusal",
]
Place = tuple[Address, int]
"""A server, and which of the connections to it."""
_SILENT: Final = 0.8  # of the time-out; connecting may have taken the rest
_REDIRECTIONS: Final = 3  # a slot that moves more often than that within an exchange can wait
_DOUBTFUL: Final = {"READONLY", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "TRYAGAIN", "UNBLOCKED"}


class Redis:
    """Talks to whichever servers a URL means, over one connection to each.

    Many tasks may use a client at once: their commands share the connections, in order. Who sends
    much at a time, or blocks, has a client of its own.
    """

    def __init__(self, url: str, *, command_timeout_s: float, connect_timeout_s: float) -> None:
        """For :func:`connect`."""
        self.timeout_s = command_timeout_s
        self._target = parse_url(url)
        self._connect_timeout_s = min(connect_timeout_s, command_timeout_s)
        self._topology = make_topology(self._target)
        self._links: dict[Place, Link] = {}
        self._opening: dict[Place, asyncio.Lock] = {}

    def __str__(self) -> str:
        """The servers, without secrets."""
        return str(self._target)

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """See :func:`exchange`."""
        try:
            async with asyncio.timeout(self.timeout_s):
                replies = await self._route(commands)
                for _ in range(_REDIRECTIONS):
                    if not await self._redirect(commands, replies):
                        break
        except TimeoutError as exc:
            self._drop_silent()
            raise self.unavailable(f"no answer within {self.timeout_s:g} s") from exc
        except LinkDown as exc:
            raise self.unavailable(str(exc)) from exc
        return replies

    async def link_to(self, address: Address, lane: int = 0) -> Link:
        """The connection to *address*, made if there is none; *lane* tells several apart.

        Raises:
            LinkDown: it cannot be made.
        """
        place = address, lane
        link = self._links.get(place)
        if link is not None and link.usable:
            return link
        async with self._opening.setdefault(place, asyncio.Lock()):
            link = self._links.get(place)
            if link is None or not link.usable:
                self._links.pop(place, None)
                link = await self._open(address)
                if self._target.kind != "cluster":  # a master that was is not spoken to again
                    self._drop_all("another server is the master now")
                self._links[place] = link
        return link

    async def group(self, keys: Iterable[str]) -> dict[Place, list[str]]:
        """Which of *keys* one command may name together, and on which server, as far as is known.

        Keys of a Cluster must share a slot for that. Each slot is a lane, so that commands that
        block do not wait for each other.

        Raises:
            LinkDown: it cannot be found out.
        """
        await self._topology.learn()
        cluster = self._target.kind == "cluster"
        groups: dict[Place, list[str]] = {}
        for key in keys:
            place = self._topology.address_of(key), slot_of(key) + 1 if cluster else 0
            groups.setdefault(place, []).append(key)
        return groups

    def settled(self) -> bool:
        """Is nothing to be learnt of where keys are?"""
        return self._topology.settled()

    def doubt(self) -> None:
        """Something failed: where keys are is learnt anew before the next exchange."""
        self._topology.doubt()

    def note(self, reply: Reply) -> None:
        """Learn from a refusal who is in charge, or that this server is not."""
        where = redirection(reply)
        if where is not None:
            self._topology.moved(where[1], where[2])
        elif isinstance(reply, ResponseError) and reply.kind in _DOUBTFUL:
            self._topology.doubt()

    def unavailable(self, reason: str) -> StreamUnavailable:
        """The error that tells *reason* of these servers."""
        return StreamUnavailable(str(self), reason)

    async def aclose(self) -> None:
        """Drop the connections; the client may be used again."""
        self._topology.close()
        self._drop_all("closed")

    async def _open(self, address: Address) -> Link:
        try:
            link = await open_link(
                address,
                credentials=self._target.credentials,
                database=self._target.database,
                tls=self._target.tls,
                timeout_s=self._connect_timeout_s,
            )
            with contextlib.ExitStack() as undo:
                undo.callback(link.drop, "it is not the server that is meant")
                await self._topology.verify(link)
                undo.pop_all()
        except LinkDown as exc:
            self._topology.doubt()
            raise LinkDown(f"{address}: {exc}") from exc
        return link

    def _drop_all(self, reason: str) -> None:
        links, self._links = self._links, {}
        for link in links.values():
            link.drop(reason)

    def _drop_silent(self) -> None:
        """Give up connections on which a request waits for about as long as one may."""
        self._topology.doubt()
        since_s = asyncio.get_running_loop().time() - self.timeout_s * _SILENT
        for link in self._links.values():
            if link.waiting_since_s < since_s:
                link.drop(f"no answer within {self.timeout_s:g} s")

    async def _route(self, commands: Sequence[Command]) -> list[Reply]:
        """Each command to its server, and their replies in the order of the commands."""
        await self._topology.learn()
        if self._target.kind != "cluster":
            return await self._send(self._topology.address_of(None), commands)
        groups: dict[Address, list[int]] = {}
        for at, one in enumerate(commands):
            groups.setdefault(self._topology.address_of(key_of(one)), []).append(at)
        return await self._send_groups(groups, commands)

    async def _send_groups(
        self, groups: dict[Address, list[int]], commands: Sequence[Command]
    ) -> list[Reply]:
        if len(groups) == 1:
            return await self._send(next(iter(groups)), commands)
        replies: list[Reply] = [None] * len(commands)
        links = [(await self.link_to(address), places) for address, places in groups.items()]
        sent = [(link, p, link.send([commands[at] for at in p])) for link, p in links]
        for link, places, future in sent:
            for at, reply in zip(places, await self._answer(link, future), strict=True):
                replies[at] = reply
        return replies

    async def _send(self, address: Address, commands: Sequence[Command]) -> list[Reply]:
        link = await self.link_to(address)
        return await self._answer(link, link.send(commands))

    async def _answer(self, link: Link, future: "asyncio.Future[list[Reply]]") -> list[Reply]:
        try:
            return await future
        except LinkDown as exc:
            self._topology.doubt()
            raise LinkDown(f"{link.address}: {exc}") from exc

    async def _redirect(self, commands: Sequence[Command], replies: list[Reply]) -> bool:
        """Send once more what another node is in charge of; False when nothing was."""
        moved = False
        for at, reply in enumerate(replies):
            if not isinstance(reply, ResponseError):
                continue
            self.note(reply)
            where = redirection(reply)
            if where is None or self._target.kind != "cluster":
                continue
            moved = True
            link = await self.link_to(where[2])
            asking: list[Command] = [("ASKING",)] if where[0] == "ASK" else []
            replies[at] = (await self._answer(link, link.send([*asking, commands[at]])))[-1]
        return moved


def connect(url: str, *, command_timeout_s: float = 1.0, connect_timeout_s: float = 1.0) -> Redis:
    """A client of the servers at *url*; connects when it is first used.

    Args:
        url: see :func:`storage.redis_url.parse_url`.
        command_timeout_s: bound of each exchange, connecting included.
        connect_timeout_s: bound of connecting alone.

    Raises:
        ValueError: *url* has another scheme or ill-formed options.
    """
    return Redis(url, command_timeout_s=command_timeout_s, connect_timeout_s=connect_timeout_s)


async def exchange(redis: Redis, commands: Sequence[Command]) -> list[Reply]:
    """Send *commands* in one go and read their replies; nothing is carried out twice.

    Each reply stands at its command's place; a refused command's is its ``ResponseError``. On a
    Cluster each command goes to the node of its key, and order holds per key.

    Raises:
        StreamUnavailable: a server is away or did not answer in time; which of the commands
            were carried out is unknown.
    """
    return await redis.exchange(commands)


async def command(redis: Redis, *arguments: Argument) -> Reply:
    """Send one command and return its reply.

    Raises:
        StreamUnavailable: as :func:`exchange`, or the server refused the command.
    """
    (reply,) = await redis.exchange([arguments])
    if isinstance(reply, ResponseError):
        raise refusal(redis, reply)
    return reply


def refusal(redis: Redis, reply: ResponseError) -> StreamUnavailable:
    """The error for a refused command."""
    if reply.kind == "OOM":
        return MemoryFull(str(redis), f"refused: {reply}")
    return redis.unavailable(f"refused: {reply}")
