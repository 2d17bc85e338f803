"""Drives one shard with its log as the service does, over a stream and a store in memory."""

from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from aggregator.flush import Flush
from aggregator.late import judge
from aggregator.rebuild import Rebuilt, rebuild
from aggregator.shards import ShardFlush, ShardState
from core.market.amended import Word
from core.market.bar import Bar, BarRow
from core.market.block import BlockMeta, Ticks, decode_block, encode_block
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import Timeframe
from storage.rebuilds import RebuildRequest
from storage.rows import Checkpoint, FlushBatch
from storage.tick_codec import LogSlot, decode_slot, decode_symbol
from storage.tick_log import FlushId

KEEP_IDS_NS = 3600 * 10**9
Key = tuple[Symbol, Timeframe, int]
T = TypeVar("T")


def done(call: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits for something")


class Stored:
    """What the database has: rows, the checkpoint and the log, changed by whole flushes only."""

    def __init__(self) -> None:
        self.rows: dict[Key, BarRow] = {}
        self.checkpoint: Checkpoint | None = None
        self.covered: int | None = None
        self.log: dict[tuple[int, FlushId], LogSlot] = {}
        self.said: set[Word] = set()

    async def flush(self, batch: FlushBatch) -> None:
        (self.checkpoint,) = batch.checkpoints
        for row in batch.rows:
            self.rows[row.bar.symbol, row.bar.timeframe, row.bar.start_ns] = row
        for part in batch.log:
            key = (part.slot.slot_ns, FlushId(part.token, part.flush))
            assert key not in self.log
            self.log[key] = part.slot
        self.said |= set(batch.amendments)
        if self.covered is None:
            self.covered = batch.covered.get(0)

    async def load_rows(self, keys: Sequence[Key]) -> list[BarRow]:
        return [self.rows[key] for key in keys if key in self.rows]

    async def load_checkpoints(self, shards: Sequence[int]) -> list[Checkpoint]:
        return [] if self.checkpoint is None else [self.checkpoint]

    async def newest_windows(self, symbols: Sequence[Symbol]) -> dict[Symbol, int]:
        found: dict[Symbol, int] = {}
        for symbol, of, start_ns in self.rows:
            if of is Timeframe.MIN_1 and symbol in symbols:
                found[symbol] = max(start_ns, found.get(symbol, start_ns))
        return found

    async def amendments(self, symbol: Symbol) -> list[Word]:
        return [each for each in self.said if each.symbol == symbol]

    async def parts(
        self,
        symbol: Symbol,
        start_ns: int,
        end_ns: int,
        *,
        without: frozenset[FlushId] = frozenset(),
    ) -> AsyncIterator[Ticks]:
        for (_, flush_id), slot in sorted(self.log.items(), key=lambda item: item[0]):
            some = decode_symbol(slot.payload, symbol)
            if some is not None and flush_id not in without:
                yield some.between(start_ns, end_ns)

    async def covered_from(self, symbol: Symbol) -> int | None:
        return self.covered

    def logged(self) -> list[Tick]:
        """By slot, then in order of arrival."""
        slots = [slot for _, slot in sorted(self.log.items(), key=lambda item: item[0])]
        return [
            tick for slot in slots for some in decode_slot(slot.payload) for tick in some.ticks()
        ]

    def bars(self) -> dict[Key, Bar]:
        return {key: row.bar for key, row in self.rows.items()}


class Deployment:
    """A shard that reads a stream of blocks; a kill loses all that is not stored."""

    def __init__(self) -> None:
        self.stored = Stored()
        self.unverifiable: list[Tick] = []
        self.looked_up = 0
        self._stream: list[bytes] = []
        self._feed_time_ns = -(2**63)
        self._waiting: list[ShardFlush] = []  # handed over, not stored
        self._committed = 0
        self.state = self._load()

    def publish(self, ticks: Sequence[Tick]) -> None:
        """A block of a feed whose time is its newest event."""
        self._feed_time_ns = max([self._feed_time_ns, *(tick.event_ns for tick in ticks)])
        meta = BlockMeta(
            number=len(self._stream) + 1,
            watermark_ns=self._feed_time_ns - 2 * 10**9,
            feed_time_ns=self._feed_time_ns,
            sealed_ns=0,
        )
        self._stream.append(encode_block(meta, ticks))

    def fold(self) -> None:
        """Fold what is on the stream and was not."""
        position = self.state.positions.get("f")
        for payload in self._stream[position.number if position else 0 :]:
            block = decode_block(payload)
            self.state.fold("f", "0-1", block)
            self.supply()
            doubtful, self.state.core.doubtful = self.state.core.doubtful, []
            self.looked_up += len(doubtful)
            verdict = done(judge(self.state, doubtful, log=self.stored, store=self.stored))
            self.unverifiable += verdict.unverifiable
            for new in verdict.new_ticks():
                self.state.fold_verified("f", new)
            self.supply()
            self.state.core.close_due("f", block.meta.watermark_ns)

    def close(self) -> None:
        """Close every window, as a feed that ends does."""
        self.state.core.close_due("f", 2**62)

    def hand_over(self) -> None:
        """Take a flush, which is not stored yet."""
        self._waiting.append(self.state.take_flush(self._committed))

    def store(self) -> None:
        """Store the oldest flush that waits."""
        if self._waiting:
            part = self._waiting.pop(0)
            done(self.stored.flush(Flush((part,), 0).encoded()))
            self._committed = part.checkpoint.flush

    def kill(self) -> None:
        """Go on from what is stored."""
        self._waiting = []
        self.state = self._load()

    def rebuild(self, symbol: Symbol, start_ns: int, end_ns: int) -> Rebuilt:
        request = RebuildRequest(1, 0, symbol, start_ns, end_ns, False)
        found = done(rebuild(self.state, request, log=self.stored, store=self.stored))
        found.take_effect(self.state)
        return found

    def _load(self) -> ShardState:
        last = self.stored.checkpoint
        if last is None:
            state = ShardState.fresh(0, token=1, keep_ids_ns=KEEP_IDS_NS)
        else:
            token = last.token + 1
            state = ShardState.restored(last, token=token, keep_ids_ns=KEEP_IDS_NS)
        state.begin_log(wanted=True)
        self._committed = state.flush
        return state

    def supply(self) -> None:
        while wanted := self.state.core.wanted():
            newest = done(self.stored.newest_windows(sorted(wanted.symbols)))
            rows = done(self.stored.load_rows(sorted(wanted.windows)))
            self.state.core.supply(wanted, newest, rows)
