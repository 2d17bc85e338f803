"""StreamReader: reads streams from positions of the caller's, over a connection of its own."""

from typing import Final, NamedTuple

from storage.redis import Held, command, connect, packed_strings

_LATEST: Final = "$"
_ANSWER_S: Final = 2.0  # a server that is this late after the blocking time counts as gone


class Entry(NamedTuple):
    """One entry of a stream."""

    key: str
    entry_id: str
    payload: bytes


class StreamReader:
    """Plain XREAD, no consumer group: the positions are the reader's.

    One task owns a reader. A black-holed server is noticed ``block_ms`` plus 2 s after a call.
    XREAD jumps over a trimmed stretch in silence: compare block numbers.
    """

    def __init__(self, redis_url: str, *, block_ms: int = 1000, count: int = 8) -> None:
        """Connects at the first read.

        Args:
            redis_url: as for :func:`storage.redis.connect`.
            block_ms: how long a read waits for an entry, > 0.
            count: at most so many entries per stream and read; with blocks of 42 KB and 16
                streams, 8 bound a reply to 5.4 MB.
        """
        self._redis = connect(
            redis_url, command_timeout_s=block_ms / 1000 + _ANSWER_S, max_connections=2
        )
        self._held = Held(self._redis)
        self._block_ms, self._count = block_ms, count
        self._positions: dict[str, str] = {}
        self._head = b""  # of XREAD, packed: all of it but the ids; made anew for other streams

    @property
    def positions(self) -> dict[str, str]:
        """By key, the id after which the next read goes on; a copy."""
        return dict(self._positions)

    def follow(self, key: str, after_id: str) -> None:
        """Read *key* too, or from elsewhere: after ``"0-0"`` all of it, after ``"$"`` what comes.

        ``"$"`` is resolved by the next read, before it waits.
        """
        if key not in self._positions:
            self._head = b""
        self._positions[key] = after_id

    def unfollow(self, key: str) -> None:
        """Read *key* no more."""
        self._positions.pop(key, None)
        self._head = b""

    async def read(self) -> list[Entry]:
        """The next entries, in order within a stream; none after ``block_ms`` without any.

        Cancelled or failed, it has not moved any position: call again.

        Raises:
            StreamUnavailable: Redis is away, late or refuses.
            ValueError: no stream is followed.
        """
        await self._resolve_latest()
        reply = await self._held.command(self._xread())
        entries = [
            Entry(key.decode(), entry_id.decode(), fields[1])
            for key, found in reply or ()
            for entry_id, fields in found
        ]
        for entry in entries:
            self._positions[entry.key] = entry.entry_id
        return entries

    async def close(self) -> None:
        """Drop the connection; the reader may be used again."""
        await self._held.close()
        await self._redis.aclose()

    def _xread(self) -> bytes:
        if not self._positions:
            raise ValueError("follow a stream before reading")
        if not self._head:
            options = ["COUNT", str(self._count), "BLOCK", str(self._block_ms)]
            words = ["XREAD", *options, "STREAMS", *self._positions]
            number = len(words) + len(self._positions)
            self._head = b"*%d\r\n" % number + packed_strings(words)
        return self._head + packed_strings(list(self._positions.values()))

    async def _resolve_latest(self) -> None:
        for key in [key for key, at in self._positions.items() if at == _LATEST]:
            newest = await command(self._redis, "XREVRANGE", key, "+", "-", "COUNT", 1)
            self._positions[key] = newest[0][0].decode() if newest else "0-0"
