"""ShardState: a shard's core with its stream positions, flush numbers and outbox. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aggregator.checkpoint import StreamPosition, encode_state, restore_state
from aggregator.shard import ShardCore
from core.market.bar import Bar, BarRow, encode_bars
from core.market.block import Block, BlockMeta
from core.market.timeframe import SECOND_NS
from storage.bars import Checkpoint


@dataclass(slots=True)
class ShardState:
    """One shard as the aggregator owns it. ``token`` names this owner's publications."""

    shard: int
    core: ShardCore
    token: int
    flush: int = 0
    positions: dict[str, StreamPosition] = field(default_factory=dict)  # by feed
    changed: bool = False  # positions moved since the last checkpoint

    @classmethod
    def fresh(cls, shard: int, *, token: int, keep_ids_ns: int) -> "ShardState":
        """A shard without a checkpoint."""
        return cls(shard, ShardCore(keep_ids_ns=keep_ids_ns), token)

    @classmethod
    def restored(cls, checkpoint: Checkpoint, *, keep_ids_ns: int) -> "ShardState":
        """A shard as its last committed flush left it.

        Raises:
            CheckpointError: the checkpoint is damaged or of another version.
        """
        state = cls.fresh(checkpoint.shard, token=checkpoint.token, keep_ids_ns=keep_ids_ns)
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

    def fold(self, feed: str, entry_id: str, block: Block, *, joined: int = 1) -> int:
        """Take in the next block of a stream; returns how many blocks before it are missing.

        *joined* blocks are in this one: it has the last one's number.

        A number at or below the last one means that another writer found less than was folded:
        nothing is missing that anybody could name. The caller has asked :meth:`is_repeat`.
        """
        before = self.positions.get(feed, StreamPosition())
        missing = max(0, block.meta.number - before.number - joined) if before.number else 0
        self.core.fold(feed, block, seen_from_ns=before.feed_time_ns)
        self.positions[feed] = StreamPosition(
            entry_id,
            block.meta.number,
            max(before.feed_time_ns, block.meta.feed_time_ns),
            block.meta.end,
            block.meta.epoch,
        )
        self.changed = True
        return missing

    def skip(self, feed: str, entry_id: str) -> None:
        """Pass over an entry that is no block, or a block that was folded before."""
        before = self.positions.get(feed, StreamPosition())
        self.positions[feed] = StreamPosition(
            entry_id, before.number, before.feed_time_ns, before.ended, before.epoch
        )
        self.changed = True

    def take_flush(self) -> tuple[list[BarRow], list[Bar], Checkpoint]:
        """The bars that wait, and the checkpoint that goes with them into one transaction."""
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
        return rows, bars, checkpoint


def keep_ids_ns(*, dedup_horizon_s: float, max_future_s: float) -> int:
    """How long ids are kept: an id may be seen that much of feed time before its event time."""
    return int((dedup_horizon_s + max_future_s) * SECOND_NS)


def all_ended(shards: Iterable[ShardState], feeds: frozenset[str]) -> bool:
    """Whether every one of *feeds* has ended on every shard."""
    return all(
        feed in shard.positions and shard.positions[feed].ended
        for shard in shards
        for feed in feeds
    )
