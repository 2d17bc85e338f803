"""Streams in memory, gateways that read them, and clients that come back: a model of resuming."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from core.market.bar import Bar, decode_bars, encode_bars
from core.market.block import BlockMeta, decode_block, encode_block
from core.market.notice import Cancel
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from gateway.access.entitlement import Entitlement
from gateway.channels import Channel, Codec, Mode
from gateway.cursor import CursorMaker, decode_cursor
from gateway.hub import Hub
from gateway.market import MarketState
from gateway.messages import Name, Options
from gateway.plans import Bounds as PlanBounds
from gateway.positions import Positions
from gateway.recovery import Recovery
from gateway.resumer import Bounds, Gap, Resumer
from storage.entry_id import ZERO_ID, EntryId
from storage.keys import StreamKeys, shard_of
from storage.stream_state import Range, StreamState
from tests.unit.gateway.listeners import INTERVAL_MS, MS_NS, START_NS, Listener

SHARDS = 2
KEYS = StreamKeys("model", SHARDS)
PAGE = 2  # entries of a stream in a round
Topic = tuple[Channel, str]


class Stream:
    """What Redis keeps of one stream."""

    def __init__(self) -> None:
        self.entries: list[tuple[EntryId, bytes]] = []
        self.added = 0
        self.last = ZERO_ID
        self.number = 0  # of the newest block

    def state(self) -> StreamState:
        first = self.entries[0][0] if self.entries else None
        return StreamState(first, self.last, removed=self.added != len(self.entries))

    def add(self, entry_id: EntryId, payload: bytes) -> None:
        self.entries.append((entry_id, payload))
        self.added += 1
        self.last = entry_id

    def read(self, wanted: Range) -> list[tuple[EntryId, bytes]]:
        found = [e for e in self.entries if wanted.first <= e[0] <= wanted.last]
        return found[:PAGE]


class World:
    """The streams, and everything that was ever published on them."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = defaultdict(Stream)
        self.torn: dict[str, list[tuple[EntryId, bytes]]] = defaultdict(list)
        self.feeds = ["x"]
        self.published: dict[Topic, list[tuple[EntryId, int]]] = defaultdict(list)
        self.next_id = 0
        self.is_whole = True  # nothing was ever taken away
        self.gateways: list[Gateway] = []

    def trade(self, symbol: str, *, lost: int = 0, feed: str = "", cancel: bool = False) -> None:
        """A block with one trade, or one cancel; *lost* blocks before it get lost."""
        feed = feed or symbol[0].lower()
        if feed not in self.feeds:
            self.feeds.append(feed)
        self.next_id += 1
        self.is_whole &= not lost
        key = KEYS.ticks(feed, shard_of(symbol, SHARDS))
        self.mend(key)
        stream = self.streams[key]
        stream.number += 1 + lost
        meta = BlockMeta(number=stream.number, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
        ticks = [Tick(Symbol(symbol), self.next_id, 1.0, 1.0, START_NS, Side.BUY, self.next_id)]
        if cancel:
            notice = Cancel(Symbol(symbol), START_NS, self.next_id, 1.0, 1.0)
            meta, ticks = msgspec.structs.replace(meta, notices=(notice,)), []
        entry_id = EntryId(1_000 + self.next_id, 0)
        stream.add(entry_id, encode_block(meta, ticks))
        self.published[Channel.TRADES, symbol].append((entry_id, self.next_id))

    def bar(self, symbol: str) -> None:
        self.next_id += 1
        entry_id = EntryId(1, self.next_id)
        values = (float(self.next_id), 1.0, 1.0, 1.0, 1.0, 1, 1.0)
        bar = Bar(Symbol(symbol), Timeframe.MIN_1, START_NS, *values)
        key = KEYS.bars(shard_of(symbol, SHARDS))
        self.mend(key)
        self.streams[key].add(entry_id, encode_bars([bar]))
        self.published[Channel.BARS, symbol].append((entry_id, self.next_id))

    def trim(self, index: int) -> None:
        """The oldest entry of a stream goes, if all gateways have read it."""
        keys = sorted(key for key, stream in self.streams.items() if stream.entries)
        if keys:
            key = keys[index % len(keys)]
            oldest = self.streams[key].entries[0][0]
            if all(oldest <= g.positions.reached().get(key, ZERO_ID) for g in self.gateways):
                self.is_whole = False
                del self.streams[key].entries[0]

    def tear(self, key: str, most: int) -> None:
        """A new master of Redis lacks the newest entries of a stream, but not all."""
        entries = self.streams[key].entries
        for _ in range(min(most, len(entries) - 1)):
            self.torn[key].insert(0, entries.pop())
            self.streams[key].added -= 1
            self.streams[key].last = entries[-1][0]

    def mend(self, key: str) -> None:
        """Its writer repeats them, before all that is new."""
        for entry_id, payload in self.torn.pop(key, []):
            self.streams[key].add(entry_id, payload)

    def state(self, key: str) -> StreamState:
        return self.streams[key].state()

    def stream_keys(self) -> list[str]:
        ticks = [KEYS.ticks(feed, shard) for feed in self.feeds for shard in range(SHARDS)]
        return ticks + [KEYS.bars(shard) for shard in range(SHARDS)]


class Client(Listener):
    """``log`` is what it has received for good; what came behind its last cursor may get lost."""

    def __init__(self, names: tuple[Name, ...], codec: Codec, mode: Mode) -> None:
        super().__init__(codec)
        self.names, self.mode = names, mode
        self.log: list[dict[str, Any]] = []
        self.began: dict[str, EntryId] = {}  # positions of the first subscription
        self.at: Gateway | None = None
        self.safe = 1  # the first messages, which have arrived for certain

    def deliver(self, framed: bytes) -> None:
        super().deliver(framed)
        self.log += self.batches.pop()

    @property
    def cursor(self) -> str:
        return next((m["c"] for m in reversed(self.log) if m["T"] == "cursor"), "")


class Gateway:
    """Reads the streams at its own pace; its clients resume in rounds."""

    def __init__(self, world: World, bounds: Bounds) -> None:
        self.world = world
        self.market, self.positions = MarketState(), Positions()
        self.cursors = CursorMaker(self.positions, KEYS)
        self.hub = Hub(
            market=self.market,
            interval_ms=INTERVAL_MS,
            max_message_bytes=60_000,
            max_symbols=10,
            cursor=self.cursors,
        )
        self.now_ns = 1_000 * MS_NS
        self.resumers: dict[Client, Resumer] = {}
        self.regrants: list[Client] = []  # in the middle of the next round
        self._recovery: Recovery | None = None
        self._bounds = bounds
        self._decoded: dict[str, dict[str, EntryId]] = {}
        for key in world.stream_keys():
            self.follow(key, world.streams[key].last)
        self.positions.complete = True

    @property
    def recovery(self) -> Recovery:
        """While somebody resumes."""
        assert self._recovery is not None
        return self._recovery

    def read(self, *, most: int = 1_000) -> None:
        """Read and publish up to *most* entries."""
        for key in self.world.stream_keys():
            if key not in self.positions.reached():
                self.follow(key, ZERO_ID)
            for entry_id, payload in self.world.streams[key].entries:
                if entry_id > self.positions.reached()[key] and most:
                    most -= 1
                    self._publish(key, entry_id, payload)

    def flush(self, *, after_ms: int = 30) -> None:
        self.now_ns += after_ms * MS_NS
        for send in self.hub.flush(self.now_ns):
            send.write(send.clients)

    def step(self) -> None:
        for send in self.hub.step(self.now_ns):
            send.write(send.clients)

    def connect(self, client: Client) -> None:
        client.at, client.group, client.style = self, None, Listener(client.style.codec).style
        if client.cursor:
            self._resume(client)
        else:
            client.log.clear()
            client.began = dict(self.positions.reached())
            self._join(client)

    def cut(self, client: Client) -> None:
        client.at = None
        self.hub.leave(client)
        self._done(client)

    def round(
        self,
        trims: list[int],
        *,
        waited: bool = False,
        over: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """One round for all who resume; the streams may be trimmed while it reads."""
        if self._recovery is None:
            return
        ready = list(self.resumers.items())
        ranges, heads = self._recovery.begin([resumer for _, resumer in ready])
        for wanted in ranges[:3]:
            entries = self.world.streams[wanted.key].read(wanted)
            is_all = len(entries) < PAGE
            self.hub.carry(self._recovery.take(wanted, entries, is_all=is_all))
        for index in trims:
            self.world.trim(index)
        meanwhile()
        self._recovery.learn({key: self.world.state(key) for key in heads})
        for number, (client, resumer) in enumerate(ready):
            if number == 1:
                self.read(most=2)  # in the middle of a round something is published
                while self.regrants:
                    self.regrant(self.regrants.pop())
            self._serve(client, resumer, waited=waited, over=over)

    def _serve(self, client: Client, resumer: Resumer, *, waited: bool, over: bool) -> None:
        assert self._recovery is not None
        served = self._recovery.serve(resumer, waited=waited, over=over)
        if served.waits:
            return
        client.log += [_gap(gap, dict(self.positions.reached())) for gap in served.gaps]
        if served.parts:
            if client.mode is Mode.LATEST:
                kinds = [msgspec.json.decode(b"[" + p.body + b"]") if p.codec.is_text else
                         [] for p in served.parts]  # fmt: skip
                assert all([m["T"] for m in some].count("x") >= len(some) - 1 for some in kinds)
                assert len({part.body for part in served.parts}) == len(served.parts)
            client.deliver(self.hub.frame(client.style, served.parts))
        if served.complete:
            self._done(client)
            self._join(client)
        else:
            self._recovery.advance(resumer)
            if client.mode is Mode.ALL and not resumer.floors:
                client.log.append({"T": "cursor", "c": self.cursors.of(resumer.at)})

    def regrant(self, client: Client) -> None:
        """The rights of *client* are others, which come to the same."""
        resumer = self.resumers.get(client)
        if resumer is None:
            return
        names, scope = resumer.plan.names, resumer.plan.bounds.scope
        turned = Entitlement(["X:*", "Y:*"]) if scope is None else None
        self.recovery.turn(resumer, names, PlanBounds(scope=turned))

    def _resume(self, client: Client) -> None:
        if self._recovery is None:
            self._recovery = Recovery(
                keys=KEYS,
                market=self.market,
                positions=self.positions,
                bounds=self._bounds,
            )
        cursor = decode_cursor(client.cursor, KEYS)
        at = self._decoded.setdefault(client.cursor, cursor.positions(KEYS))
        self.resumers[client] = Resumer(
            plan=self._recovery.plans.enter(client.names),
            codec=client.style.codec,
            at=at,
            time_ms=cursor.time_ms,
            latest=client.mode is Mode.LATEST,
        )

    def _done(self, client: Client) -> None:
        resumer = self.resumers.pop(client, None)
        if resumer is not None and self._recovery is not None:
            self._recovery.plans.leave(resumer.plan)
        if not self.resumers:
            self._recovery = None

    def _join(self, client: Client) -> None:
        options = Options(mode=client.mode, cursor=True)
        sends = self.hub.subscribe(client, client.names, self.now_ns, options)
        for send in [*sends, *self.hub.cursor(client)]:
            send.write((client,))

    def follow(self, key: str, start: EntryId) -> None:
        """Read a stream after the entry *start*."""
        if key not in {KEYS.bars(shard) for shard in range(SHARDS)}:
            self.positions.follow(key, key.rpartition(":")[2])
        self.positions.reach(key, start)

    def _publish(self, key: str, entry_id: EntryId, payload: bytes) -> None:
        content: Any
        if key.endswith(":bars"):
            content, number = decode_bars(payload), None
            for bar in content:
                self.hub.carry(self.market.apply_bar(bar))
                self.hub.publish_bar(bar)
        else:
            content = decode_block(payload)
            number = content.meta.number
            self.hub.carry(self.market.apply_blocks([("x", content.meta, len(content))], content))
            if len(content):
                self.hub.publish_ticks(content)
            self.hub.carry(self.market.apply_notices(content.meta.notices))
            self.hub.publish_notices(content.meta.notices)
        self.positions.reach(key, entry_id, number)
        if self._recovery is not None:
            self._recovery.publish(key, entry_id, content)


def _gap(gap: Gap, to: dict[str, EntryId]) -> dict[str, Any]:
    return {"T": "gap", "S": gap.spelling, "channels": list(gap.channels), "to": to}
