"""Streams to bars on one core: decoding, de-duplication and three timeframes, and the flushes.

The load is a market of many symbols at 100,000 ticks/s on 16 shards, in full blocks, as a backlog
is read: all blocks of a read that lie behind each other in a stream are folded together. Trades
come in no order of symbols; each has its id, and two decimals in the price.
"""

import asyncio
import contextlib
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from aggregator.flush import Flush
from aggregator.joined import join, runs
from aggregator.shards import ShardState
from core.market.block import MAX_TICKS, BlockMeta, encode_block
from core.market.symbol import Symbol, make_symbol
from core.market.tick import Side, Tick
from core.runtime.heap import tune_for_bursts
from storage.database import Database
from storage.flush_thread import ThreadedStore
from storage.keys import shard_of
from storage.migrations import migrate
from storage.shard_leases import ShardLeases
from storage.stream_reader import Entry
from tests.fix_servers import new_database, running_postgres

SHARDS: Final = 16
RATE: Final = 100_000
_SYMBOLS: Final = (10, 100, 500, 2_000, 10_000)
_FLUSHED_SYMBOLS: Final = 500
_S_NS: Final = 10**9
_START_NS: Final = 1_767_225_585 * _S_NS  # a quarter of a minute before an edge of all timeframes
_PER_READ: Final = 8  # blocks of each stream
_CHECKPOINT_S: Final = 5  # of the market: as the aggregator does at this rate


@dataclass(frozen=True)
class FoldSpeed:
    """Ticks a second with so many symbols: median, slowest and fastest round."""

    symbols: int
    median: float
    slowest: float
    fastest: float


@dataclass(frozen=True)
class FlushCost:
    """Processor time of a minute of the market, in seconds: the same reads, twice.

    Between the same reads is the same wait: a pause makes what comes after it slower, by whatever
    it was made.
    """

    bare_s: float  # folded, and never flushed
    flushed_s: float  # folded and flushed, in the thread that folds
    aside_s: float  # then, in other threads: compressing the tick log, and the statements
    spread: tuple[float, float] = (0.0, 0.0)  # the least and the most that it added, of all rounds

    @property
    def share(self) -> float:
        """What flushing adds to the time of the thread that folds."""
        return self.flushed_s / self.bare_s - 1


def speeds(rounds: int = 5, *, seconds: int = 20) -> list[FoldSpeed]:
    """For 10 to 10,000 symbols, which take turns; *seconds* of the market each round."""
    tune_for_bursts()  # as the role does
    streams = {count: _streams(count, seconds) for count in _SYMBOLS}
    found: dict[int, list[float]] = {count: [] for count in _SYMBOLS}
    for _ in range(rounds):
        for count, reads in streams.items():
            found[count].append(_fold(reads))
    return [
        FoldSpeed(count, statistics.median(some), min(some), max(some))
        for count, some in found.items()
    ]


