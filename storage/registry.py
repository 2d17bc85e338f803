"""FeedRegistry: which feeds have streams, so that readers find them."""

from typing import Final

import msgspec
from redis.asyncio import Redis

from storage.keys import StreamKeys
from storage.redis import command


class FeedInfo(msgspec.Struct, frozen=True):
    """A feed that writes, or once wrote, tick streams: ``feed`` names them."""

    feed: str
    venue: str
    shards: int
    registered_ms: int


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(FeedInfo)


class FeedRegistry:
    """The feeds of one deployment, in a hash."""

    def __init__(self, redis: Redis, keys: StreamKeys) -> None:
        self._redis, self._keys = redis, keys

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

    async def count(self) -> int:
        """How many feeds are registered.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        return int(await command(self._redis, "HLEN", self._keys.feeds))
