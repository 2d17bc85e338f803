"""Bars after any trades, corrections, cancels, repeats and restarts are those of what is left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from aggregator.amender import Amender
from aggregator.metrics import AggregatorMetrics
from aggregator.rebuild import rebuild
from aggregator.shards import ShardState
from core.market.amended import Amendment, Word
from core.market.bar import BarRow
from core.market.block import Block, BlockMeta, Ticks, decode_block, encode_block
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from storage.errors import TickLogError
from storage.quarantine import QuarantineRecord
from storage.rebuilds import RebuildRequest
from storage.rows import Checkpoint
from storage.tick_log import FlushId
from tests.property.aggregator.harness import KEEP_IDS_NS, Key, oracle, plain

SYMBOLS = (Symbol("X:A"), Symbol("X:B"))
START_NS = 1_700_000_100_000_000_000 // (15 * MINUTE_NS) * 15 * MINUTE_NS
END_NS = 2**62


@dataclass
class Database:
    """What flushes store: rows, logged ticks, amendments, the checkpoint."""

    rows: dict[Key, BarRow] = field(default_factory=dict)
    log: list[tuple[FlushId, Ticks]] = field(default_factory=list)
    said: set[Word] = field(default_factory=set)
    checkpoint: Checkpoint | None = None
    revs: dict[Key, int] = field(default_factory=dict)
    broken_from_ns: int | None = None  # who asks for ticks up to a later time gets an error

    async def load_rows(self, keys: Sequence[Key]) -> list[BarRow]:
        return [self.rows[key] for key in keys if key in self.rows]

    async def newest_windows(self, symbols: Sequence[Symbol]) -> dict[Symbol, int]:
        found: dict[Symbol, int] = {}
        for symbol, timeframe, start_ns in self.rows:
            if timeframe is Timeframe.MIN_1 and symbol in symbols:
                found[symbol] = max(start_ns, found.get(symbol, start_ns))
        return found

    async def amendments(self, symbol: Symbol) -> list[Word]:
        return [each for each in self.said if each.symbol == symbol]

    async def covered_from(self, symbol: Symbol) -> int:
        return 0

    async def parts(
        self, symbol: Symbol, start_ns: int, end_ns: int, *, without: frozenset[FlushId]
    ) -> AsyncIterator[Ticks]:
        if self.broken_from_ns is not None and end_ns > self.broken_from_ns:
            raise TickLogError("it is broken")
        for flush, part in self.log:
            if flush not in without and symbol in part.symbols:
                some = part.between(start_ns, end_ns)
                yield some.where(some.symbol_index == part.symbols.index(symbol))


class World:
    """A stream of blocks, and a shard that folds it and dies now and then."""

    def __init__(self) -> None:
        self.database = Database()
        self.blocks: list[Block] = []
        self.refused: list[QuarantineRecord] = []
        self.committed = 0
        self.unstored: list[tuple[object, ...]] = []
        self.state = self._fresh()
        self.said: list[Amendment] = []
        self.trades: list[Tick] = []
        self.amender = Amender(
            log=self.database,
            store=self.database,  # type: ignore[arg-type]  # it only loads rows
            metrics=AggregatorMetrics(CollectorRegistry()),
            database=self._ask,
            quarantine=self._quarantine,
            now_ns=lambda: START_NS,
            keep_ns=KEEP_IDS_NS,
            reach_ns=24 * KEEP_IDS_NS,
        )

    async def block(self, ticks: list[Tick], said: list[Amendment]) -> None:
        self.trades += ticks
        self.said += said
        newest = max([START_NS, *(tick.event_ns for tick in self.trades)])
        meta = BlockMeta(
            number=len(self.blocks) + 1, watermark_ns=newest - 2 * 10**9, feed_time_ns=newest,
            sealed_ns=0, notices=tuple(said),
        )  # fmt: skip
        await self._append(meta, ticks)

    async def end(self) -> None:
        meta = BlockMeta(
            number=len(self.blocks) + 1, watermark_ns=END_NS, feed_time_ns=START_NS, sealed_ns=0
        )
        await self._append(meta, [])
        self.flush(commit=True)

    def flush(self, *, commit: bool) -> None:
        """Flushes are committed in order, this one now or with a later one."""
        part = self.state.take_flush(self.committed)
        self.unstored.append((part,))
        if commit:
            self._commit()

    async def restart(self) -> None:
        """What was not committed is folded again, from the stream."""
        self.unstored.clear()
        stored = self.database.checkpoint
        if stored is None:
            self.state, self.committed = self._fresh(), 0
        else:
            self.state = ShardState.restored(stored, token=1, keep_ids_ns=KEEP_IDS_NS)
            self.state.begin_log(wanted=True)
        position = self.state.positions.get("f")
        for block in self.blocks[position.number if position else 0 :]:
            await self._fold(block)

    async def _append(self, meta: BlockMeta, ticks: list[Tick]) -> None:
        block = decode_block(encode_block(meta, ticks))
        self.blocks.append(block)
        await self._fold(block)

    async def _fold(self, block: Block) -> None:
        state = self.state
        state.fold("f", f"{block.meta.number}-0", block)
        while wanted := state.core.wanted():
            newest = await self.database.newest_windows(sorted(wanted.symbols))
            rows = await self.database.load_rows(wanted.rows)
            state.core.supply(wanted, newest, rows)
        assert not state.core.doubtful
        if block.meta.notices or state.core.amending:
            await self.amender.heed(state, "f", block)
        state.core.close_due("f", block.meta.watermark_ns)

    def _commit(self) -> None:
        database = self.database
        for (part,) in self.unstored:
            checkpoint = part.checkpoint  # type: ignore[attr-defined]
            for row in part.rows:  # type: ignore[attr-defined]
                key = (row.bar.symbol, row.bar.timeframe, row.bar.start_ns)
                assert row.bar.rev > database.revs.get(key, -1)
                database.revs[key] = row.bar.rev
                database.rows[key] = row
            flush = FlushId(checkpoint.token, checkpoint.flush)
            database.log += [(flush, f.kept()) for f in part.folded]  # type: ignore[attr-defined]
            database.said |= set(part.amendments)  # type: ignore[attr-defined]
            database.checkpoint, self.committed = checkpoint, checkpoint.flush
        self.unstored.clear()

    def _fresh(self) -> ShardState:
        state = ShardState.fresh(0, token=1, keep_ids_ns=KEEP_IDS_NS)
        state.begin_log(wanted=True)
        return state

    async def _ask(self, call: Callable[[], Awaitable[object]]) -> object:
        return await call()

    async def _quarantine(self, records: Sequence[QuarantineRecord]) -> None:
        self.refused += records


def left_of(trades: list[Tick], said: list[Amendment]) -> list[Tick]:
    """The plain truth: trades once each by id, then all that was said of them, by time.

    A trade that takes the id of another, which came in its own right, takes its place.
    """
    live: dict[tuple[Symbol, int], Tick] = {}
    for trade in trades:
        live.setdefault((trade.symbol, trade.trade_id), trade)
    for word in sorted(said, key=lambda word: word.event_ns):
        now = live.pop((word.symbol, word.trade_id), None)
        if now is not None and isinstance(word, Correction):
            live[word.symbol, word.new_id] = msgspec.structs.replace(
                now, trade_id=word.new_id, price=word.new_price, size=word.new_size
            )
    return list(live.values())


trades = st.builds(
    lambda symbol, ident, second: Tick(
        symbol, ident, 10.0 + ident / 7, 1.0 + ident / 3, START_NS + second * 10**9, seq=ident
    ),
    st.sampled_from(SYMBOLS),
    st.one_of(st.integers(1, 12), st.integers(1, 4), st.integers(101, 104), st.integers(201, 204)),
    st.integers(0, 1_200),
)


@st.composite
def words(draw: st.DrawFn) -> tuple[Symbol, int, int, float]:
    """Of a symbol's trade: what becomes of it (0: cancelled), and a price."""
    ident = draw(st.one_of(st.integers(1, 12), st.integers(1, 4)))
    new = draw(st.sampled_from([0, 0, ident, ident + 100, ident + 200, ident % 4 + 101]))
    return draw(st.sampled_from(SYMBOLS)), draw(st.sampled_from([ident, ident + 100])), new, draw(
        st.floats(1.0, 30.0)
    )  # fmt: skip


