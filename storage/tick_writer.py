"""TickWriter: puts a feed's blocks on its streams, each once, in order, without a hole."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from core.market.block import BlockMeta, decode_meta
from core.runtime.ports import Clock
from core.runtime.retry import full_jitter
from storage.entry_id import ZERO_ID, EntryId
from storage.errors import StreamConflict, StreamUnavailable
from storage.keys import StreamKeys
from storage.ledger import Ledger
from storage.redis import Command, Redis, Reply, ResponseError, command, exchange, refusal
from storage.registry import FeedInfo, FeedRegistry

FIELD: Final = "b"  # the one field of every stream entry
_MS_NS: Final = 1_000_000
_BUDGET_CHECK_MS: Final = 10_000  # how often the number of feeds is looked up again
_MAX_COMMANDS: Final = 32  # a round of blocks of 42 KB is then at most 1.3 MB in flight
_ROOM: Final = 0.95  # a stream over its budget is cut to this part of it
_WAY: Final = 0.90  # a refusal for want of memory gives up the rest of what we hold

Report = Callable[[str], None]


@dataclass(slots=True)
class _Entry:
    shard: int
    entry_id: EntryId
    payload: bytes


@dataclass(slots=True)
class _Stream:
    """State of one shard's stream: what was stored last, and what waits to be sent."""

    key: str
    last_id: EntryId = ZERO_ID
    number: int = 0  # of the newest block taken in
    queue: deque[_Entry] = field(default_factory=deque)


def _quiet(_reason: str = "") -> None:
    """Nobody listens."""


