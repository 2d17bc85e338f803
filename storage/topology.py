"""Which server a command goes to: the one there is, the master of Sentinels, or a Cluster's."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from storage.keys import SLOTS, slot_of
from storage.link import Command, Link, LinkDown, Reply, ResponseError, open_link
from storage.redis_url import Address, Target

_LOG: Final = logging.getLogger(__name__)
_CHECK_S: Final = 1.0  # how often the Sentinels are asked whether the master is still the one
_SENTINEL_S: Final = 0.5  # bound of asking one of them
_AWAY_S: Final = 5.0  # one that did not answer is left alone so long, while another does
_KEYLESS: Final = {"TIME", "CONFIG", "INFO", "PING", "ROLE", "CLUSTER", "SCRIPT", "ACL"}
_KEY_AT: Final = {"MEMORY": 2, "XINFO": 2, "EVAL": 3, "EVALSHA": 3}


class Topology(Protocol):
    """Tells where keys are; what it knows may be old, and is learnt anew when something fails."""

    async def learn(self) -> None:
        """Find out what has to be known; cheap when nothing does.

        Raises:
            LinkDown: nobody tells.
        """
        ...

    def settled(self) -> bool:
        """Would :meth:`learn` find nothing to do?"""
        ...

    def address_of(self, key: str | None) -> Address:
        """The server of *key*; None: any server that may be asked."""
        ...

    def doubt(self) -> None:
        """Something failed, or a server said that it is not the one: learn anew."""
        ...

    def moved(self, slot: int, address: Address) -> None:
        """A server said where *slot* is."""
        ...

    async def verify(self, link: Link) -> None:
        """Is the new *link* one to the server that is meant?

        Raises:
            LinkDown: it is not.
        """
        ...

    def close(self) -> None:
        """Drop connections."""
        ...


class Single:
    """One server, for ever the same."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def learn(self) -> None:
        pass

    def settled(self) -> bool:
        return True

    def address_of(self, key: str | None) -> Address:
        return self._address

    def doubt(self) -> None:
        pass

    def moved(self, slot: int, address: Address) -> None:
        """A Cluster's node spoken to as a single server: its refusals go to the caller."""

    async def verify(self, link: Link) -> None:
        pass

    def close(self) -> None:
        pass


class Sentinels:
    """The master that Sentinels name; they are asked each second, as a cut-off master may live on.

    All are asked, and the answer of the newest configuration counts: one that is cut off
    together with the old master does not know better.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._links: dict[Address, Link] = {}
        self._away: dict[Address, float] = {}  # until when it is left alone
        self._master: Address | None = None
        self._check_at = 0.0

    def settled(self) -> bool:
        return self._master is not None and asyncio.get_running_loop().time() < self._check_at

    async def learn(self) -> None:
        if self.settled():
            return
        now_s = asyncio.get_running_loop().time()
        asked = [a for a in self._target.addresses if self._away.get(a, 0.0) <= now_s]
        answers = await self._ask_all(asked or self._target.addresses)
        if not answers and self._master is None:
            raise LinkDown(f"no Sentinel knows the master {self._target.master!r}")
        if answers:
            master = max(answers)[1]
            if self._master not in (None, master):
                _LOG.warning("Redis: the master is %s now, was %s", master, self._master)
            self._master = master
        self._check_at = asyncio.get_running_loop().time() + _CHECK_S

    def address_of(self, key: str | None) -> Address:
        if self._master is None:
            raise LinkDown("the master is not known")
        return self._master

    def doubt(self) -> None:
        self._check_at = 0.0

    def moved(self, slot: int, address: Address) -> None:
        """No Cluster: nothing moves."""

    async def verify(self, link: Link) -> None:
        """A master that was killed may come back as one before the Sentinels make it a replica."""
        (role,) = await _bounded(link, [("ROLE",)])
        if not isinstance(role, ResponseError) and role[0] != b"master":
            self.doubt()
            raise LinkDown(f"{link.address} is a {role[0].decode()} now, no master")

    def close(self) -> None:
        for link in self._links.values():
            link.drop("closed")
        self._links.clear()

    async def _ask_all(self, addresses: Iterable[Address]) -> list[tuple[int, Address]]:
        """Configuration epoch and master, of each that answers."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(address)) for address in addresses]
        return [answer for task in tasks if (answer := task.result())]

    async def _ask(self, address: Address) -> tuple[int, Address] | None:
        try:
            async with asyncio.timeout(_SENTINEL_S):
                link = self._links.get(address)
                if link is None or not link.usable:
                    link = self._links[address] = await open_link(
                        address,
                        credentials=self._target.sentinel,
                        database=0,
                        tls=self._target.tls,
                        timeout_s=_SENTINEL_S,
                    )
                name = self._target.master
                known, where = await link.send(
                    [("SENTINEL", "MASTER", name), ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)]
                )
        except (LinkDown, TimeoutError):
            self._away[address] = asyncio.get_running_loop().time() + _AWAY_S
            if lost := self._links.pop(address, None):
                lost.drop("no answer")
            return None
        if isinstance(known, ResponseError) or isinstance(where, ResponseError) or not where:
            return None
        fields = dict(zip(known[::2], known[1::2], strict=True))
        return int(fields[b"config-epoch"]), Address(where[0].decode(), int(where[1]))