def flush_cost(rounds: int = 9, *, seconds: int = 60) -> FlushCost:
    """With 500 symbols, over *seconds* of the market, with and without in turns: the median round.

    The thread that folds has a core of its own, where there are two; other threads and the server
    have the rest. Sums that folding puts off are brought up to date for a checkpoint, which would
    be due at the end of the minute anyway: so what flushing adds is a difference, not what it
    takes.
    """
    tune_for_bursts()  # as the role does
    cores = _Cores.of_this_thread()
    reads = _streams(_FLUSHED_SYMBOLS, seconds)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.callback(cores.use, cores.own | cores.others)
        with cores.elsewhere():
            server = stack.enter_context(running_postgres(folder))
        found = [_flush_round(server, cores, reads) for _ in range(rounds + 1)][1:]
    found.sort(key=lambda cost: cost.share)
    spread = found[0].share, found[-1].share
    return replace(found[len(found) // 2], spread=spread)


def _streams(symbols: int, seconds: int) -> list[list[Entry]]:
    """What each read brings: entries of all shards."""
    names = [make_symbol("SIM", f"S{n:05}-USD") for n in range(symbols)]
    shards = np.array([shard_of(name, SHARDS) for name in names])
    draws = np.random.default_rng(symbols)
    drawn = draws.integers(0, symbols, RATE * seconds)
    streams = [
        list(_blocks(shard, names, drawn, np.flatnonzero(shards[drawn] == shard), draws))
        for shard in range(SHARDS)
    ]
    longest = max(map(len, streams))
    return [
        [entry for stream in streams for entry in stream[at : at + _PER_READ]]
        for at in range(0, longest, _PER_READ)
    ]


def _blocks(
    shard: int,
    names: list[Symbol],
    drawn: np.ndarray[tuple[int], np.dtype[np.int64]],
    places: np.ndarray[tuple[int], np.dtype[np.intp]],
    draws: np.random.Generator,
) -> Iterator[Entry]:
    ids = [0] * len(names)
    prices = (100 + draws.integers(-500, 500, len(places)) / 100).tolist()
    sizes = (draws.integers(1, 10**8, len(places)) / 10**5).tolist()
    for number, at in enumerate(range(0, len(places), MAX_TICKS), 1):
        ticks = []
        for place, price, size in zip(
            places[at : at + MAX_TICKS].tolist(),
            prices[at : at + MAX_TICKS],
            sizes[at : at + MAX_TICKS],
            strict=True,
        ):
            of = int(drawn[place])
            ids[of] += 1
            event_ns = _START_NS + place * _S_NS // RATE
            ticks.append(Tick(names[of], ids[of], price, size, event_ns, Side.BUY, ids[of]))
        now_ns = ticks[-1].event_ns
        meta = BlockMeta(
            number=number, watermark_ns=now_ns - 2 * _S_NS, feed_time_ns=now_ns, sealed_ns=now_ns
        )
        yield Entry(f"ticks:{shard}", f"{number}-0", encode_block(meta, ticks))


@dataclass(frozen=True)
class _Cores:
    """Where this thread runs, and where all that works for it does."""

    own: frozenset[int]
    others: frozenset[int]

    @classmethod
    def of_this_thread(cls) -> "_Cores":
        first, *others = sorted(os.sched_getaffinity(0))
        return cls(frozenset({first}), frozenset(others or {first}))

    def use(self, cores: frozenset[int]) -> None:
        os.sched_setaffinity(0, cores)

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[None]:
        """What is started within runs on the other cores."""
        self.use(self.others)
        try:
            yield
        finally:
            self.use(self.own)

    def pool(self) -> ThreadPoolExecutor:
        """Threads on the other cores."""
        return ThreadPoolExecutor(2, initializer=self.use, initargs=(self.others,))


def _flush_round(server: str, cores: _Cores, reads: list[list[Entry]]) -> FlushCost:
    with new_database(server) as url:
        flushed = _Flushed(url, cores)
        aside_s = asyncio.run(flushed.run(reads))
    return FlushCost(_bare_s(reads, flushed.waits_s), flushed.spent_s, aside_s)


def _bare_s(reads: list[list[Entry]], waits_s: Mapping[int, float]) -> float:
    """Processor time of folding *reads*, with waits after some of them."""
    states, spent_s = _states(), 0.0
    gc.collect()
    for number, entries in enumerate(map(_received, reads)):
        began_s = time.thread_time()
        _fold_read(states, entries)
        spent_s += time.thread_time() - began_s
        time.sleep(waits_s.get(number, 0.0))
    return spent_s


def _received(entries: list[Entry]) -> list[Entry]:
    """*entries* in memory of their own, as if they came from a socket: a flush may keep it."""
    return [Entry(entry.key, entry.entry_id, bytes(bytearray(entry.payload))) for entry in entries]


def _fold(reads: list[list[Entry]]) -> float:
    """Ticks a second of processor time, once every symbol is known."""
    states = _states()
    _fold_read(states, reads[0])
    ticks = 0
    began_s = time.process_time()
    for number, entries in enumerate(reads[1:], 1):
        ticks += _fold_read(states, entries)
        for state in states:
            state.core.take_rows(number)
            state.core.evict(number)
    return ticks / (time.process_time() - began_s)


def _fold_read(states: list[ShardState], entries: list[Entry]) -> int:
    ticks = 0
    for run in runs(entries):
        state = states[int(run[0].key.partition(":")[2])]
        payloads = [entry.payload for entry in run]
        joined = join(payloads)
        assert joined is not None
        block = joined.block
        state.fold("sim", run[-1].entry_id, block, payloads=payloads)
        if (wanted := state.core.wanted()) is not None:
            state.core.supply(wanted, {}, ())
        state.core.close_due("sim", block.meta.watermark_ns)
        ticks += len(block)
    return ticks


def _states() -> list[ShardState]:
    return [ShardState.fresh(shard, token=1, keep_ids_ns=3_600 * _S_NS) for shard in range(SHARDS)]


@dataclass
class _Flushed:
    """Folds and flushes as the aggregator does when it keeps pace with the market."""

    url: str
    cores: _Cores
    spent_s: float = 0.0
    waits_s: dict[int, float] = field(default_factory=dict)  # by number of the read before
    states: list[ShardState] = field(default_factory=_states)

    async def run(self, reads: list[list[Entry]]) -> float:
        """Fold and flush *reads*; returns the processor time of other threads."""
        asyncio.get_running_loop().set_default_executor(self.cores.pool())
        await migrate(self.url)
        db = Database(self.url)
        await db.open()
        leases = ShardLeases(db, owner="bench", shards=SHARDS)
        await leases.create()
        await leases.acquire(range(SHARDS), at_most=SHARDS)
        for state in self.states:
            state.begin_log(wanted=True)
        store = ThreadedStore(db, lambda: Database(self.url, min_size=1, max_size=1))
        with self.cores.elsewhere():
            await store.open()
        gc.collect()
        aside_s = _in_other_threads()
        await self._fold_and_flush(store, reads)
        aside_s = _in_other_threads() - aside_s
        await store.close()
        await db.close()
        return aside_s

    async def _fold_and_flush(self, store: ThreadedStore, reads: list[list[Entry]]) -> None:
        """What closed is stored before the next read, as if that came 0.2 s later."""
        checkpoint_ns = _START_NS
        for number, entries in enumerate(map(_received, reads)):
            began_s = time.thread_time()
            _fold_read(self.states, entries)
            newest_ns = max(state.positions["sim"].feed_time_ns for state in self.states)
            is_due = newest_ns - checkpoint_ns >= _CHECKPOINT_S * _S_NS
            if is_due:
                checkpoint_ns = newest_ns
            parts = tuple(
                state.take_flush(state.flush)
                for state in self.states
                if state.core.dirty or (is_due and state.changed)
            )
            if parts:
                waiting_s = time.perf_counter()
                await store.flush(await asyncio.to_thread(Flush(parts, 0).encoded))
                self.waits_s[number] = time.perf_counter() - waiting_s
            self.spent_s += time.thread_time() - began_s


def _in_other_threads() -> float:
    """Seconds of processor time of all threads but this one."""
    return time.process_time() - time.thread_time()
