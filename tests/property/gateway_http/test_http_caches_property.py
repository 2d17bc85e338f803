"""Answers that several gateways keep and share, against a database that changes: a model.

Whatever happens in whichever order, nobody is given an answer that is older than what its gateway
has read of the bar streams, than what was stored when its gateway started, or, where streams
cannot be read, than what was published a few seconds ago.
"""

import random
from dataclasses import dataclass, field

import pytest

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import MINUTE_NS, Timeframe
from gateway.changes import SILENT_NS, Basis, Changes, Moment
from gateway.http.answer_cache import RUNNING_NS, AnswerCache, Kept
from gateway.http.ready import JSON, Answer, Life, Ready
from storage.entry_id import ZERO_ID, EntryId
from storage.keys import shard_of

SHARDS = 2
SYMBOLS = tuple(Symbol(f"SIM:S{n}") for n in range(2))
WINDOWS = 2
STEP_NS = 400_000_000
Window = tuple[Symbol, int]
Page = tuple[tuple[Symbol, ...], int, int]


@dataclass
class World:
    """The database, and the streams with what a server of Redis may have lost of them."""

    stored: dict[Window, int] = field(default_factory=dict)  # revision by window
    unpublished: list[tuple[int, EntryId, Bar]] = field(default_factory=list)
    streams: list[list[tuple[EntryId, Bar]]] = field(
        default_factory=lambda: [[] for _ in range(SHARDS)]
    )
    lost: list[tuple[int, EntryId, Bar]] = field(default_factory=list)
    shared: dict[Page, tuple[dict[Window, int], list[EntryId]]] = field(default_factory=dict)
    ends: list[EntryId] = field(default_factory=lambda: [ZERO_ID] * SHARDS)
    told: list[tuple[int, Window, int]] = field(default_factory=list)  # when, and which revision
    revisions: dict[EntryId, int] = field(default_factory=dict)  # that an entry told of
    now_ns: int = 10**9
    flush: int = 0

    def write(self, window: Window) -> None:
        symbol, start = window
        self.flush += 1
        self.stored[window] = self.stored.get(window, -1) + 1
        bar = Bar(symbol, Timeframe.MIN_1, start * MINUTE_NS, 1, 1, 1, 1, 1, 1, 1)
        self.revisions[EntryId(1, self.flush)] = self.stored[window]
        self.unpublished.append((shard_of(symbol, SHARDS), EntryId(1, self.flush), bar))

    def publish(self) -> None:
        """In order, and what was lost before anything else."""
        for queue in (self.lost, self.unpublished):
            while queue:
                shard, entry_id, bar = queue.pop(0)
                self.streams[shard].append((entry_id, bar))
                self.ends[shard] = entry_id
                window = bar.symbol, bar.start_ns // MINUTE_NS
                if queue is self.unpublished:
                    self.told.append((self.now_ns, window, self.revisions[entry_id]))

    def trim(self) -> None:
        """Entries that nobody reads for long are gone."""
        for stream in self.streams:
            del stream[:-2]

    def fail_over(self, count: int) -> None:
        for shard, stream in enumerate(self.streams):
            kept = max(1, len(stream) - count)
            self.lost += [(shard, *entry) for entry in stream[kept:]]
            if kept < len(stream):
                self.ends[shard] = stream[kept - 1][0]
            del stream[kept:]
        self.lost.sort(key=lambda entry: entry[1])


