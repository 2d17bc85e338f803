"""FeedRegistry: which feeds have streams, so that readers find them."""

from typing import Final

import msgspec

from storage.keys import StreamKeys
from storage.redis import Redis, command

STOPPED_MS: Final = 60_000
"""A feed that is not registered again for so long does not run: those that run do six times as
often."""


class FeedInfo(msgspec.Struct, frozen=True):
    """A feed that writes, or once wrote, tick streams: ``feed`` names them.

    A writer that appends registers again every few seconds, so ``registered_ms`` tells the feeds
    that run from those that ran once. ``bars_only``: its ticks are from the past and are there for
    the bars; no subscriber gets them. ``stocks``: the venue's symbols are stocks.
    """

    feed: str
    venue: str
    shards: int
    registered_ms: int
    bars_only: bool = False
    stocks: bool = False


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(FeedInfo)


class FeedRegistry:
    """The feeds of one deployment, in a hash."""

    def __init__(self, redis: Redis, keys: StreamKeys) -> None:
        self._redis, self._keys = redis, keys
        self._released: set[str] = set()  # feeds that ran once, cut to their last entries

    async def register(self, feed: FeedInfo) -> None:
        """Make *feed* known, or known anew.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        await command(self._redis, "HSET", self._keys.feeds, feed.feed, _ENCODER.encode(feed))

    async def feeds(self) -> list[FeedInfo]:
        """All feeds ever registered, by name.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        fields: list[bytes] = await command(self._redis, "HVALS", self._keys.feeds)
        return sorted((_DECODER.decode(value) for value in fields), key=lambda info: info.feed)

    async def release_silent(self, now_ms: int, silent_ms: int, *, besides: str) -> bool:
        """:meth:`release` feeds that nobody has written for so long; was there one?

        Not the feed *besides*, and each once, until it is written again.

        Raises:
            StreamUnavailable: Redis is away; ask again.
        """
        found = False
        for feed in await self.feeds():
            age_ms = now_ms - feed.registered_ms
            if age_ms <= min(STOPPED_MS, silent_ms):
                self._released.discard(feed.feed)
            elif age_ms > silent_ms and feed.feed not in self._released | {besides}:
                await self.release(feed)
                self._released.add(feed.feed)
                found = True
        return found

    async def release(self, feed: FeedInfo) -> None:
        """Cut a feed that nobody writes any more to the last entry of each of its streams.

        The last entry stays, as it carries the position from which the feed would go on.

        Raises:
            StreamUnavailable: Redis is away; release it again.
        """
        keys = StreamKeys(self._keys.namespace, feed.shards)
        for shard in range(feed.shards):
            await command(self._redis, "XTRIM", keys.ticks(feed.feed, shard), "MAXLEN", "=", 1)