steps = st.one_of(
    st.tuples(st.just("block"), st.lists(trades, max_size=4), st.lists(words(), max_size=2)),
    st.tuples(st.just("block"), st.lists(trades, max_size=4), st.lists(words(), max_size=2)),
    st.tuples(st.just("again"), st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.just("flush"), st.booleans(), st.just(0)),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
)


async def played(script: list[tuple[str, object, object]]) -> World:
    world, clock = World(), START_NS
    first: dict[tuple[Symbol, int], Tick] = {}  # a venue says the same of a trade each time
    for action, what, more in script:
        if action == "block":
            assert isinstance(what, list)
            assert isinstance(more, list)
            said: list[Amendment] = []
            for symbol, ident, new, price in more:
                clock += 10**9
                said.append(
                    Correction(symbol, clock, ident, 1.0, 1.0, new, price, 2.0)
                    if new
                    else Cancel(symbol, clock, ident, 1.0, 1.0)
                )
            ticks = [first.setdefault((tick.symbol, tick.trade_id), tick) for tick in what]
            await world.block(ticks, said)
        elif action == "again":
            await world.block(
                [each for each in world.trades if hash(each.trade_id) % 31 == what],
                [each for at, each in enumerate(world.said) if at == more],
            )
        elif action == "flush":
            world.flush(commit=bool(what))
        else:
            await world.restart()
    await world.end()
    return world


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=14))
def test_bars_are_those_of_the_trades_that_are_left(
    script: list[tuple[str, object, object]],
) -> None:
    world = asyncio.run(played(script))

    bars = {key: plain(row.bar) for key, row in world.database.rows.items() if row.bar.trades}
    assert bars == oracle(left_of(world.trades, world.said))
    assert not world.refused
    assert asyncio.run(rebuilt(world)) == 0


async def rebuilt(world: World) -> int:
    """How many bars a rebuild from the log would change."""
    changed = 0
    for symbol in SYMBOLS:
        request = RebuildRequest(1, 0, symbol, START_NS, START_NS + 360 * MINUTE_NS, dry_run=True)
        found = await rebuild(world.state, request, log=world.database, store=world.database)  # type: ignore[arg-type]
        changed += len(found.report.changed) + found.report.without_ticks
    return changed
