"""Recall: which trades of a feed were published lately, so that none goes out again."""

from collections.abc import Iterator
from typing import Final

from core.market.block import decode_block
from core.market.errors import BlockError
from core.market.tick import Tick
from storage.keys import StreamKeys
from storage.stream_ends import StreamEnds

SPAN_MS: Final = 30_000  # by the clock of writing: what a venue repeats, it repeats soon
MAX_TICKS: Final = 100_000  # over all shards, the newest; a quarter of a second of work


async def recall(ends: StreamEnds, keys: StreamKeys, feed: str) -> list[Tick]:
    """The newest ticks on the streams of *feed*: at most :data:`SPAN_MS` and :data:`MAX_TICKS`.

    A trade that comes again after those is delivered again; in a bar it counts once all the same.

    Raises:
        StreamUnavailable: Redis is away; try again.
    """
    found: list[Tick] = []
    for shard in range(keys.shards):
        payloads = await ends.tail(keys.ticks(feed, shard), span_ms=SPAN_MS)
        count = 0
        for ticks in _newest_first(payloads):
            found += ticks
            count += len(ticks)
            if count >= MAX_TICKS // keys.shards:
                break
    return found


def _newest_first(payloads: list[bytes]) -> Iterator[list[Tick]]:
    for payload in reversed(payloads):
        try:
            yield list(decode_block(payload).ticks())
        except BlockError:
            continue  # the aggregator says so
