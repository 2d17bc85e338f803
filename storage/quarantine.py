"""QuarantineWriter: keeps the ticks that were not let in, for a person to look at."""

from collections.abc import Sequence
from typing import Final

import msgspec

from core.market.tick import Tick
from storage.keys import StreamKeys
from storage.redis import Command, Redis, ResponseError, command, exchange, refusal

_KEPT: Final = 10_000  # records; older ones go, which their counters tell
_ROUND: Final = 100  # records per exchange


class QuarantineRecord(msgspec.Struct, frozen=True):
    """A tick that was kept out, as it came (its numbers may be NaN or negative), and why."""

    feed: str
    reason: str
    at_ns: int
    tick: Tick
    detail: str = ""


_ENCODER: Final = msgspec.msgpack.Encoder()  # unlike JSON it carries NaN and infinity
_DECODER: Final = msgspec.msgpack.Decoder(QuarantineRecord)


class QuarantineWriter:
    """Appends to the quarantine stream, bounded to about 10,000 records."""

    def __init__(self, redis: Redis, keys: StreamKeys) -> None:
        """*redis* stays the caller's, who closes it."""
        self._redis, self._keys = redis, keys

    async def put(self, records: Sequence[QuarantineRecord]) -> None:
        """Keep *records*.

        Raises:
            StreamUnavailable: Redis is away or refuses; some of them may be kept.
        """
        commands: list[Command] = [
            ("XADD", self._keys.quarantine, "MAXLEN", "~", _KEPT, "*", "b", _ENCODER.encode(record))
            for record in records
        ]
        for at in range(0, len(commands), _ROUND):
            for reply in await exchange(self._redis, commands[at : at + _ROUND]):
                if isinstance(reply, ResponseError):
                    raise refusal(self._redis, reply)

    async def newest(self, count: int) -> list[QuarantineRecord]:
        """The newest *count* records, newest first.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        found = await command(
            self._redis, "XREVRANGE", self._keys.quarantine, "+", "-", "COUNT", count
        )
        return [_DECODER.decode(fields[1]) for _, fields in found]
