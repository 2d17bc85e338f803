"""Shard blocks: ticks of one feed put in order into numbered blocks per shard. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from core.market.block import MAX_TICKS, BlockMeta, encode_block
from core.market.notice import Notice
from core.market.symbol import Symbol
from core.market.tick import Tick
from ingest.feed_clock import NEVER
from storage.keys import shard_of

MAX_BATCH: Final = 250  # ticks of one call: a block is sealed when the next batch may not fit
END_OF_TIME: Final = 2**63 - 1  # the watermark of a feed that ended: every window closes
_MAX_ROUTES: Final = 50_000  # symbols remembered with their shard


class Moment(NamedTuple):
    """One moment on the three clocks that a block knows of."""

    feed_ns: int  # feed time
    monotonic_ns: int
    wall_ns: int


class Sealed(NamedTuple):
    """A block ready for its stream."""

    shard: int
    number: int
    ticks: int
    payload: bytes


@dataclass(slots=True)
class _Shard:
    number: int  # of the next block
    stored_position: int  # ticks from before it are on the stream already
    watermark_ns: int
    ended: bool
    sealed_ns: int = 0  # monotonic
    ticks: list[Tick] = field(default_factory=list)


class ShardBlocks:
    """The unsealed ticks and the sealed blocks of one feed, by shard.

    A block is sealed only between batches, so that its position is exact: every tick of its
    shard from before that position is in it or in an earlier block, and none from after it.
    Bounded by the caller, who looks at :attr:`waiting` before it adds more.
    """

    def __init__(
        self,
        *,
        shards: int,
        resume: Mapping[int, BlockMeta],
        grace_ns: int,
        max_ticks: int = MAX_TICKS,
        epoch: int = 0,
    ) -> None:
        """Go on after *resume*, the newest stored block of each shard (none: from block 1).

        *epoch*, the writer's fencing token, goes into every block.
        """
        self.waiting = 0
        """Ticks and notices added and not taken yet."""
        self.position = min((meta.position for meta in resume.values()), default=0)
        """How far the source is in here; at first, how far it is in every shard's stream."""
        if len(resume) < shards:
            self.position = 0
        self._feed_time_ns = NEVER  # at `position`, so that a block's two facts belong together
        self._max_ticks = max(max_ticks, MAX_BATCH)
        self._grace_ns, self._epoch = grace_ns, epoch
        self._routes: dict[Symbol, int] = {}
        self._sealed: list[Sealed] = []
        self._shards = [_resumed(resume.get(shard)) for shard in range(shards)]
        alive = [shard.watermark_ns for shard in self._shards if not shard.ended]
        self._watermark_ns = max(alive, default=END_OF_TIME)
        self.catch_up_until = max(shard.stored_position for shard in self._shards)
        """Up to this position some shards have ticks already: add one tick at a time."""

    @property
    def ended(self) -> bool:
        """Has every shard its end block?"""
        return all(shard.ended for shard in self._shards)

    def add(self, ticks: Sequence[Tick], *, position: int, now: Moment) -> None:
        """Take in up to :data:`MAX_BATCH` ticks in order; afterwards the source is at *position*.

        A shard that holds everything before *position* from an earlier run drops its ticks.
        """
        if self.waiting + len(ticks) > self._max_ticks:  # else none can be full
            self._seal_full(len(ticks), now._replace(feed_ns=self._feed_time_ns))
        catching_up = self.position < self.catch_up_until
        routes, shards = self._routes, self._shards
        for tick in ticks:
            at = routes.get(tick.symbol)
            state = shards[self._route(tick.symbol) if at is None else at]
            if not (catching_up and position <= state.stored_position):
                state.ticks.append(tick)
                self.waiting += 1
        self.position, self._feed_time_ns = position, now.feed_ns

    def tell(self, notices: Sequence[Notice], *, now: Moment) -> None:
        """Put *notices* behind all ticks taken in so far, each on the shard of its symbol."""
        self.waiting += len(notices)
        by_shard: dict[int, list[Notice]] = {}
        for notice in notices:
            shard = shard_of(notice.symbol, len(self._shards))
            by_shard.setdefault(shard, []).append(notice)
        for shard, some in by_shard.items():
            self._seal(shard, now, tuple(some))

    def take(self, now: Moment, *, idle_ns: int) -> list[Sealed]:
        """Seal what there is and hand over all blocks, in order.

        A shard whose last block is *idle_ns* old gets an empty one: its watermark moves on.
        """
        for shard, state in enumerate(self._shards):
            idle = now.monotonic_ns - state.sealed_ns >= idle_ns
            if state.ticks or (idle and not state.ended):
                self._seal(shard, now)
        sealed, self._sealed, self.waiting = self._sealed, [], 0
        return sealed

    def end(self, now: Moment) -> None:
        """The feed ended: put an end block on every shard that has none."""
        self._watermark_ns = END_OF_TIME
        for shard, state in enumerate(self._shards):
            if not state.ended:
                state.ended = True
                self._seal(shard, now)

    def _seal_full(self, room: int, now: Moment) -> None:
        for shard, state in enumerate(self._shards):
            if len(state.ticks) + room > self._max_ticks:
                self._seal(shard, now)

    def _route(self, symbol: Symbol) -> int:
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        self._routes[symbol] = shard = shard_of(symbol, len(self._shards))
        return shard

    def _seal(self, shard: int, now: Moment, notices: tuple[Notice, ...] = ()) -> None:
        state = self._shards[shard]
        if now.feed_ns != NEVER:
            self._watermark_ns = max(self._watermark_ns, now.feed_ns - self._grace_ns)
        meta = BlockMeta(
            number=state.number,
            watermark_ns=self._watermark_ns,
            feed_time_ns=now.feed_ns,
            sealed_ns=now.wall_ns,
            position=max(self.position, state.stored_position),
            end=state.ended,
            epoch=self._epoch,
            notices=notices,
        )
        payload = encode_block(meta, state.ticks)
        self._sealed.append(Sealed(shard, state.number, len(state.ticks), payload))
        state.number += 1
        state.sealed_ns = now.monotonic_ns
        state.ticks = []


def _resumed(meta: BlockMeta | None) -> _Shard:
    if meta is None:
        return _Shard(1, 0, NEVER, ended=False)
    return _Shard(meta.number + 1, meta.position, meta.watermark_ns, ended=meta.end)
