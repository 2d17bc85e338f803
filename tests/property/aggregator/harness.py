"""Drives a ShardCore as the service does, over a dictionary instead of a database."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from aggregator.checkpoint import StreamPosition, encode_state, restore_state
from aggregator.shard import ShardCore
from core.market.bar import Bar, BarRow
from core.market.block import BlockMeta, decode_block, encode_block
from core.market.notice import Gap
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from core.market.timeframe import TIMEFRAMES, Timeframe

KEEP_IDS_NS = 3600 * 10**9
Key = tuple[Symbol, Timeframe, int]


class Harness:
    """One shard, its stored rows, and restarts from its checkpoint."""

    def __init__(self) -> None:
        self.rows: dict[Key, BarRow] = {}
        self.core = ShardCore(keep_ids_ns=KEEP_IDS_NS)
        self.state: bytes | None = None
        self.pending: list[BarRow] = []
        self.pending_state = b""
        self.flushes = self.committed = 0
        self.seen: dict[str, int] = {}
        self.number = 0

    def fold(self, ticks: Sequence[Tick], *, feed: str = "f") -> None:
        self.number += 1
        meta = BlockMeta(number=self.number, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
        block = decode_block(encode_block(meta, ticks))
        self.core.fold(feed, block, seen_from_ns=self.seen.get(feed, -(2**63)))
        self._supply()

    def heed(self, *gaps: Gap) -> None:
        for gap in gaps:
            self.core.heed(gap)
        self._supply()

    def _supply(self) -> None:
        while wanted := self.core.wanted():
            newest: dict[Symbol, int] = {}
            for symbol, timeframe, start_ns in self.rows:
                if timeframe is Timeframe.MIN_1 and symbol in wanted.symbols:
                    newest[symbol] = max(newest.get(symbol, start_ns), start_ns)
            found = [self.rows[key] for key in wanted.rows if key in self.rows]
            self.core.supply(wanted, newest, found)

    def close(self, watermark_ns: int, *, feed: str = "f") -> None:
        self.seen[feed] = max(self.seen.get(feed, watermark_ns), watermark_ns)
        self.core.close_due(feed, watermark_ns)

    def flush(self, *, commit: bool = True) -> list[Bar]:
        """Take what closed; the rows reach the store with this commit or a later one."""
        self.flushes += 1
        rows = self.core.take_rows(self.flushes)
        self.pending += rows
        self.pending_state = encode_state(self.core, {"f": StreamPosition()})
        if commit:
            for row in self.pending:
                bar = row.bar
                self.rows[bar.symbol, bar.timeframe, bar.start_ns] = row
            self.pending, self.state, self.committed = [], self.pending_state, self.flushes
        self.core.evict(self.committed)
        return [row.bar for row in rows]

    def restart(self) -> None:
        assert self.state is not None
        self.pending = []
        self.core = ShardCore(keep_ids_ns=KEEP_IDS_NS)
        restore_state(0, self.state, self.core, keep_ids_ns=KEEP_IDS_NS)

    def bars(self) -> dict[Key, Bar]:
        return {key: row.bar for key, row in self.rows.items()}


def oracle(
    ticks: Iterable[Tick],
) -> dict[Key, tuple[float, float, float, float, int, float, float]]:
    """Bars by the rules, the plainest way: o, h, l, c, n, v, vw of each window."""
    seen: set[tuple[Symbol, int]] = set()
    windows: dict[Key, list[Tick]] = {}
    for tick in ticks:
        if tick.trade_id != NO_ID and (tick.symbol, tick.trade_id) in seen:
            continue
        seen.add((tick.symbol, tick.trade_id))
        for timeframe in TIMEFRAMES:
            start_ns = tick.event_ns // timeframe.ns * timeframe.ns
            windows.setdefault((tick.symbol, timeframe, start_ns), []).append(tick)
    bars = {}
    for key, inside in windows.items():
        inside.sort(key=lambda t: (t.event_ns, t.seq))  # stable: then arrival
        prices = [t.price for t in inside]
        volume = sum(Fraction(t.size) for t in inside)
        notional = sum(Fraction(t.size) * Fraction(t.price) for t in inside)
        bars[key] = (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            len(inside),
            float(volume),
            min(max(float(notional) / float(volume), min(prices)), max(prices)),
        )
    return bars


def plain(bar: Bar) -> tuple[float, float, float, float, int, float, float]:
    return (bar.open, bar.high, bar.low, bar.close, bar.trades, bar.volume, bar.vwap)