class Cluster:
    """A map of slots to masters, from whichever node tells; corrected by what the nodes refuse."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._seeds: list[Address] = list(target.addresses)
        self._slots: list[Address | None] = [None] * SLOTS
        self._known = False
        self._next_seed = 0
        self._tags: dict[str, int] = {}  # slots of keys seen; a deployment has a few hundred

    def settled(self) -> bool:
        return self._known

    async def learn(self) -> None:
        if self._known:
            return
        reason = ""
        seeds = self._seeds[self._next_seed :] + self._seeds[: self._next_seed]
        for seed in seeds:
            try:
                self._take(seed, await self._ask(seed))
            except LinkDown as exc:
                reason = str(exc)
                continue
            self._known = True
            self._next_seed = 0
            return
        raise LinkDown(f"no node tells its slots: {reason}")

    def address_of(self, key: str | None) -> Address:
        if key is None:
            return next(address for address in self._slots if address is not None)
        slot = self._tags.get(key)
        if slot is None:
            if len(self._tags) > SLOTS:
                self._tags.clear()
            slot = self._tags[key] = slot_of(key)
        address = self._slots[slot]
        if address is None:
            self.doubt()
            raise LinkDown(f"no node serves slot {slot}")
        return address

    def doubt(self) -> None:
        self._known = False

    def moved(self, slot: int, address: Address) -> None:
        self._slots[slot] = address
        self._known = False

    async def verify(self, link: Link) -> None:
        """A node that does not serve a slot says so with each command."""

    def close(self) -> None:
        pass

    async def _ask(self, seed: Address) -> list[Any]:
        link = await open_link(
            seed,
            credentials=self._target.credentials,
            database=0,
            tls=self._target.tls,
            timeout_s=_SENTINEL_S,
        )
        try:
            (reply,) = await _bounded(link, [("CLUSTER", "SLOTS")])
        finally:
            link.drop("done")
        if isinstance(reply, ResponseError):
            raise LinkDown(f"refused: {reply}")
        if not reply:
            raise LinkDown(f"{seed} knows no slots")
        return list(reply)

    def _take(self, asked: Address, ranges: Sequence[Any]) -> None:
        slots: list[Address | None] = [None] * SLOTS
        masters: dict[Address, None] = {}
        nodes: dict[Address, None] = {}
        for first, last, master, *replicas in ranges:
            address = _node(master, asked)
            slots[first : last + 1] = [address] * (last + 1 - first)
            masters[address] = None
            nodes |= dict.fromkeys(_node(node, asked) for node in replicas)
        self._slots = slots
        self._seeds = list(masters | nodes | dict.fromkeys(self._target.addresses))


def make_topology(target: Target) -> Topology:
    """That of *target*."""
    if target.kind == "sentinel":
        return Sentinels(target)
    return Cluster(target) if target.kind == "cluster" else Single(target.addresses[0])


def key_of(command: Command) -> str | None:
    """The key by which a command finds its server, or None when any server will do."""
    name = str(command[0])
    if name in _KEYLESS or len(command) < 2:
        return None
    key = command[_KEY_AT.get(name, 1)]
    return key.decode() if isinstance(key, bytes) else str(key)


def redirection(reply: Reply) -> tuple[str, int, Address] | None:
    """Of a refusal like ``MOVED 3999 127.0.0.1:6381`` (or ``ASK``): kind, slot, where it is."""
    if not isinstance(reply, ResponseError) or reply.kind not in ("MOVED", "ASK"):
        return None
    kind, slot, where = str(reply).split(" ")[:3]
    host, _, port = where.rpartition(":")
    return (kind, int(slot), Address(host, int(port))) if host else None


def _node(node: Sequence[Any], asked: Address) -> Address:
    host: bytes | None = node[0]
    known = host and host != b"?"  # else the node that was asked does not know its own name
    return Address(host.decode() if host and known else asked.host, int(node[1]))


async def _bounded(link: Link, commands: Sequence[Command]) -> list[Reply]:
    try:
        async with asyncio.timeout(_SENTINEL_S):
            return await link.send(commands)
    except TimeoutError as exc:
        link.drop("no answer")
        raise LinkDown(f"{link.address}: no answer within {_SENTINEL_S:g} s") from exc
