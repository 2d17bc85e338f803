"""StreamEnds: what was written to a stream last."""

from typing import Any, Final

from storage.entry_id import EntryId
from storage.redis import Redis, command

_PAGE: Final = 64  # entries of up to 43 KB in one reply
_MOST: Final = 2_000  # entries


class StreamEnds:
    """Reads streams from their ends. *redis* stays the caller's, who closes it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def tail(self, key: str, *, span_ms: int) -> list[bytes]:
        """The payloads of the last *span_ms* before the newest entry, oldest first; at most 2,000.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        found: list[bytes] = []
        end, since_ms = "+", None
        while len(found) < _MOST:
            reply: list[Any] = await command(
                self._redis, "XREVRANGE", key, end, since_ms or "-", "COUNT", _PAGE
            )
            found += [fields[1] for _, fields in reply]
            if len(reply) < _PAGE:
                break
            since_ms = since_ms or max(0, EntryId.parse(reply[0][0]).ms - span_ms)
            end = "(" + reply[-1][0].decode()
        return found[:_MOST][::-1]
