"""GapMemory: what a feed knew of its symbols' trade ids, for the process that goes on with it."""

from collections.abc import Mapping

from storage.keys import StreamKeys
from storage.redis import Redis, command


class GapMemory:
    """A hash per feed, one field per symbol; at most a second older than the streams."""

    def __init__(self, redis: Redis, keys: StreamKeys, feed: str) -> None:
        """*redis* stays the caller's, who closes it."""
        self._redis, self._key = redis, keys.gaps(feed)

    async def load(self) -> dict[str, bytes]:
        """The records by symbol, as they were put.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        fields: list[bytes] = await command(self._redis, "HGETALL", self._key)
        return {
            name.decode(): record for name, record in zip(fields[::2], fields[1::2], strict=True)
        }

    async def put(self, records: Mapping[str, bytes]) -> None:
        """Remember *records*, each in the place of its symbol's one.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        flat = [part for name, record in records.items() for part in (name, record)]
        await command(self._redis, "HSET", self._key, *flat)
