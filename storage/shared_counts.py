"""SharedCounts: counts of requests in Redis, that all gateways share, for the package `limits`."""

import logging
from collections.abc import Callable
from typing import Final

from limits.aio.storage import Storage

from storage.errors import StreamUnavailable
from storage.redis import Redis, ResponseError, refusal
from storage.scripts import Script

_LOG: Final = logging.getLogger(__name__)

_MAX_SEEN: Final = 10_000  # counts of which the last answer is remembered; then anew
_MS_S: Final = 1_000

# The count and its end are made in one step: none can be left without an end.
_COUNT: Final = Script(
    """
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  left = tonumber(ARGV[2])
end
return {count, left}
"""
)


class SharedCounts(Storage):
    """A storage of `limits` over whichever Redis, Sentinels or Cluster a client speaks to.

    A hit costs one round trip; what it told is remembered, so that asking for the count and for
    its end afterwards costs none. Every call raises StreamUnavailable while Redis is away.
    """

    STORAGE_SCHEME = None

    def __init__(self, redis: Redis, *, namespace: str, now_s: Callable[[], float]) -> None:
        """*redis* stays the caller's; *namespace* comes first in every key; *now_s* is UNIX."""
        super().__init__()
        self._redis, self._namespace, self._now_s = redis, namespace, now_s
        self._is_away = False  # as the last hit found it: told when it changes
        self._seen: dict[str, tuple[int, float]] = {}  # count, and its end in UNIX seconds

    @property
    def base_exceptions(self) -> type[Exception]:
        return StreamUnavailable

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count *amount* more; a new count ends *expiry* seconds from now."""
        try:
            count, left_ms = await self._count(key, expiry, amount)
        except StreamUnavailable as exc:
            if not self._is_away:
                _LOG.warning("the requests of keys are counted by this gateway alone: %s", exc)
            self._is_away = True
            raise
        if self._is_away:
            _LOG.info("the requests of keys are counted by all gateways together again")
        self._is_away = False
        if len(self._seen) >= _MAX_SEEN and key not in self._seen:
            self._seen.clear()
        self._seen[key] = count, self._now_s() + left_ms / _MS_S
        return count

    async def _count(self, key: str, expiry: int, amount: int) -> tuple[int, int]:
        call = [f"{self._namespace}:{key}"], [amount, expiry * _MS_S]
        (reply,) = await _COUNT.run(self._redis, [call])
        if isinstance(reply, ResponseError):
            raise refusal(self._redis, reply)
        return int(reply[0]), int(reply[1])

    async def get(self, key: str) -> int:
        """The count as the last hit saw it."""
        return self._seen.get(key, (0, 0.0))[0]

    async def get_expiry(self, key: str) -> float:
        """When it ends, as the last hit saw it; UNIX seconds."""
        return self._seen.get(key, (0, self._now_s()))[1]

    async def check(self) -> bool:
        """Is Redis there?"""
        (reply,) = await self._redis.exchange([("PING",)])
        return not isinstance(reply, ResponseError)

    async def reset(self) -> None:
        """Nothing: counts end by themselves, and other programs may share the server."""

    async def clear(self, key: str) -> None:
        """Let the count begin anew."""
        self._seen.pop(key, None)
        await self._redis.exchange([("DEL", f"{self._namespace}:{key}")])