class Gateway:
    """What the serving layer does with a page, without its I/O."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.changes = Changes(SHARDS, settle_ns=3 * STEP_NS)
        ends = dict(enumerate(world.ends))
        self.read_to = dict(ends)
        self.changes.begin(ends)
        self.changes.hear(dict.fromkeys(ends, world.now_ns))
        self.cache = AnswerCache(self.changes, max_bytes=1 << 20)
        self.bodies: list[tuple[Kept, dict[Window, int]]] = []
        self.loading: list[tuple[Page, Moment, dict[Window, int], int]] = []
        self.must_have = dict(world.stored)  # stored before it started
        for _, _, bar in world.unpublished:  # of these nobody can know yet
            self.must_have.pop((bar.symbol, bar.start_ns // MINUTE_NS), None)

    def read(self) -> None:
        """All there is, and the time at which it was all."""
        for shard, stream in enumerate(self.world.streams):
            for entry_id, bar in stream:
                if entry_id > self.read_to[shard]:
                    self.changes.take(shard, entry_id, [bar])
                    self.read_to[shard] = entry_id
                    window = bar.symbol, bar.start_ns // MINUTE_NS
                    revision = self.world.revisions[entry_id]
                    self.must_have[window] = max(self.must_have.get(window, -1), revision)
        self.changes.hear(dict.fromkeys(range(SHARDS), self.world.now_ns))

    def begin_load(self, page: Page) -> None:
        found = rows(self.world.stored, page)
        self.loading.append((page, self.changes.moment(), found, self.world.now_ns))

    def end_load(self) -> None:
        if not self.loading:
            return
        page, moment, found, asked_ns = self.loading.pop(0)
        symbols, first, last = page
        basis = self.changes.basis(moment, symbols, (first * MINUTE_NS, last * MINUTE_NS))
        kept = self.keep(page, basis, found, asked_ns)
        self.cache.put(page, kept)
        at = [basis.at[shard] for shard in sorted(basis.at)]
        self.world.shared[page] = found, at

    def keep(self, page: Page, basis: Basis, found: dict[Window, int], asked_ns: int) -> Kept:
        answer = Answer(b"", JSON, page[0], Life.CLOSED, basis.span)
        kept = Kept(Ready.of(answer), basis, 0, asked_ns)
        self.bodies.append((kept, found))
        return kept

    def given(self, page: Page) -> dict[Window, int] | None:
        """What the caches have for *page*."""
        kept = self.cache.get(page, 0, self.world.now_ns)
        if kept is not None:
            return next(found for one, found in self.bodies if one is kept)
        if page not in self.world.shared or not self.changes.settled(self.world.now_ns):
            return None
        found, at = self.world.shared[page]
        symbols, first, last = page
        span = first * MINUTE_NS, last * MINUTE_NS
        adopted = self.changes.adopted(symbols, span, at)
        if self.changes.touched(adopted):
            return None
        self.cache.put(page, self.keep(page, adopted, found, self.world.now_ns))
        return found


def rows(stored: dict[Window, int], page: Page) -> dict[Window, int]:
    symbols, first, last = page
    return {w: rev for w, rev in stored.items() if w[0] in symbols and first <= w[1] <= last}


PAGES: tuple[Page, ...] = tuple(
    (symbols, first, last)
    for symbols in (SYMBOLS[:1], SYMBOLS)
    for first, last in ((0, 0), (0, 1), (1, 1))
)


class Story:
    """Two gateways, and what may happen to them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World()
        self.running = [Gateway(self.world), Gateway(self.world)]
        self.found = 0  # answers that the caches had

    def go_on(self) -> None:
        """Something happens to somebody."""
        at = self.random.randrange(len(self.running))
        event = self.random.choices(EVENTS, WEIGHTS)[0]
        if event == "restart":
            self.running[at] = Gateway(self.world)
        elif not self.happened_to_world(event):
            self.happened_to(self.running[at], event)

    def happened_to_world(self, event: str) -> bool:
        match event:
            case "write":
                self.world.write((self.random.choice(SYMBOLS), self.random.randrange(WINDOWS)))
            case "publish":
                self.world.publish()
            case "fail over":
                self.world.fail_over(self.random.randint(1, 2))
            case "wait":
                self.wait(self.random.choice((1, 3, 8, 11)))
            case _:
                return False
        return True

    def happened_to(self, gateway: Gateway, event: str) -> None:
        match event:
            case "read":
                gateway.read()
            case "begin load":
                gateway.begin_load(self.random.choice(PAGES))
            case "end load":
                gateway.end_load()
            case _:
                self.ask(gateway)

    def wait(self, steps: int) -> None:
        self.world.publish()  # the aggregator looks each second
        self.world.now_ns += steps * STEP_NS
        if steps * STEP_NS > SILENT_NS:
            self.world.trim()

    def ask(self, gateway: Gateway) -> None:
        long_ago_ns = self.world.now_ns - SILENT_NS - RUNNING_NS
        long_told = [(w, rev) for at_ns, w, rev in self.world.told if at_ns <= long_ago_ns]
        for page in PAGES:
            given = gateway.given(page)
            if given is not None:
                self.found += 1
                for window, revision in [*gateway.must_have.items(), *long_told]:
                    assert not rows({window: 0}, page) or given.get(window, -1) >= revision


EVENTS = (
    "write",
    "publish",
    "fail over",
    "restart",
    "wait",
    "read",
    "begin load",
    "end load",
    "ask",
)
WEIGHTS = (2, 2, 1, 1, 2, 8, 8, 8, 8)


@pytest.mark.parametrize("seed", range(40))
def test_no_answer_is_older_than_what_its_gateway_has_heard_of(seed: int) -> None:
    story = Story(seed)

    for _ in range(300):
        story.go_on()

    assert story.found
