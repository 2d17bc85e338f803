"""A writer and a reader of a feed under load, and what became of each block."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from core.market.block import BlockMeta, decode_meta, encode_block
from core.market.symbol import Symbol
from core.market.tick import Tick
from storage.errors import StreamUnavailable
from storage.keys import StreamKeys
from storage.redis import connect
from storage.stream_reader import StreamReader
from storage.tick_writer import TickWriter
from tests.clocks import wall_ns

SHARDS = 16
_TICKS = [Tick(Symbol("SIM:A"), n, 1.0, 2.0, n) for n in range(20)]
_PAUSE_S = 0.004


@dataclass
class Traffic:
    """``written`` and ``read`` hold, by stream, the numbers of blocks; times are the loop's."""

    url: str
    keys: StreamKeys = field(default_factory=lambda: StreamKeys("load", SHARDS))
    read: dict[str, list[int]] = field(default_factory=dict)
    stored_at: list[float] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)
    missed_at: list[float] = field(default_factory=list)
    read_at: dict[str, float] = field(default_factory=dict)
    writing: bool = True

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[TickWriter]:
        """Write and read meanwhile; at the end all that was written is read."""
        redis = connect(self.url)
        writer = await TickWriter.open(
            redis,
            namespace=self.keys.namespace,
            feed="sim",
            shards=SHARDS,
            retention_s=1800,
            max_bytes=1 << 28,
            now_ns=wall_ns,
            on_down=lambda _: self.failed_at.append(now_s()),
        )
        reader = StreamReader(self.url, block_ms=1000)
        for shard in range(SHARDS):
            reader.follow(self.keys.ticks("sim", shard), "0-0")
            self.read[self.keys.ticks("sim", shard)] = []
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write(writer))
            reading = group.create_task(self._read(reader))
            yield writer
            self.writing = False
            await asyncio.wait([writing])
            async with asyncio.timeout(10):
                await self._last_read(writer)
            reading.cancel()
        await reader.close()
        await redis.aclose()

    def check(self, writer: TickWriter) -> None:
        """Every block was read once and in order."""
        for shard, numbers in enumerate(self.read.values()):
            assert numbers == list(range(1, writer.next_number(shard)))

    def resumed(self, since_s: float) -> bool:
        """Has something been stored, and read from every stream, since?"""
        return self.stored_at[-1] > since_s and all(
            self.read_at.get(key, 0.0) > since_s for key in self.read
        )

    async def _last_read(self, writer: TickWriter) -> None:
        while True:
            if self._all_read(writer):
                return
            await asyncio.sleep(0.01)

    def _all_read(self, writer: TickWriter) -> bool:
        return all(
            numbers[-1:] == [writer.next_number(shard) - 1]
            for shard, numbers in enumerate(self.read.values())
        )

    async def _write(self, writer: TickWriter) -> None:
        while self.writing:
            blocks = []
            for shard in range(SHARDS):
                meta = BlockMeta(
                    number=writer.next_number(shard),
                    watermark_ns=0,
                    feed_time_ns=0,
                    sealed_ns=wall_ns(),
                    epoch=writer.epoch,
                )
                blocks.append((shard, encode_block(meta, _TICKS)))
            await writer.append(blocks)
            self.stored_at.append(now_s())
            await asyncio.sleep(_PAUSE_S)

    async def _read(self, reader: StreamReader) -> None:
        while True:
            try:
                entries = await reader.read()
            except StreamUnavailable:
                self.missed_at.append(now_s())
                await asyncio.sleep(0.1)
                continue
            for entry in entries:
                self.read[entry.key].append(decode_meta(entry.payload).number)
                self.read_at[entry.key] = now_s()


def now_s() -> float:
    return asyncio.get_running_loop().time()
