"""StreamRanges: stretches of streams that lie back, and whether anything of them is gone."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from storage.entry_id import ZERO_ID, EntryId
from storage.redis import Command, Redis, Reply, ResponseError, exchange, refusal
from storage.stream_state import NO_STREAM, Range, StreamState

_COMMANDS: Final = 3  # reads in one go: with 64 blocks of 43 KB each, a reply is at most 8.3 MB
_HEADS: Final = 32  # questions in one go: answers have two blocks at most, 2.8 MB in all
_NO_KEY: Final = "no such key"


class StreamRanges:
    """Reads without waiting for anything new. *redis* stays the caller's, who closes it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def newest(
        self, keys: Sequence[str], *, before_ms: int | None = None
    ) -> dict[str, EntryId]:
        """Per key the id of the newest entry (of those from before *before_ms*).

        ZERO_ID where there never was one. Where there is none any more, the newest id that is
        gone, or one that is not later.

        Raises:
            StreamUnavailable: Redis is away, late or refuses.
        """
        end = "+" if before_ms is None else before_ms - 1  # with every sequence number
        replies = await self._ask([("XREVRANGE", key, end, "-", "COUNT", 1) for key in keys])
        found = {
            key: EntryId.parse(reply[0][0])
            for key, reply in zip(keys, replies, strict=True)
            if reply
        }
        states = await self.states([key for key in keys if key not in found])
        return found | {key: _before_all(state) for key, state in states.items()}

    async def read(
        self, ranges: Sequence[Range], *, count: int, max_bytes: int
    ) -> dict[str, list[tuple[EntryId, bytes]]]:
        """At most *count* entries of each of *ranges*, in order; ids with payloads.

        It stops once *max_bytes* were read: ranges that are not in the answer were not read. At
        most 3 ranges more are read than that takes.

        Raises:
            StreamUnavailable: Redis is away, late or refuses.
        """
        found: dict[str, list[tuple[EntryId, bytes]]] = {}
        size = 0
        for at in range(0, len(ranges), _COMMANDS):
            some = ranges[at : at + _COMMANDS]
            replies = await self._ask(
                [("XRANGE", r.key, str(r.first), str(r.last), "COUNT", count) for r in some]
            )
            for wanted, reply in zip(some, replies, strict=True):
                entries = [(EntryId.parse(entry_id), fields[1]) for entry_id, fields in reply]
                found[wanted.key] = entries
                size += sum(len(payload) for _, payload in entries)
            if size >= max_bytes:
                break
        return found

    async def states(self, keys: Sequence[str]) -> dict[str, StreamState]:
        """What each of *keys* holds now.

        Raises:
            StreamUnavailable: Redis is away, late or refuses.
        """
        replies = await self._ask([("XINFO", "STREAM", key) for key in keys])
        return {key: _state(reply) for key, reply in zip(keys, replies, strict=True)}

    async def _ask(self, commands: Sequence[Command]) -> list[Reply]:
        replies: list[Reply] = []
        for at in range(0, len(commands), _HEADS):
            replies += await exchange(self._redis, commands[at : at + _HEADS])
        for reply in replies:
            if isinstance(reply, ResponseError) and _NO_KEY not in str(reply):
                raise refusal(self._redis, reply)
        return replies


def _before_all(state: StreamState) -> EntryId:
    """A position before all entries of a stream, and behind those that are gone."""
    if not state.removed:
        return ZERO_ID
    return state.last if state.first is None else EntryId(state.first.ms - 1, 0)


def _state(reply: Any) -> StreamState:
    if isinstance(reply, ResponseError):
        return NO_STREAM
    fields: Mapping[bytes, Any] = dict(zip(reply[::2], reply[1::2], strict=True))
    first = fields[b"first-entry"]
    return StreamState(
        first=EntryId.parse(first[0]) if first else None,
        last=EntryId.parse(fields[b"last-generated-id"]),
        removed=fields.get(b"entries-added", -1) != fields[b"length"],
    )
