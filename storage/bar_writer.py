"""BarWriter: publishes closed, revised and running bars for the gateways."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from core.market.bar import Bar, encode_bars
from storage.entry_id import ZERO_ID, EntryId
from storage.errors import StaleOwner
from storage.keys import StreamKeys
from storage.publications import Publications, Published
from storage.redis import Redis, ResponseError, command, refusal
from storage.scripts import Script

log = logging.getLogger(__name__)

_PUBLISH: Final = Script("""
if ARGV[4] ~= '' then
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  local last = newest and newest[1] or '0-0'
  if last ~= ARGV[4] then return last end
end
return redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[2], 'b', ARGV[3])
""")
# Key: stream. Arguments: entries to keep, id, payload, id of the entry before or nothing. Returns
# the id, or that of the entry which the stream ends with instead.

_KEPT_FLUSHES: Final = 2_000  # entries of a shard's bar stream, about half an hour of flushes
_KEPT_RUNNING: Final = 100  # running bars are worth something for a second or two


class BarWriter:
    """Appends bars to the streams of their shards. The aggregator is the only user.

    A publication is named by the owner's fencing token and its flush number, so repeating one
    changes nothing and a stale owner's is refused. Each looks where the stream ends: a master
    that took over without the last ones is given them again, under the same ids.
    """

    def __init__(self, redis: Redis, keys: StreamKeys) -> None:
        """*redis* stays the caller's, who closes it."""
        self.republished = 0  # entries that a server lost, stored once more
        self._redis, self._keys = redis, keys
        self._published: dict[int, Publications] = {}  # by shard
        self._turns: dict[int, asyncio.Lock] = {}  # one task at a time puts entries on a stream

    async def publish(self, shard: int, *, token: int, flush: int, bars: Sequence[Bar]) -> None:
        """Publish one flush's closed and revised bars; done already is fine.

        Args:
            shard: whose stream.
            token: the owner's fencing token, >= 1.
            flush: number of the flush, growing under a token.
            bars: at most a few thousand; they become one entry.

        Raises:
            StaleOwner: an owner with a larger token has published.
            StreamUnavailable: Redis is away or refuses; publish again.
        """
        entry_id, payload = EntryId(token, flush), encode_bars(bars)
        async with self._turn(shard):
            published = self._published[shard]
            entry = Published(entry_id, payload)
            while (last := await self._put(shard, entry, published.newest)) < entry_id:
                await self._mend(shard, last)
            if last.ms > token:
                raise StaleOwner({shard: (token, last.ms)})
            published.add(entry_id, payload)

    async def confirm(self) -> None:
        """Look whether the streams still end where this process left them, and mend those.

        A server may lose what it has acknowledged when another takes over; the next publication
        would find out, but there may be none for long.

        Raises:
            StreamUnavailable: Redis is away or refuses; call again.
        """
        for shard, published in list(self._published.items()):
            async with self._turn(shard):
                last = EntryId(*await self.last_id(shard))
                if published.newest is not None and last != published.newest:
                    await self._mend(shard, last)

    def _turn(self, shard: int) -> asyncio.Lock:
        self._published.setdefault(shard, Publications())
        return self._turns.setdefault(shard, asyncio.Lock())

    async def _put(self, shard: int, entry: Published, before: EntryId | None) -> EntryId:
        """Put *entry* behind *before*; returns where the stream ends: there, or elsewhere.

        None for *before*: wherever the stream ends.
        """
        entry_id, position = str(entry.entry_id), "" if before is None else str(before)
        call = ((self._keys.bars(shard),), (_KEPT_FLUSHES, entry_id, entry.payload, position))
        (reply,) = await _PUBLISH.run(self._redis, [call])
        if not isinstance(reply, ResponseError):
            return EntryId.parse(reply)
        if "equal or smaller" not in str(reply):
            raise refusal(self._redis, reply)
        return max(entry.entry_id, EntryId(*await self.last_id(shard)))

    async def _mend(self, shard: int, last: EntryId) -> None:
        """The stream ends with *last*: somebody else's, or the server lost what came after."""
        published = self._published[shard]
        if published.newest is not None and last < published.newest:
            lost = published.after(last)
            if published.lacks_all_after(last):
                log.error("bars of shard %d: the server lost more than is kept", shard)
            for entry in lost:
                last = max(last, await self._put(shard, entry, None))
            self.republished += len(lost)
            log.warning(
                "bars of shard %d: %d entries lost by the server, sent again", shard, len(lost)
            )
        published.newest = last

    async def last_id(self, shard: int) -> tuple[int, int]:
        """Token and flush number of the newest publication; (0, 0) where there is none.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        key = self._keys.bars(shard)
        newest = await command(self._redis, "XREVRANGE", key, "+", "-", "COUNT", 1)
        return EntryId.parse(newest[0][0]) if newest else ZERO_ID

    async def publish_running(self, shard: int, bars: Sequence[Bar]) -> None:
        """Publish the state of open windows; a lost one is made good by the next.

        Raises:
            StreamUnavailable: Redis is away or refuses; it may have been published.
        """
        key = self._keys.running(shard)
        payload = encode_bars(bars)
        await command(self._redis, "XADD", key, "MAXLEN", "~", _KEPT_RUNNING, "*", "b", payload)
