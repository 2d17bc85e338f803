"""Reads the streams of ticks and bars, and brings them to the market state and the hub."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from core.market.bar import Bar, decode_bars
from core.market.block import (
    Block,
    BlockMeta,
    Ticks,
    decode_block,
    decode_blocks,
    decode_meta,
    has_notices,
)
from core.market.errors import BlockError
from core.market.notice import Gap, GapState
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.readiness import Readiness
from gateway.changes import Changes
from gateway.fanout import Fanout
from gateway.market import MarketState
from gateway.metrics import GatewayMetrics
from gateway.positions import Positions
from storage.entry_id import ZERO_ID, EntryId
from storage.streams import Entry, FeedInfo, StreamKeys, StreamUnavailable, shard_of

_LOG: Final = logging.getLogger(__name__)
_PRIME_MS: Final = 6_000  # how far back the first reads of ticks begin
_FEEDS_S: Final = 1.0  # period of looking for new feeds
_PAUSE_S: Final = 0.002  # between reads
_LONG_PAUSE_S: Final = 0.005  # so that busy streams are read in few of them
_SOME, _MANY = 8, 96  # entries from one read: streams are busy; there is a backlog, no pause
_RETRY_S: Final = 0.5
_YIELD_BYTES: Final = 160_000  # after so many the loop sees to its sockets: 4,000 ticks
_MS_NS: Final = 1_000_000
_LONG_NS: Final = 60_000_000_000
"""Streams of closed bars that were not heard for so long may have been trimmed under the reader."""
REDIS: Final = "redis"  # the name of the dependency in /readyz


class Streams(Protocol):
    """What is asked of a stream reader: :class:`storage.streams.StreamReader`."""

    def follow(self, key: str, after_id: str) -> None: ...

    async def read(self) -> list[Entry]: ...

    def take_heard(self) -> set[str]: ...


class Feeds(Protocol):
    """What is asked of the registry: :class:`storage.streams.FeedRegistry`."""

    async def feeds(self) -> list[FeedInfo]: ...


class Starts(Protocol):
    """What is asked of the streams at first: :class:`storage.stream_ranges.StreamRanges`."""

    async def newest(
        self, keys: Sequence[str], *, before_ms: int | None = None
    ) -> Mapping[str, EntryId]: ...


Tap = Callable[[str, EntryId, Block | list[Bar]], None]
"""Stream key, entry id, and what the entry holds: a block of ticks, or closed bars."""


class MarketReader:
    """Three loops on the gateway's event loop: feeds come and go, ticks, bars.

    Redis may be away at any time: the loops try again from where they were, clients stay.
    """

    def __init__(  # noqa: PLR0913 - the list of dependencies
        self,
        *,
        positions: Positions,
        ticks: Streams,
        bars: Streams,
        feeds: Feeds,
        starts: Starts,
        keys: StreamKeys,
        market: MarketState,
        fanout: Fanout,
        readiness: Readiness,
        metrics: GatewayMetrics,
        changes: Changes,
        now_ns: Clock,
        monotonic_ns: MonotonicClock,
    ) -> None:
        """*ticks* and *bars* are two readers, each on a connection of its own.

        *changes* is told of what comes on the streams of closed bars.
        """
        self.positions = positions
        self.tap: Tap | None = None  # told of each entry that was published, right after it
        self._ticks, self._bars, self._feeds, self._keys = ticks, bars, feeds, keys
        self._starts, self._unknown = starts, {"ticks", "bars"}
        self._market, self._fanout = market, fanout
        self._readiness, self._metrics = readiness, metrics
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns
        self._changes = changes
        self._bar_shards = {keys.bars(shard): shard for shard in range(keys.shards)}
        self._known: set[str] = set()  # feeds that are read
        self._left_out: dict[str, int] = {}  # feeds with another number of shards than ours
        self._heard_ns: dict[str, int] = {}  # streams of closed bars, when read to their ends
        self._shards: dict[str, int] = {}  # of the streams of ticks
        self._live_from_ms = now_ns() // _MS_NS
        self._something = asyncio.Event()  # at least one feed is followed
        self.starts_known = asyncio.Event()
        """Set once cursors can be made; nothing is published before."""

    async def follow_feeds(self) -> None:
        """Look for feeds each second; those that were there before are read from just before now.

        A feed that comes later is read from its start.
        """
        first = True
        while True:
            falls = self._readiness.falls(REDIS)
            try:
                found = [feed for feed in await self._feeds.feeds() if not feed.bars_only]
                found = self._readable(found)
                old = [info for info in found if first or info.feed in self._left_out]
                starts = await self._newest_before(old)
            except StreamUnavailable as exc:
                self._away(exc)
            else:
                self._back(falls)
                self._follow(old, starts)
                self._follow(found, {})
                self._start_known("ticks")
                first = False
            await asyncio.sleep(_FEEDS_S)

    async def read_ticks(self) -> None:
        """Read blocks of ticks for ever."""
        await self._something.wait()
        await self.starts_known.wait()
        await self._read(self._ticks.read, self._on_blocks)

    async def read_bars(self) -> None:
        """Read closed and running bars for ever.

        Where the running ones stand is asked last, and none is read from before: one whose window
        closed before the closed ones are read would stay.
        """
        starts = await self._stand(list(self._bar_shards))
        for key, start in starts.items():
            self.positions.reach(key, start)
            self._bars.follow(key, str(start))
        self._changes.begin({self._bar_shards[key]: start for key, start in starts.items()})
        running = [self._keys.running(shard) for shard in range(self._keys.shards)]
        for key, start in (await self._stand(running)).items():
            self._bars.follow(key, str(start))
        self._market.ask_open()
        self._start_known("bars")
        await self.starts_known.wait()
        await self._read(self._bars.read, self._on_bars, self._hear)

    async def _newest_before(self, found: Iterable[FeedInfo]) -> Mapping[str, EntryId]:
        """Where the streams of *found* stood when this gateway started; live is what comes after.

        An entry's own id, so that it can be told later whether what followed is still there.
        """
        keys = [self._keys.ticks(info.feed, s) for info in found for s in range(info.shards)]
        return await self._starts.newest(keys, before_ms=self._live_from_ms)

    async def _stand(self, keys: Sequence[str]) -> Mapping[str, EntryId]:
        """Where streams of bars stand, as soon as Redis tells."""
        while True:
            try:
                return await self._starts.newest(keys)
            except StreamUnavailable as exc:
                self._away(exc)
                await asyncio.sleep(_RETRY_S)

    def _just_before(self, start: EntryId) -> EntryId:
        """From where to read ticks of a stream that stood at *start*: some of before, all since.

        Ids are times of other machines: with a clock behind ours, *start* itself is long ago.
        """
        return min(start, EntryId(self._live_from_ms - _PRIME_MS, 0))

    def _start_known(self, streams: str) -> None:
        self._unknown.discard(streams)
        if not self._unknown:
            self.positions.complete = True
            self.starts_known.set()

    def _readable(self, found: Iterable[FeedInfo]) -> list[FeedInfo]:
        """Those of *found* whose streams are named as this gateway names them; others wait."""
        readable = []
        for info in found:
            if info.shards == self._keys.shards:
                readable.append(info)
            elif self._left_out.get(info.feed) != info.shards:
                self._left_out[info.feed] = info.shards
                _LOG.error(
                    "feed %s writes %d shards, this gateway reads %d: its trades are left out; "
                    "run all roles with the same setting `shards`",
                    info.feed, info.shards, self._keys.shards,
                )  # fmt: skip
        return readable

    def _follow(self, found: Iterable[FeedInfo], starts: Mapping[str, EntryId]) -> None:
        for info in found:
            self._left_out.pop(info.feed, None)
            if info.feed not in self._known:
                self._known.add(info.feed)
                for shard in range(info.shards):
                    key = self._keys.ticks(info.feed, shard)
                    self.positions.follow(key, info.feed)
                    self._shards[key] = shard
                    start = starts.get(key, ZERO_ID)
                    self.positions.reach(key, start)
                    self._ticks.follow(key, str(self._just_before(start)))
                self._something.set()
                _LOG.info("reading feed %s of venue %s", info.feed, info.venue)

    async def _read(
        self,
        read: Callable[[], Awaitable[list[Entry]]],
        take: Callable[[Sequence[Entry]], Awaitable[None]],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        while True:
            try:
                entries = await read()
            except StreamUnavailable as exc:
                self._away(exc)
                await asyncio.sleep(_RETRY_S)
                continue
            if entries:
                await take(entries)
            then()
            if entries:
                await asyncio.sleep(_pause_s(len(entries)))

    async def _on_blocks(self, entries: Sequence[Entry]) -> None:
        judged = [(entry, self._missing_before(entry)) for entry in entries]
        new = [(entry, missing) for entry, missing in judged if missing is not None]
        stretches = _stretches(new)
        for number, (missing, some) in enumerate(stretches, 1):
            if missing:
                self._on_hole(some[0], missing)
            try:
                sealed_ns = self._on_stretch(some)
            except BlockError:  # which of them cannot be read shows one by one
                sealed_ns = self._one_by_one(some)
            self._fanout.published(sealed_ns)
            if number < len(stretches):
                await asyncio.sleep(0)

    def _missing_before(self, entry: Entry) -> int | None:
        """How many blocks are; None: this one was read before, a writer repeats some."""
        try:
            missing = self.positions.take(entry.key, decode_meta(entry.payload).order)
        except BlockError:
            return 0  # it is skipped later, and told of
        if missing is None:
            self._metrics.repeated_blocks.inc()
        return missing

    def _on_hole(self, entry: Entry, missing: int) -> None:
        """Blocks before *entry* are gone: cut before they were read, or lost by Redis."""
        self._metrics.block_gaps.inc(missing)
        _LOG.warning(
            "stream %s: %d blocks before entry %s are missing", entry.key, missing, entry.entry_id
        )
        self._tell_lost(entry)

    def _tell_lost(self, entry: Entry) -> None:
        """To clients that are live: what came behind the last block, up to *entry*, is lost."""
        last, this = self.positions.reached()[entry.key], EntryId.parse(entry.entry_id)
        if this > last:
            lost = GapState.LOST, last.ms * _MS_NS, this.ms * _MS_NS
            shards, shard = self._keys.shards, self._shards[entry.key]
            symbols = [s for s in self._market.symbols() if shard_of(s, shards) == shard]
            self._fanout.hub.publish_notices([Gap(symbol, *lost) for symbol in symbols])

    def _on_stretch(self, entries: Sequence[Entry]) -> int | None:
        """Publish blocks together where it makes no difference; when the oldest was sealed."""
        read = [(entry, EntryId.parse(entry.entry_id)) for entry in entries]
        if len(read) == 1 or self.tap is not None or not all(map(self._is_new, read)):
            return self._one_by_one(entries)
        blocks, ticks = decode_blocks([entry.payload for entry in entries])
        return self._publish_blocks(read, blocks, ticks)

    def _one_by_one(self, entries: Sequence[Entry]) -> int | None:
        oldest_ns = None
        for entry in entries:
            try:
                block = decode_block(entry.payload)
            except BlockError as exc:
                self._skip(entry, exc)
                self._skip_block(entry)
                continue
            read = entry, EntryId.parse(entry.entry_id)
            is_new = self._is_new(read)
            sealed_ns = self._publish_blocks(
                [read], [(block.meta, len(block))], block, is_new=is_new
            )
            oldest_ns = oldest_ns or sealed_ns
            if is_new and self.tap is not None:
                self.tap(entry.key, read[1], block)
        return oldest_ns

    def _publish_blocks(
        self,
        read: Sequence[tuple[Entry, EntryId]],
        blocks: Sequence[tuple[BlockMeta, int]],
        ticks: Ticks,
        *,
        is_new: bool = True,
    ) -> int | None:
        """Take in *blocks* with *ticks*; when the oldest with ticks was sealed.

        Those that are not new, from before the start, tell the newest values only.
        """
        heard: list[tuple[str, BlockMeta, int]] = []
        for (entry, _), (meta, count) in zip(read, blocks, strict=True):
            self.positions.advance(entry.key, meta.number)
            heard.append((self.positions.feed_of(entry.key), meta, count))
        notices = blocks[-1][0].notices  # no other block of a stretch has some
        new = self._market.apply_blocks(heard, ticks) + self._market.apply_notices(notices)
        if new:
            self._fanout.hub.carry(new)
        if is_new:
            if len(ticks):
                self._fanout.hub.publish_ticks(ticks)
            if notices:
                self._fanout.hub.publish_notices(notices)
            for (entry, entry_id), (meta, _) in zip(read, blocks, strict=True):
                self.positions.reach(entry.key, entry_id, meta.number)
        return next((meta.sealed_ns for meta, count in blocks if count or meta.notices), None)

    def _skip_block(self, entry: Entry) -> None:
        """Tell that its ticks are lost, if its header could be read: else the next block shows."""
        with suppress(BlockError):
            decode_meta(entry.payload)
            self._tell_lost(entry)

    async def _on_bars(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            entry_id = EntryId.parse(entry.entry_id)
            bars = self._bars_in(entry)
            for bar in bars or ():
                is_news = bar.final or not self._market.knows(bar)
                new = self._market.apply_bar(bar)
                if new:
                    self._fanout.hub.carry(new)
                if is_news:
                    self._fanout.hub.publish_bar(bar)
            if bars is not None and entry.key in self._bar_shards:  # running bars are state
                self.positions.reach(entry.key, entry_id)
                self._changes.take(self._bar_shards[entry.key], entry_id, bars)
                if self.tap is not None:
                    self.tap(entry.key, entry_id, bars)
        self._fanout.published()

    def _bars_in(self, entry: Entry) -> list[Bar] | None:
        try:
            return decode_bars(entry.payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            self._skip(entry, exc)
            if entry.key in self._bar_shards:
                self._changes.skip(self._bar_shards[entry.key], EntryId.parse(entry.entry_id))
            return None

    def _hear(self) -> None:
        """What was asked for again is not in the streams: nothing changed but what was taken in.

        After a long silence the end of an open bar may not be in them any more.
        """
        heard = self._bars.take_heard() & self._bar_shards.keys()
        now_ns = self._monotonic_ns()
        if any(now_ns - self._heard_ns.get(key, now_ns) > _LONG_NS for key in heard):
            self._market.ask_open()
        self._heard_ns |= dict.fromkeys(heard, now_ns)
        self._changes.hear({self._bar_shards[key]: now_ns for key in heard})

    def _is_new(self, read: tuple[Entry, EntryId]) -> bool:
        """Is it a block from after the start?"""
        return read[1] > self.positions.reached()[read[0].key]

    def _skip(self, entry: Entry, error: Exception) -> None:
        self._metrics.unreadable_entries.inc()
        if self.positions.first_unreadable(entry.key):
            _LOG.error("stream %s entry %s is skipped: %s", entry.key, entry.entry_id, error)

    def _away(self, error: StreamUnavailable) -> None:
        if self._readiness.down(REDIS, str(error)):
            _LOG.warning("waiting for Redis: %s", error)

    def _back(self, falls: int) -> None:
        if self._readiness.up(REDIS, falls=falls):
            _LOG.info("Redis is there")


def _pause_s(entries: int) -> float:
    if entries < _SOME:
        return _PAUSE_S
    return _LONG_PAUSE_S if entries < _MANY else 0


def _stretches(entries: Iterable[tuple[Entry, int]]) -> list[tuple[int, list[Entry]]]:
    """In pieces that do not keep the loop for long; notices come last in a piece.

    With each how many blocks are missing before its first: a hole begins a piece.
    """
    found: list[tuple[int, list[Entry]]] = []
    size = _YIELD_BYTES + 1
    for entry, missing in entries:
        if size > _YIELD_BYTES or missing:
            found.append((missing, []))
            size = 0
        found[-1][1].append(entry)
        size += len(entry.payload) if not has_notices(entry.payload) else _YIELD_BYTES + 1
    return found
