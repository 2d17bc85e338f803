"""BarWriter: publishes closed, revised and running bars for the gateways."""

from collections.abc import Sequence
from typing import Final

from core.market.bar import Bar, encode_bars
from storage.entry_id import ZERO_ID, EntryId
from storage.errors import StaleOwner
from storage.keys import StreamKeys
from storage.redis import Redis, ResponseError, command, exchange, refusal

_KEPT_FLUSHES: Final = 2_000  # entries of a shard's bar stream, about half an hour of flushes
_KEPT_RUNNING: Final = 100  # running bars are worth something for a second or two


class BarWriter:
    """Appends bars to the streams of their shards. The aggregator is the only user.

    A publication is named by the owner's fencing token and its flush number, so repeating one
    changes nothing and a stale owner's is refused.
    """

    def __init__(self, redis: Redis, keys: StreamKeys) -> None:
        """*redis* stays the caller's, who closes it."""
        self._redis, self._keys = redis, keys

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
        entry_id = EntryId(token, flush)
        key = self._keys.bars(shard)
        payload = encode_bars(bars)
        (reply,) = await exchange(
            self._redis,
            [("XADD", key, "MAXLEN", "~", _KEPT_FLUSHES, str(entry_id), "b", payload)],
        )
        if not isinstance(reply, ResponseError):
            return
        if "equal or smaller" not in str(reply):
            raise refusal(self._redis, reply)
        stored_token, _ = await self.last_id(shard)
        if stored_token > token:
            raise StaleOwner({shard: (token, stored_token)})

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
