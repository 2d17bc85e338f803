"""OwnedShards: the shards that this aggregator folds: loaded when it gets them, dropped after."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from aggregator.flush import Flush, FlushWriter, Store
from aggregator.keeper import ShardKeeper
from aggregator.shards import ShardState, all_ended, all_stored
from core.market.bar import decode_bars
from core.runtime.ports import MonotonicClock
from storage.bar_writer import BarWriter
from storage.errors import StaleOwner
from storage.keys import StreamKeys
from storage.rows import Checkpoint
from storage.stream_reader import StreamReader

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5  # at the end of a replay, between looks at what other aggregators stored


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
    monotonic_ns: MonotonicClock
    states: dict[int, ShardState] = field(default_factory=dict, init=False)  # by shard
    streams: dict[str, tuple[str, int]] = field(default_factory=dict, init=False)  # feed, shard
    _feeds: list[str] = field(default_factory=list, init=False)
    _looked_ns: int = field(default=-(2**62), init=False)

    def follows(self, feed: str) -> bool:
        """Are the streams of *feed* read?"""
        return feed in self._feeds

    def follow_feed(self, feed: str) -> None:
        """Read the streams of *feed*, too; those that are read are read on."""
        if self.follows(feed):
            return
        self._feeds.append(feed)
        for state in self.states.values():
            self._follow(feed, state)

    async def settle(self, writer: FlushWriter) -> None:
        """Drop the shards that were lost, give up what others are to have, load what is new."""
        self.keeper.news.clear()
        for state in list(self.states.values()):
            if self.keeper.held.get(state.shard) != state.token:
                log.warning("shard %d: dropped, another aggregator has it", state.shard)
                self._drop(state)
        await self._part(writer)
        await self._load_granted()

    async def are_over(self, feeds: frozenset[str]) -> bool:
        """Have all of *feeds* ended, here and, by what is stored, on all other shards?"""
        if not all_ended(self.states.values(), feeds):
            return False
        others = set(range(self.keys.shards)).difference(self.states)
        if not others <= self.keeper.elsewhere:
            return False  # somebody must take them first
        now_ns = self.monotonic_ns()
        if not others or now_ns - self._looked_ns < _LOOK_S * 1e9:
            return not others
        self._looked_ns = now_ns
        stored = await self.database(lambda: self.store.load_checkpoints(sorted(others)))
        return all_stored(stored, others, feeds)

    async def _part(self, writer: FlushWriter) -> None:
        """Hand over the last flush of what others are to have; the leases go once it is stored."""
        surplus = [self.states[shard] for shard in self.keeper.surplus if shard in self.states]
        parts = tuple(s.take_flush(writer.committed.get(s.shard, 0)) for s in surplus)
        for state in surplus:
            self._drop(state)
            self.keeper.begin_parting(state.shard)
        if parts:
            tokens = {state.shard: state.token for state in surplus}
            await writer.hand_over(Flush(parts, self.monotonic_ns(), parting=tokens))

    def _drop(self, state: ShardState) -> None:
        """Forget *state*, all that was folded and not stored; read its streams no more."""
        del self.states[state.shard]
        for key in [key for key, (_, shard) in self.streams.items() if shard == state.shard]:
            del self.streams[key]
            self.reader.unfollow(key)

    async def _load_granted(self) -> None:
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
