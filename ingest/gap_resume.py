"""Where a gap watch goes on: at what was remembered, and at the ends of the feed's streams."""

from collections.abc import Iterable
from typing import Final

import msgspec

from core.market.block import decode_block
from core.market.errors import BlockError
from core.market.notice import Gap
from core.market.symbol import Symbol
from ingest.gap_watch import GapWatch, SymbolRecord
from storage.gap_memory import GapMemory
from storage.keys import StreamKeys, shards_of
from storage.stream_ends import StreamEnds

_TAIL_MS: Final = 5_000  # of a stream: what is remembered is not half as old

_RECORDS: Final = msgspec.msgpack.Decoder(SymbolRecord)


async def resume_watch(
    watch: GapWatch,
    *,
    memory: GapMemory,
    ends: StreamEnds,
    keys: StreamKeys,
    feed: str,
    symbols: Iterable[Symbol],
) -> None:
    """Tell *watch* what another process, or an earlier run, knew of *symbols*.

    Raises:
        StreamUnavailable: Redis is away; with a new watch, try again.
    """
    wanted = set(symbols)
    for name, packed in (await memory.load()).items():
        if Symbol(name) in wanted:
            watch.resume(Symbol(name), _RECORDS.decode(packed))
    for shard in sorted(shards_of(wanted, keys.shards)):
        for payload in await ends.tail(keys.ticks(feed, shard), span_ms=_TAIL_MS):
            try:
                block = decode_block(payload)
                ticks = block.ticks()
            except BlockError:
                continue  # the aggregator says so
            watch.see((tick for tick in ticks if tick.symbol in wanted), now_ns=0)
            for notice in block.meta.notices:
                if isinstance(notice, Gap):
                    watch.was_told(notice)
    watch.reconnected()
