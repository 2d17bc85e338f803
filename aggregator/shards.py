"""ShardState: a shard's core with its stream positions, flush numbers and outbox. No I/O."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from aggregator.checkpoint import StreamPosition, decode_positions, encode_state, restore_state
from aggregator.folded import Folded, FoldedTicks
from aggregator.pending import Applied
from aggregator.shard import ShardCore
from core.market.amended import Word
from core.market.bar import Bar, BarRow, encode_bars
from core.market.block import Block, BlockMeta, Ticks
from core.market.notice import Gap
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS, SECOND_NS
from storage.bars import Checkpoint
from storage.rows import Retold

_BEFORE_TIME: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class ShardFlush:
    """What a flush writes of one shard, and the bars to publish once that is stored."""

    checkpoint: Checkpoint
    rows: Sequence[BarRow] = ()
    bars: Sequence[Bar] = ()
    last_trades: Sequence[Tick] = ()
    folded: Sequence[Folded] = ()  # for the tick log
    amendments: Sequence[Word] = ()
    retold: Sequence[Retold] = ()
    covered: Mapping[int, int | None] = field(default_factory=dict)  # see FlushBatch


@dataclass(slots=True)
class ShardState:
    """One shard as the aggregator owns it. ``token`` names this owner's publications."""

    shard: int
    core: ShardCore
    token: int
    flush: int = 0
    positions: dict[str, StreamPosition] = field(default_factory=dict)  # by feed
    changed: bool = False  # positions moved since the last checkpoint
    under_way: str = ""  # the feed of which a block is being folded: others are asked about it
    folded: FoldedTicks | None = None  # None: ticks are not logged
    applied: Applied = field(default_factory=Applied)
    covered: dict[int, int | None] = field(default_factory=dict)  # see FlushBatch; told once
    _counted: tuple[int, int] = (0, 0)

    @classmethod
    def fresh(cls, shard: int, *, token: int, keep_ids_ns: int) -> "ShardState":
        """A shard without a checkpoint."""
        return cls(shard, ShardCore(keep_ids_ns=keep_ids_ns), token)

    @classmethod
    def restored(cls, checkpoint: Checkpoint, *, token: int, keep_ids_ns: int) -> "ShardState":
        """A shard as its last committed flush left it, whoever wrote that; *token* goes on.

        Raises:
            CheckpointError: the checkpoint is damaged or of another version.
        """
        state = cls.fresh(checkpoint.shard, token=token, keep_ids_ns=keep_ids_ns)
        state.flush = checkpoint.flush
        state.positions = restore_state(
            checkpoint.shard, checkpoint.state, state.core, keep_ids_ns=keep_ids_ns
        )
        return state

    def is_repeat(self, feed: str, meta: BlockMeta) -> bool:
        """Was this block of *feed* folded before? It is to be skipped then."""
        before = self.positions.get(feed)
        return before is not None and meta.order <= (before.epoch, before.number)

    def is_next(self, feed: str, meta: BlockMeta) -> bool:
        """Does this block of *feed* come right after the newest one, by the same writer?"""
        before = self.positions.get(feed)
        return before is not None and meta.order == (before.epoch, before.number + 1)

    def fold(
        self, feed: str, entry_id: str, block: Block, *, payloads: Sequence[bytes] = ()
    ) -> int:
        """Take in the next block of a stream; returns how many blocks before it are missing.

        *payloads* are those that it was joined of, if it was: it has the last one's number.

        A number at or below the last one means that another writer found less than was folded:
        nothing is missing that anybody could name. The caller has asked :meth:`is_repeat`.
        """
        before = self.positions.get(feed, StreamPosition())
        blocks = max(len(payloads), 1)
        missing = max(0, block.meta.number - before.number - blocks) if before.number else 0
        self.core.fold(feed, block, seen_from_ns=before.feed_time_ns)
        if self.folded is not None:
            self.folded.add(block, self.core.dropped, payloads=payloads)
        if missing:
            times = {"from_ns": _in_time_from(before), "to_ns": block.meta.feed_time_ns}
            self.core.lose(feed, block.symbols, **times)
        for notice in block.meta.notices:
            if isinstance(notice, Gap):
                self.core.heed(notice)
        self.positions[feed] = StreamPosition(
            entry_id,
            block.meta.number,
            max(before.feed_time_ns, block.meta.feed_time_ns),
            block.meta.end,
            block.meta.epoch,
            max(before.watermark_ns, block.meta.watermark_ns),
        )
        self.changed = True
        return missing

    def fold_verified(self, feed: str, ticks: Ticks) -> None:
        """Take in late ticks that the log does not have."""
        self.core.fold_verified(feed, ticks)
        if self.folded is not None:
            self.folded.add(ticks, ())
        self.changed = True

    def skip(self, feed: str, entry_id: str) -> None:
        """Pass over an entry that is no block, or a block that was folded before."""
        before = self.positions.get(feed, StreamPosition())
        self.positions[feed] = msgspec.structs.replace(before, entry_id=entry_id)
        self.changed = True

    def begin_log(self, *, wanted: bool) -> None:
        """Keep what is folded from now on for the log, or not; before the first fold.

        A log that begins now covers what comes after all that was folded without one.
        """
        known = [s.newest_ns for s in self.core.symbols.values() if s.newest_ns is not None]
        from_ns = max(known) + MINUTE_NS if known else _BEFORE_TIME
        self.folded = FoldedTicks() if wanted else None
        self.covered = {self.shard: from_ns if wanted else None}

    def take_flush(self, committed: int) -> ShardFlush:
        """What waits, and the checkpoint that goes with it into one transaction.

        *committed* is the newest of this shard's flushes that is stored: what is closed and in it
        may leave memory.
        """
        self.flush += 1
        rows = self.core.take_rows(self.flush)
        bars = [row.bar for row in rows]
        self.changed = False
        checkpoint = Checkpoint(
            shard=self.shard,
            token=self.token,
            flush=self.flush,
            state=encode_state(self.core, self.positions),
            outbox=encode_bars(bars) if bars else b"",
        )
        covered, self.covered = self.covered, {}
        amendments, retold = self.applied.hand_over(self.flush, committed)
        part = ShardFlush(
            checkpoint,
            rows,
            bars,
            self.core.take_last_trades(),
            self._take_log(committed),
            amendments,
            retold,
            covered,
        )
        self.core.evict(committed)
        return part

    def _take_log(self, committed: int) -> Sequence[Folded]:
        if self.folded is None:
            return ()
        self.folded.forget(committed)
        return self.folded.hand_over(self.flush)

    def take_counts(self) -> tuple[int, int]:
        """Duplicates and late ticks since the last call."""
        before, self._counted = self._counted, (self.core.duplicates, self.core.late)
        return self._counted[0] - before[0], self._counted[1] - before[1]