class TickWriter:
    """Appends the blocks of one feed to its streams, one stream per shard.

    One task owns a writer, and one writer a feed's streams; a second process that writes the
    same feed is noticed by :class:`StreamConflict` (there is no lease yet). Entry ids are
    explicit, so that a block can be sent again after any error and is stored once.

    What is held is bounded by ``retention_s`` (the server trims with every append) and by bytes:
    the feed's budget is ``max_bytes`` divided by the number of feeds that were written within
    ``retention_s``, and its oldest entries go, whichever shard they are in, when a ledger of them
    exceeds it. Feeds that nobody has written for longer are cut to their last entries.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        keys: StreamKeys,
        info: FeedInfo,
        retention_s: float,
        max_bytes: int,
        now_ns: Clock,
    ) -> None:
        """For :meth:`open`."""
        self.refused = 0  # appends refused for want of memory
        self.repeated = 0  # appends that turned out to be stored already
        self.trimmed = 0  # cuts made because of bytes
        self._redis, self._info = redis, info
        self._retention_ms, self._max_bytes = int(retention_s * 1000), max_bytes
        self._now_ns = now_ns
        self._resume: dict[int, BlockMeta] = {}
        self._streams = [_Stream(keys.ticks(info.feed, shard)) for shard in range(keys.shards)]
        self._ledger = Ledger(keys.shards, budget_bytes=max_bytes)
        self._registry = FeedRegistry(redis, keys)
        self._budget_checked_ms = 0
        self._released: set[str] = set()  # feeds that ran once, cut to their last entries
        self._on_down: Report = _quiet
        self._on_up: Callable[[], None] = _quiet

    @classmethod
    async def open(  # noqa: PLR0913 - the dependencies and limits of the one writer
        cls,
        redis: Redis,
        *,
        namespace: str,
        feed: str,
        venue: str = "",
        shards: int,
        retention_s: float,
        max_bytes: int,
        now_ns: Clock,
        on_down: Report = _quiet,
        on_up: Callable[[], None] = _quiet,
    ) -> "TickWriter":
        """Register the feed and find out where its streams stand.

        Args:
            redis: stays the caller's, who closes it.
            namespace: first part of every key.
            feed: names the streams; unique in the deployment.
            venue: shown to readers of the registry.
            shards: streams of the feed, 1 to 1,024.
            retention_s: what is older goes.
            max_bytes: for all feeds together.
            now_ns: the wall clock; only entry ids depend on it.
            on_down: told, in a sentence, each time that an append fails and waits.
            on_up: told after each append that was stored after that.

        Raises:
            StreamUnavailable: Redis is away or refuses; nothing to clean up, call again.
            BlockError: a stream's newest entry was written by a newer version.
        """
        keys = StreamKeys(namespace, shards)
        self = cls(
            redis,
            keys=keys,
            info=FeedInfo(feed, venue or feed, shards, now_ns() // _MS_NS),
            retention_s=retention_s,
            max_bytes=max_bytes,
            now_ns=now_ns,
        )
        self._on_down, self._on_up = on_down, on_up
        await self._check_budget(now_ns() // _MS_NS)
        for shard in range(shards):
            await self._find_end(shard)
        return self

    @property
    def resume(self) -> Mapping[int, BlockMeta]:
        """By shard, the newest block that was stored when this writer was opened."""
        return self._resume

    @property
    def held_bytes(self) -> int:
        """What the feed's streams hold, by this writer's account."""
        return self._ledger.total_bytes

    def next_number(self, shard: int) -> int:
        """The number that the next block of *shard* must carry: 1, then one more each time."""
        return self._streams[shard].number + 1

    async def append(self, blocks: Sequence[tuple[int, bytes]]) -> None:
        """Store blocks, each ``(shard, payload)``; returns when all are stored.

        While Redis is away or refuses it waits and tries again, for as long as that takes. When
        it is cancelled, the blocks that are not stored yet stay with the writer: the next
        append, an empty one too, sends them first. Do not hand them over again.

        Raises:
            ValueError: a block's number is not :meth:`next_number`; none of *blocks* was taken.
            BlockError: a payload is no block.
            StreamConflict: another writer appends to the stream.
        """
        self._take(blocks)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StreamUnavailable),
            wait=full_jitter(first_s=0.05, cap_s=2.0),
            before_sleep=self._report_down,
            reraise=True,
        ):
            with attempt:
                await self._drain()
        self._on_up()

    def _take(self, blocks: Sequence[tuple[int, bytes]]) -> None:
        numbers = {shard: self.next_number(shard) for shard, _ in blocks}
        for shard, payload in blocks:
            number = decode_meta(payload).number
            if number != numbers[shard]:
                raise ValueError(f"shard {shard}: block {number}, expected {numbers[shard]}")
            numbers[shard] += 1
        now_ms = self._now_ns() // _MS_NS
        for shard, payload in blocks:
            stream = self._streams[shard]
            stream.last_id = stream.last_id.following(now_ms)
            stream.number += 1
            stream.queue.append(_Entry(shard, stream.last_id, payload))

    async def _drain(self) -> None:
        """Send what waits: per round one block of each stream.

        More of one stream in a round could store a block although the one before it was
        refused, and that one could then never be stored.
        """
        while heads := [s.queue[0] for s in self._streams if s.queue][:_MAX_COMMANDS]:
            replies = await exchange(self._redis, [self._xadd(entry) for entry in heads])
            refused = await self._settle(zip(heads, replies, strict=True))
            if refused is not None:
                await self._give_way(refused)
        await self._keep_budget()

    async def _settle(self, answered: Iterable[tuple[_Entry, Reply]]) -> ResponseError | None:
        """Take note of what was stored; the first refusal, if there was one."""
        refused = None
        for entry, reply in answered:
            if not isinstance(reply, ResponseError):
                self._stored(entry)
            elif "equal or smaller" in str(reply):
                await self._confirm(entry)
            else:
                refused = refused or reply
        return refused

    def _xadd(self, entry: _Entry) -> Command:
        key = self._streams[entry.shard].key
        oldest_ms = max(0, entry.entry_id.ms - self._retention_ms)
        return ("XADD", key, "MINID", "~", oldest_ms, str(entry.entry_id), FIELD, entry.payload)

    def _stored(self, entry: _Entry) -> None:
        self._streams[entry.shard].queue.popleft()
        self._ledger.add(entry.shard, entry.entry_id, len(entry.payload))

    async def _confirm(self, entry: _Entry) -> None:
        """An id that is not larger than the newest: stored before, or somebody else's stream."""
        key, entry_id = self._streams[entry.shard].key, str(entry.entry_id)
        found = await command(self._redis, "XRANGE", key, entry_id, entry_id)
        if not found or found[0][1][1] != entry.payload:
            raise StreamConflict(key, entry_id)
        self.repeated += 1
        self._stored(entry)

    async def _give_way(self, reply: ResponseError) -> None:
        """Make room when the server's memory is full; any other refusal is waited out."""
        self.refused += 1
        if reply.kind == "OOM":
            cuts = self._ledger.shrink_to(int(self._ledger.total_bytes * _WAY))
            if cuts:
                await self._trim(cuts)
                return
        raise refusal(self._redis, reply)

    async def _keep_budget(self) -> None:
        now_ms = self._now_ns() // _MS_NS
        if now_ms - self._budget_checked_ms >= _BUDGET_CHECK_MS:
            await self._check_budget(now_ms)
            self._ledger.expire(now_ms - self._retention_ms)
        if self._ledger.total_bytes > self._ledger.budget_bytes:
            limit = int(self._ledger.budget_bytes * _ROOM)
            await self._trim(self._ledger.shrink_to(limit))

    async def _check_budget(self, now_ms: int) -> None:
        """Say that this feed is alive, and share the bytes with the others that are."""
        self._budget_checked_ms = now_ms
        await self._registry.register(msgspec.structs.replace(self._info, registered_ms=now_ms))
        alive = 0
        for feed in await self._registry.feeds():
            if now_ms - feed.registered_ms <= self._retention_ms:
                alive += 1
                self._released.discard(feed.feed)
            elif feed.feed not in self._released:
                await self._registry.release(feed)
                self._released.add(feed.feed)
        self._ledger.budget_bytes = self._max_bytes // max(1, alive)

    async def _trim(self, cuts: Mapping[int, EntryId]) -> None:
        """Cut exactly: a stretch given up in the ledger must be gone on the server too."""
        trims: list[Command] = [
            ("XTRIM", self._streams[shard].key, "MINID", "=", str(keep))
            for shard, keep in cuts.items()
        ]
        self.trimmed += len(trims)
        for at in range(0, len(trims), _MAX_COMMANDS):
            await exchange(self._redis, trims[at : at + _MAX_COMMANDS])

    async def _find_end(self, shard: int) -> None:
        stream = self._streams[shard]
        newest, oldest, size = await exchange(
            self._redis,
            [
                ("XREVRANGE", stream.key, "+", "-", "COUNT", 1),
                ("XRANGE", stream.key, "-", "+", "COUNT", 1),
                ("MEMORY", "USAGE", stream.key),
            ],
        )
        for reply in (newest, oldest, size):
            if isinstance(reply, ResponseError):
                raise refusal(self._redis, reply)
        if newest:
            meta = decode_meta(newest[0][1][1])
            stream.last_id, stream.number = EntryId.parse(newest[0][0]), meta.number
            self._resume[shard] = meta
            self._ledger.seed(shard, EntryId.parse(oldest[0][0]), stream.last_id, int(size))

    def _report_down(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._on_down(str(error))
