"""TickWriter: puts a feed's blocks on its streams, each once, in order, without a hole."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from core.market.block import BlockMeta, decode_meta
from core.runtime.ports import Clock
from core.runtime.retry import full_jitter
from storage.entry_id import ZERO_ID, EntryId
from storage.errors import LeaseLost, MemoryFull, StreamUnavailable
from storage.fence import APPEND, BEHIND, STALE, TAKE
from storage.keys import StreamKeys
from storage.lease import RENEW_S, Lease
from storage.ledger import Ledger
from storage.outbound import Outbound
from storage.redis import Command, Redis, Reply, ResponseError, exchange, refusal
from storage.registry import STOPPED_MS, FeedInfo, FeedRegistry
from storage.replay_ring import ReplayRing, Stored
from storage.scripts import Call

log = logging.getLogger(__name__)

_MS_NS: Final = 1_000_000
_BUDGET_CHECK_MS: Final = 10_000  # how often the number of feeds is looked up again
_MAX_STREAMS: Final = 32  # in one exchange
_CALL_BYTES: Final = 128 * 1024  # of one stream in one exchange, 3 full blocks: 4 MB in flight
_ROOM: Final = 0.95  # a stream over its budget is cut to this part of it
_WAY: Final = 0.90  # a refusal for want of memory gives up the rest of what we hold
_TELL_MS: Final = 10_000  # between two lines of the log about full memory
_RETRY_CAP_S: Final = 0.5  # a server that is back is noticed within this time
_RING_BYTES: Final = 32 << 20
_RING_S: Final = 30.0  # a master that was cut off may take appends for so long

Report = Callable[[str], None]


def _quiet(_reason: str = "") -> None:
    """Nobody listens."""


class TickWriter:
    """Appends the blocks of one feed to its streams, one stream per shard.

    One task owns a writer, and one writer a feed's streams: it holds the feed's lease, and every
    append checks its token against the stream's fence in the same step, so a writer that was
    paused while another took over cannot append. Entry ids are explicit, so that a block can be
    sent again after any error and is stored once. Each append also checks where the stream ends:
    a master that took over without the last blocks is given them again from a ring of those that
    were stored lately.

    What is held is bounded by ``retention_s`` (the server trims with every append) and by bytes:
    the feed's budget is ``max_bytes`` divided by the number of feeds that were written within
    ``retention_s``, and its oldest entries go, whichever shard they are in, when a ledger of them
    exceeds it. Feeds that nobody has written for longer are cut to their last entries.
    """

    def __init__(  # noqa: PLR0913 - what open() was given
        self,
        redis: Redis,
        *,
        keys: StreamKeys,
        info: FeedInfo,
        lease: Lease,
        retention_s: float,
        max_bytes: int,
        ring: ReplayRing,
        now_ns: Clock,
        wall_ns: Clock,
    ) -> None:
        """For :meth:`open`."""
        self.refused = 0  # appends refused for want of memory
        self.repeated = 0  # appends that turned out to be stored already
        self.trimmed = 0  # cuts made because of bytes
        self.given_up = 0  # bytes of these that went because the server's memory was full
        self.replayed = 0  # blocks that a new master lacked, stored once more
        self.lost = 0  # blocks that it lacked, and that the ring did not hold any more
        self._redis, self._info, self._lease, self._ring = redis, info, lease, ring
        self._retention_ms, self._max_bytes = int(retention_s * 1000), max_bytes
        self._now_ns, self._wall_ns = now_ns, wall_ns
        self._resume: dict[int, BlockMeta] = {}
        self._streams = [Outbound(shard) for shard in range(keys.shards)]
        self._keys = [
            (keys.fence(info.feed, shard), keys.ticks(info.feed, shard))
            for shard in range(keys.shards)
        ]
        self._ledger = Ledger(keys.shards, budget_bytes=max_bytes)
        self._registry = FeedRegistry(redis, keys)
        self._budget_checked_ms = self._renewed_ms = self._told_ms = 0
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
        bars_only: bool = False,
        stocks: bool = False,
        shards: int,
        retention_s: float,
        max_bytes: int,
        now_ns: Clock,
        wall_ns: Clock | None = None,
        lease: Lease | None = None,
        ring_bytes: int = _RING_BYTES,
        ring_s: float = _RING_S,
        on_down: Report = _quiet,
        on_up: Callable[[], None] = _quiet,
    ) -> "TickWriter":
        """Take over the feed's streams, register it, and find out where they stand.

        Args:
            redis: stays the caller's, who closes it.
            namespace: first part of every key.
            feed: names the streams; unique in the deployment.
            venue: shown to readers of the registry.
            bars_only: so is this.
            stocks: and this.
            shards: streams of the feed, 1 to 1,024.
            retention_s: what is older goes.
            max_bytes: for all feeds together.
            now_ns: for entry ids and ages: a clock that nobody steps, or what is not read yet
                would be too old at once.
            wall_ns: by which writers tell each other that they are alive; by default *now_ns*.
            lease: the feed's, acquired; without one it is acquired here, for this process.
            ring_bytes: bound of the blocks kept for a failover.
            ring_s: and of their age.
            on_down: told, in a sentence, each time that an append fails and waits.
            on_up: told after each append that was stored after that.

        Raises:
            LeaseHeld: another process publishes the feed.
            LeaseLost: another one has taken the lease that was given.
            StreamUnavailable: Redis is away or refuses; nothing to clean up, call again.
            BlockError: a stream's newest entry was written by a newer version.
        """
        keys = StreamKeys(namespace, shards)
        if lease is None:
            lease = Lease(redis, key=keys.lease(feed), feed=feed)
            await lease.acquire()
        now_ms = now_ns() // _MS_NS
        self = cls(
            redis,
            keys=keys,
            info=FeedInfo(feed, venue or feed, shards, now_ms, bars_only, stocks),
            lease=lease,
            retention_s=retention_s,
            max_bytes=max_bytes,
            ring=ReplayRing(max_bytes=ring_bytes, keep_ms=int(ring_s * 1000)),
            now_ns=now_ns,
            wall_ns=wall_ns or now_ns,
        )
        self._on_down, self._on_up, self._renewed_ms = on_down, on_up, now_ms
        for shard in range(shards):
            await self._begin(shard)
        await self._check_budget(now_ms)
        return self

    @property
    def resume(self) -> Mapping[int, BlockMeta]:
        """By shard, the newest block that was stored when this writer was opened."""
        return self._resume

    @property
    def held_bytes(self) -> int:
        """What the feed's streams hold, by this writer's account."""
        return self._ledger.total_bytes

    @property
    def epoch(self) -> int:
        """The fencing token, which goes into every block."""
        return self._lease.token

    @property
    def waiting(self) -> int:
        """Blocks that are not stored yet."""
        return sum(len(stream) for stream in self._streams)

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
            LeaseLost: another process has taken over; what is :attr:`waiting` is not stored.
        """
        self._take(blocks)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StreamUnavailable),
            wait=full_jitter(first_s=0.05, cap_s=_RETRY_CAP_S),
            before_sleep=self._report_down,
            reraise=True,
        ):
            with attempt:
                await self._drain()
        self._on_up()

    async def confirm(self) -> None:
        """Look whether the server still has what it stored; what it lost is stored once more.

        For a feed that has ended: else the next append does it.

        Raises:
            LeaseLost: another process has taken over.
            StreamUnavailable: Redis is away or refuses; ask again.
        """
        await self._keep_lease()
        ends = await self._ask([("HGET", fence, "last") for fence, _ in self._keys])
        for stream, end in zip(self._streams, ends, strict=True):
            if not len(stream) and EntryId.parse(end or b"0-0") != stream.stored_id:
                await self._repair(stream)
        await self._drain()

    async def release(self) -> None:
        """Let another process have the feed at once; append nothing after this.

        Raises:
            StreamUnavailable: Redis is away or refuses; the lease runs out by itself.
        """
        await self._lease.release()

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
            stream.put(stream.number + 1, payload, now_ms=now_ms)

    async def _drain(self) -> None:
        """Send what waits: per round a few blocks of each stream, in one step each."""
        await self._keep_lease()
        while heads := [stream for stream in self._streams if len(stream)][:_MAX_STREAMS]:
            calls = [self._append_call(stream) for stream in heads]
            replies = await APPEND.run(self._redis, calls)
            refused = None
            for stream, reply in zip(heads, replies, strict=True):
                if not isinstance(reply, ResponseError):
                    self._stored(stream.stored(int(reply)))
                elif reply.kind == BEHIND or "equal or smaller" in str(reply):
                    await self._repair(stream)
                else:
                    refused = refused or reply
            if refused is not None:
                await self._give_way(refused)
        await self._keep_budget()

    def _append_call(self, stream: Outbound) -> Call:
        batch = stream.batch(max_bytes=_CALL_BYTES)
        oldest_ms = max(0, batch[0].entry_id.ms - self._retention_ms)
        entries = [part for e in batch for part in (str(e.entry_id), e.payload)]
        position = str(stream.stored_id)
        return self._keys[stream.shard], (self._lease.token, oldest_ms, position, *entries)

    def _stored(self, entries: Sequence[Stored]) -> None:
        for entry in entries:
            self._ledger.add(entry.shard, entry.entry_id, len(entry.payload))
            self._ring.add(entry)

    async def _repair(self, stream: Outbound) -> None:
        """The stream does not end where we left it: a reply was lost, or a server lost entries."""
        last, number, _ = await self._find_end(stream.shard)
        found = stream.repair(last, number, self._ring)
        self.repeated += len(found.confirmed)
        self._stored(found.confirmed)
        self.replayed += found.again
        self.lost += found.missing
        key = self._keys[stream.shard][1]
        if found.missing:
            log.error(
                "stream %s: the server lost %d blocks after number %d that are not kept any more; "
                "raise replay_ring_bytes or replay_ring_s",
                key, found.missing, number,
            )  # fmt: skip
        elif found.again:
            log.warning("stream %s: the server lost %d blocks, sent again", key, found.again)
        if found.foreign:
            log.error("stream %s: somebody else appended %s; going on behind it", key, last)

    async def _keep_lease(self) -> None:
        now_ms = self._now_ns() // _MS_NS
        if abs(now_ms - self._renewed_ms) >= RENEW_S * 1000:
            await self._lease.renew()
            self._renewed_ms = now_ms

    async def _give_way(self, reply: ResponseError) -> None:
        """Make room when the server's memory is full; any other refusal is waited out."""
        if reply.kind == STALE:
            raise LeaseLost(self._info.feed)
        self.refused += 1
        error = refusal(self._redis, reply)
        if not isinstance(error, MemoryFull) or not await self._make_room():
            raise error

    async def _make_room(self) -> bool:
        """Give up our oldest blocks, or feeds that stopped; False: nothing more may go."""
        held = self._ledger.total_bytes
        cuts = self._ledger.shrink_to(int(held * _WAY))
        if not cuts:
            return await self._release_silent(STOPPED_MS)
        await self._trim(cuts)
        self.given_up += held - self._ledger.total_bytes
        now_ms = self._now_ns() // _MS_NS
        if now_ms - self._told_ms >= _TELL_MS:
            self._told_ms = now_ms
            held_s = max(0, now_ms - max(cuts.values()).ms) / 1000
            log.warning(
                "feed %s: the memory of Redis is full; the oldest blocks go, %d bytes so far: its "
                "streams hold the last %.1f s, and readers that are further behind miss some",
                self._info.feed, self.given_up, held_s,
            )  # fmt: skip
        return True

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
        await self._release_silent(self._retention_ms)
        alive_ms = max(now_ms, self._wall_ns() // _MS_NS)  # also if a clock was stepped back
        info = msgspec.structs.replace(self._info, registered_ms=alive_ms)
        while True:
            try:
                await self._registry.register(info)
                break
            except MemoryFull:
                if not await self._make_room():
                    raise
        feeds = await self._registry.feeds()
        alive = sum(now_ms - feed.registered_ms <= self._retention_ms for feed in feeds)
        self._ledger.budget_bytes = self._max_bytes // max(1, alive)

    async def _release_silent(self, silent_ms: int) -> bool:
        """Cut other feeds that nobody has written for so long; was there any?"""
        now_ms = min(self._now_ns(), self._wall_ns()) // _MS_NS  # whichever may be stepped
        return await self._registry.release_silent(now_ms, silent_ms, besides=self._info.feed)

    async def _trim(self, cuts: Mapping[int, EntryId]) -> None:
        """Cut exactly: a stretch given up in the ledger must be gone on the server too."""
        trims: list[Command] = [
            ("XTRIM", self._keys[shard][1], "MINID", "=", str(keep)) for shard, keep in cuts.items()
        ]
        self.trimmed += len(trims)
        for at in range(0, len(trims), _MAX_STREAMS):
            await exchange(self._redis, trims[at : at + _MAX_STREAMS])

    async def _begin(self, shard: int) -> None:
        """Fence off earlier writers, then find out where the stream ends and what it holds."""
        last, number, payload = await self._find_end(shard)
        self._streams[shard].begin(last, number)
        if not payload:
            return
        self._resume[shard] = decode_meta(payload)
        key = self._keys[shard][1]
        oldest, size = await self._ask(
            [("XRANGE", key, "-", "+", "COUNT", 1), ("MEMORY", "USAGE", key)]
        )
        self._ledger.seed(shard, EntryId.parse(oldest[0][0]), last, int(size))

    async def _find_end(self, shard: int) -> tuple[EntryId, int, bytes]:
        """Id, number and payload of the newest entry; nobody with an older token can add more."""
        (newest,) = await TAKE.run(self._redis, [(self._keys[shard], (self._lease.token,))])
        if isinstance(newest, ResponseError):
            if newest.kind == STALE:
                raise LeaseLost(self._info.feed)
            raise refusal(self._redis, newest)
        if not newest:
            return ZERO_ID, 0, b""
        entry_id, fields = newest
        return EntryId.parse(entry_id), decode_meta(fields[1]).number, fields[1]

    async def _ask(self, commands: Sequence[Command]) -> list[Reply]:
        replies = await exchange(self._redis, commands)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise refusal(self._redis, reply)
        return replies

    def _report_down(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._on_down(str(error))