def _in_time_from(position: StreamPosition) -> int:
    """The earliest event time of trades that came behind *position* in time: its watermark.

    A watermark may lag, as that of a feed without a tick does: a minute is looked back at most.
    """
    newest_ns = position.feed_time_ns
    if newest_ns == _BEFORE_TIME:
        return newest_ns
    return min(newest_ns, max(position.watermark_ns, newest_ns - MINUTE_NS))


def keep_ids_ns(*, dedup_horizon_s: float, max_future_s: float) -> int:
    """How long ids are kept: an id may be seen that much of feed time before its event time."""
    return int((dedup_horizon_s + max_future_s) * SECOND_NS)


def all_ended(shards: Iterable[ShardState], feeds: frozenset[str]) -> bool:
    """Whether every one of *feeds* has ended on every shard."""
    return all(_have_ended(shard.positions, feeds) for shard in shards)


def all_stored(
    checkpoints: Iterable[Checkpoint], shards: Collection[int], feeds: frozenset[str]
) -> bool:
    """Whether the *checkpoints* say that every one of *feeds* has ended on all of *shards*.

    Raises:
        CheckpointError: one is damaged or of another version.
    """
    stored = {c.shard: decode_positions(c.shard, c.state) for c in checkpoints}
    return all(_have_ended(stored.get(shard, {}), feeds) for shard in shards)


def _have_ended(positions: Mapping[str, StreamPosition], feeds: frozenset[str]) -> bool:
    return all(feed in positions and positions[feed].ended for feed in feeds)
