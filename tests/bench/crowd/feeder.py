"""`python -m tests.bench.crowd.feeder ORDER`: writes ticks to the streams as an ingest does.

Prints a line when it begins and one when its input has ended: a :class:`Fed`.
"""

import asyncio
import select
import sys
import time
from collections.abc import Iterable

import msgspec

from core.market.block import MAX_TICKS, BlockMeta, encode_block
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from storage.redis import connect
from storage.streams import TickWriter, shard_of
from tests.bench.crowd.figures import symbol_names
from tests.bench.crowd.schedule import SECOND_NS, Due, Plan, dues
from tests.clocks import wall_ns

_LEAD_S = 0.1
_MAX_BYTES = 1 << 29
_RETENTION_S = 1_800


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Where to write what."""

    redis_url: str
    namespace: str
    shards: int
    plan: Plan


class Fed(msgspec.Struct, frozen=True, kw_only=True):
    """What was written; ids run from 1 for each symbol."""

    ticks: int
    seconds: float
    last_ids: list[int]  # by symbol; 0: none
    late_p99_ms: float  # the begin of a write after its time
    late_max_ms: float
    cpu_s: float


class Feeder:
    """Writes what is due; what is late keeps its time, so that lateness shows as latency."""

    def __init__(self, plan: Plan, writer: TickWriter, shards: int) -> None:
        self._writer, self._shards = writer, shards
        self._names = [Symbol(name) for name in symbol_names(plan.all_symbols)]
        self._ids = [0] * plan.all_symbols
        self._late_ns: list[int] = []
        self._began_ns = wall_ns() + int(_LEAD_S * SECOND_NS)
        self._dues = dues(plan, self._began_ns)
        self._next = next(self._dues)

    async def run(self) -> None:
        """Until the input ends."""
        while not _ended_before(self._next.write_ns):
            self._late_ns.append(wall_ns() - self._next.write_ns)
            await self._writer.append(self._blocks(self._due()))

    def fed(self) -> Fed:
        late_ns = sorted(self._late_ns) or [0]
        return Fed(
            ticks=sum(self._ids),
            seconds=(wall_ns() - self._began_ns) / SECOND_NS,
            last_ids=self._ids,
            late_p99_ms=late_ns[int(len(late_ns) * 0.99)] / 1e6,
            late_max_ms=late_ns[-1] / 1e6,
            cpu_s=time.process_time(),
        )

    def _due(self) -> Iterable[Due]:
        now_ns = wall_ns()
        while self._next.write_ns <= now_ns:
            yield self._next
            self._next = next(self._dues)

    def _blocks(self, due: Iterable[Due]) -> list[tuple[int, bytes]]:
        by_shard: dict[int, list[Tick]] = {}
        for _, event_ns, number in due:
            name = self._names[number]
            self._ids[number] = trade_id = self._ids[number] + 1
            price = 71_856.25 + (trade_id % 97) / 4
            tick = Tick(name, trade_id, price, 0.0125, event_ns, Side.BUY, trade_id)
            by_shard.setdefault(shard_of(name, self._shards), []).append(tick)
        return [block for shard, ticks in by_shard.items() for block in self._encode(shard, ticks)]

    def _encode(self, shard: int, ticks: list[Tick]) -> list[tuple[int, bytes]]:
        number = self._writer.next_number(shard)
        found: list[tuple[int, bytes]] = []
        for at in range(0, len(ticks), MAX_TICKS):
            part = ticks[at : at + MAX_TICKS]
            feed_ns = part[-1].event_ns
            meta = BlockMeta(
                number=number + len(found),
                watermark_ns=feed_ns,
                feed_time_ns=feed_ns,
                sealed_ns=wall_ns(),
            )
            found.append((shard, encode_block(meta, part)))
        return found


def _ended_before(at_ns: int) -> bool:
    """Wait until *at_ns*, exactly; True as soon as the input has ended."""
    remaining_s = max(0.0, (at_ns - wall_ns()) / SECOND_NS)
    heard, _, _ = select.select([sys.stdin], [], [], remaining_s)
    return bool(heard)


async def _feed(order: Order) -> Fed:
    redis = connect(order.redis_url)
    try:
        writer = await TickWriter.open(
            redis,
            namespace=order.namespace,
            shards=order.shards,
            feed="bench",
            venue="BENCH",
            retention_s=_RETENTION_S,
            max_bytes=_MAX_BYTES,
            now_ns=wall_ns,
        )
        print("open", flush=True)
        told = await asyncio.to_thread(sys.stdin.readline)  # to begin; or the input has ended
        feeder = Feeder(order.plan, writer, order.shards)
        if told:
            await feeder.run()
        return feeder.fed()
    finally:
        await redis.aclose()


if __name__ == "__main__":
    fed = asyncio.run(_feed(msgspec.json.decode(sys.argv[1], type=Order)))
    print(msgspec.json.encode(fed).decode(), flush=True)
