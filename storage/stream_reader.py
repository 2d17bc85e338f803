"""StreamReader: reads streams from positions of the caller's, over connections of its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from storage.link import Link, LinkDown, Reply
from storage.redis import Place, ResponseError, command, connect
from storage.redis_url import Address

_LATEST: Final = "$"
_ANSWER_S: Final = 1.5  # a server that is this late after the blocking time counts as gone
_RETRY_S: Final = 0.25  # a server that failed is tried again so soon, while others are read
_SMALL_BYTES: Final = 2 << 20  # a full reply of less may be twice as long the next time


class Entry(NamedTuple):
    """One entry of a stream."""

    key: str
    entry_id: str
    payload: bytes


@dataclass(slots=True)
class _Node:
    """One connection, and the streams that are read there."""

    keys: list[str]
    count: int  # entries of a stream to ask for
    link: Link | None = None
    pending: "asyncio.Future[list[Reply]] | None" = None
    asked: dict[str, str] = field(default_factory=dict)  # the positions it was asked from
    due_s: float = 0.0  # when it must have answered


class StreamReader:
    """Plain XREAD, no consumer group: the positions are the reader's.

    One task owns a reader. A server is asked on a connection that is held for good. A Cluster
    takes no question about several slots, so there each shard has a connection; they are asked
    at the same time, and a node that is away does not stop the others.
    A black-holed server is noticed ``block_ms`` plus 1.5 s after a call. XREAD jumps over a
    trimmed stretch in silence: compare block numbers.
    """

    def __init__(
        self, redis_url: str, *, block_ms: int = 1000, count: int = 8, most: int = 0
    ) -> None:
        """Connects at the first read.

        Args:
            redis_url: as for :func:`storage.redis.connect`.
            block_ms: how long a read waits for an entry, > 0.
            count: at most so many entries per stream and read; with blocks of 42 KB and 16
                streams, 8 bound a reply to 5.4 MB.
            most: but up to so many, doubled step by step, for a reader that is behind streams
                of small entries; as soon as it is not, or they are larger, it is *count* again.
        """
        self._answer_s = block_ms / 1000 + _ANSWER_S
        self._redis = connect(redis_url, command_timeout_s=self._answer_s, connect_timeout_s=0.5)
        self._block_ms, self._count, self._most = block_ms, count, max(most, count)
        self._positions: dict[str, str] = {}
        self._names: dict[bytes, str] = {}  # of keys as replies spell them
        self._nodes: dict[Place, _Node] = {}
        self._away: dict[Address, float] = {}  # servers that failed, and when to try again
        self._stale = True  # the streams or their servers are others than when nodes were made
        self._at_end: set[str] = set()

    @property
    def positions(self) -> dict[str, str]:
        """By key, the id after which the next read goes on; a copy."""
        return dict(self._positions)

    def take_heard(self) -> set[str]:
        """The streams of which, since the last call, all was read that they had just before."""
        heard, self._at_end = self._at_end, set()
        return heard

    def follow(self, key: str, after_id: str) -> None:
        """Read *key* too, or from elsewhere: after ``"0-0"`` all of it, after ``"$"`` what comes.

        ``"$"`` is resolved by the next read, before it waits.
        """
        self._stale |= key not in self._positions
        self._positions[key] = after_id
        self._names[key.encode()] = key

    def unfollow(self, key: str) -> None:
        """Read *key* no more."""
        self._positions.pop(key, None)
        self._names.pop(key.encode(), None)
        self._stale = True

    async def read(self) -> list[Entry]:
        """The next entries, in order within a stream; none after ``block_ms`` without any.

        Cancelled or failed, it has not moved any position: call again.

        Raises:
            StreamUnavailable: Redis is away, late or refuses.
            ValueError: no stream is followed.
        """
        if not self._positions:
            raise ValueError("follow a stream before reading")
        await self._resolve_latest()
        failure = await self._ask()
        pending = [node for node in self._nodes.values() if node.pending is not None]
        if pending:
            await self._wait(pending, brief=failure is not None)
        entries: list[Entry] = []
        for node in pending:
            try:
                entries += self._collect(node)
            except LinkDown as exc:
                failure = exc
        if failure is not None and not entries:
            raise self._redis.unavailable(str(failure)) from failure
        return entries

    async def close(self) -> None:
        """Drop the connections; the reader may be used again."""
        self._nodes.clear()
        self._stale = True
        await self._redis.aclose()

    async def _ask(self) -> LinkDown | None:
        """Put a question to every server that has none; the failure, if one cannot be asked."""
        failure: LinkDown | None = None
        try:
            async with asyncio.timeout(self._answer_s):
                await self._arrange()
        except (LinkDown, TimeoutError) as exc:
            failure = exc if isinstance(exc, LinkDown) else LinkDown("where streams are is unknown")
        for place, node in self._nodes.items():
            if node.pending is None:
                failure = await self._ask_one(place, node) or failure
        return failure

    async def _ask_one(self, place: Place, node: _Node) -> LinkDown | None:
        now_s = asyncio.get_running_loop().time()
        if len(self._nodes) > 1 and self._away.get(place[0], 0.0) > now_s:
            return LinkDown(f"{place[0]} is away")
        try:
            node.link = await self._redis.link_to(*place)
        except LinkDown as exc:
            self._away[place[0]] = asyncio.get_running_loop().time() + _RETRY_S
            self._stale = True
            return exc
        self._send(node, node.link)
        return None

    def _send(self, node: _Node, link: Link) -> None:
        positions = self._positions
        node.asked = {key: positions[key] for key in node.keys}
        head = ("XREAD", "COUNT", node.count, "BLOCK", self._block_ms, "STREAMS")
        node.pending = link.send([(*head, *node.keys, *node.asked.values())])
        node.due_s = asyncio.get_running_loop().time() + self._answer_s

    async def _wait(self, nodes: Sequence[_Node], *, brief: bool) -> None:
        """Until one of *nodes* answered, or is late; *brief*: another one has to be tried again."""
        now_s = asyncio.get_running_loop().time()
        timeout_s = max(0.0, min(node.due_s for node in nodes) - now_s)
        if brief:
            timeout_s = min(timeout_s, _RETRY_S)
        await asyncio.wait(
            [node.pending for node in nodes if node.pending is not None],
            timeout=timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )

    def _collect(self, node: _Node) -> list[Entry]:
        """The entries of a server's answer; none if it has not answered yet.

        Raises:
            LinkDown: it is late or gone, or refused.
        """
        future, link = node.pending, node.link
        if future is None or link is None:
            return []
        if not future.done():
            if asyncio.get_running_loop().time() < node.due_s:
                return []
            link.drop(f"no answer within {self._answer_s:g} s")
        node.pending = None
        try:
            (reply,) = future.result()
        except LinkDown as exc:
            self._redis.doubt()
            self._stale = True
            raise LinkDown(f"{link.address}: {exc}") from exc
        if isinstance(reply, ResponseError):
            self._redis.note(reply)
            self._stale = True
            raise LinkDown(f"refused: {reply}")
        return self._take(node, reply)

    def _take(self, node: _Node, reply: Reply) -> list[Entry]:
        entries: list[Entry] = []
        longest = 0
        self._at_end.update(node.asked)
        for name, found in reply or ():
            longest = max(longest, len(found))
            key = self._names.get(name)
            if key is not None and len(found) >= node.count:
                self._at_end.discard(key)
            if key is None or self._positions.get(key) != node.asked.get(key):
                continue  # it was left, or is to be read from elsewhere, since the question
            entries += [Entry(key, entry_id.decode(), fields[1]) for entry_id, fields in found]
            self._positions[key] = entries[-1].entry_id
        if self._most > self._count:
            self._suit(node, longest, sum(len(entry.payload) for entry in entries))
        return entries

    def _suit(self, node: _Node, longest: int, size: int) -> None:
        """Ask for more entries where many small ones wait, for as few as ever where they don't."""
        is_behind = longest >= node.count and size < _SMALL_BYTES
        count = min(node.count * 2, self._most) if is_behind else self._count
        if is_behind or longest < node.count // 2 or size > 2 * _SMALL_BYTES:
            node.count = count

    async def _arrange(self) -> None:
        """Sort the streams by server: when they changed, or the servers may have.

        What a server was asked already is waited for: it ends by itself, and a question put
        again would be answered twice.
        """
        if not self._stale and self._redis.settled():
            return
        groups = await self._redis.group(self._positions)
        self._stale = False
        nodes: dict[Place, _Node] = {}
        for place, keys in groups.items():
            node = nodes[place] = self._nodes.get(place) or _Node([], self._count)
            node.keys = keys
        for place, node in self._nodes.items():
            if place not in nodes and node.link is not None:
                node.link.drop("another server has its streams now")
        self._nodes = nodes

    async def _resolve_latest(self) -> None:
        for key in [key for key, at in self._positions.items() if at == _LATEST]:
            newest = await command(self._redis, "XREVRANGE", key, "+", "-", "COUNT", 1)
            self._positions[key] = newest[0][0].decode() if newest else "0-0"
