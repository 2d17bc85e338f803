"""OwnedShards: the shards that this aggregator folds: loaded when it gets them, dropped after."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aggregator.flush import Store
from aggregator.keeper import ShardKeeper
from aggregator.shards import ShardState
from core.market.bar import decode_bars
from storage.bar_writer import BarWriter
from storage.errors import StaleOwner
from storage.keys import StreamKeys
from storage.rows import Checkpoint
from storage.stream_reader import StreamReader

log = logging.getLogger(__name__)


class Waits(Protocol):
    """Makes a call until its dependency answers."""

    async def __call__(self, call: Callable[[], Awaitable[Any]]) -> Any: ...


@dataclass(kw_only=True)
class OwnedShards:
    """What the folding task owns; nobody else touches it.

    A shard comes with its checkpoint: what its last owner stored but perhaps did not publish goes
    out once more, under the same id, then its streams are read from where that owner stopped.
    """

    keeper: ShardKeeper
    keys: StreamKeys
    store: Store
    publisher: BarWriter
    reader: StreamReader
    keep_ids_ns: int
    log_ticks: bool
    database: Waits
    redis: Waits
    states: dict[int, ShardState] = field(default_factory=dict, init=False)  # by shard
    streams: dict[str, tuple[str, int]] = field(default_factory=dict, init=False)  # feed, shard
    _feeds: list[str] = field(default_factory=list, init=False)

    def follow_feed(self, feed: str) -> None:
        """Read the streams of *feed*, too."""
        self._feeds.append(feed)
        for state in self.states.values():
            self._follow(feed, state)

    def surplus(self) -> list[ShardState]:
        """The shards that others are to have: to be flushed, and dropped."""
        return [self.states[shard] for shard in self.keeper.surplus if shard in self.states]

    def drop(self, state: ShardState) -> None:
        """Forget *state*, and read its streams no more."""
        del self.states[state.shard]
        for key in [key for key, (_, shard) in self.streams.items() if shard == state.shard]:
            del self.streams[key]
            self.reader.unfollow(key)

    def drop_lost(self) -> None:
        """Drop what others own by now, with all that was folded and not stored."""
        for state in list(self.states.values()):
            if self.keeper.held.get(state.shard) != state.token:
                log.warning("shard %d: dropped, another aggregator has it", state.shard)
                self.drop(state)

    async def load_granted(self) -> None:
        """Load the shards that this aggregator got since the last call."""
        granted = {
            shard: token
            for shard, token in self.keeper.held.items()
            if shard not in self.states and not self.keeper.is_parting(shard)
        }
        if not granted:
            return
        found: Sequence[Checkpoint] = await self.database(
            lambda: self.store.load_checkpoints(sorted(granted))
        )
        stored = {checkpoint.shard: checkpoint for checkpoint in found}
        if stored:
            log.info("%d shards go on from their checkpoints", len(stored))
        for shard, token in granted.items():
            await self._load(shard, token, stored.get(shard))

    async def _load(self, shard: int, token: int, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None:
            state = ShardState.fresh(shard, token=token, keep_ids_ns=self.keep_ids_ns)
        else:
            state = ShardState.restored(checkpoint, token=token, keep_ids_ns=self.keep_ids_ns)
            if checkpoint.outbox:
                await self._publish_again(checkpoint)
        newest, _ = await self.redis(lambda: self.publisher.last_id(shard))
        if newest >= token:  # the database was restored from a copy, say
            self.keeper.outbid(shard, above=newest)
            return
        state.begin_log(wanted=self.log_ticks)
        self.states[shard] = state
        for feed in self._feeds:
            self._follow(feed, state)

    async def _publish_again(self, last: Checkpoint) -> None:
        bars = decode_bars(last.outbox)
        try:
            await self.redis(
                lambda: self.publisher.publish(
                    last.shard, token=last.token, flush=last.flush, bars=bars
                )
            )
        except StaleOwner as exc:  # the stream is newer than the database: it has them, or better
            log.warning("bars of the checkpoint were not published again: %s", exc)

    def _follow(self, feed: str, state: ShardState) -> None:
        key = self.keys.ticks(feed, state.shard)
        self.streams[key] = (feed, state.shard)
        position = state.positions.get(feed)
        self.reader.follow(key, position.entry_id if position else "0-0")
