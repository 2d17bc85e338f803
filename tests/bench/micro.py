"""Single parts on one core, without processes and sockets around them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from core.market.block import MAX_TICKS, BlockMeta, decode_block, encode_block
from core.market.symbol import make_symbol
from core.market.tick import Side, Tick
from ingest.admission import Admission
from ingest.blocks import Moment, ShardBlocks
from ingest.feed_clock import ClockKind, FeedClock
from ingest.limits import IngestLimits
from ingest.venues import make_venue

_START_NS = 1_767_225_600 * 10**9
_MS_NS = 1_000_000
_SYMBOLS = 32  # of one of 16 shards, at 500 in all
_BLOCKS = 200
_FRAMES = 20_000
_FRAME = (
    '{{"type":"match","trade_id":{id},"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8",'
    '"taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","side":"sell","size":"5.23512",'
    '"price":"400.23","product_id":"{product}","sequence":{id},"time":"{time}"}}'
)


@dataclass(frozen=True)
class MicroResult:
    """One part's speed."""

    what: str
    ticks_per_s: float


def measure(rounds: int = 5) -> list[MicroResult]:
    """Every part; the best of *rounds*, which disturbs least."""
    blocks = [encode_block(meta, ticks) for meta, ticks in _blocks()]
    plain = [ticks for _, ticks in _blocks()]
    frames = _frames()
    return [
        MicroResult("encode a block", _best(lambda: _encode(plain), rounds)),
        MicroResult("decode a block", _best(lambda: _decode(blocks), rounds)),
        MicroResult("venue frame (JSON) to block", _best(lambda: _ingest(frames), rounds)),
    ]


def _best(run: Callable[[], int], rounds: int) -> float:
    speeds = []
    for _ in range(rounds):
        began_s = time.perf_counter()
        ticks = run()
        speeds.append(ticks / (time.perf_counter() - began_s))
    return max(speeds)


def _blocks() -> list[tuple[BlockMeta, list[Tick]]]:
    """Blocks of one shard, 160 ms of ticks each, of symbols that take turns."""
    symbols = [make_symbol("SIM", f"S{n:03}") for n in range(_SYMBOLS)]
    found = []
    for block in range(_BLOCKS):
        start = block * MAX_TICKS
        ticks = [
            Tick(
                symbols[n % _SYMBOLS],
                n // _SYMBOLS,
                100.0 + n % 7,
                1.0 + n % 3,
                _START_NS + n * 160_000,
                Side.BUY,
                n // _SYMBOLS,
            )
            for n in range(start, start + MAX_TICKS)
        ]
        now_ns = ticks[-1].event_ns
        meta = BlockMeta(
            number=block + 1,
            watermark_ns=now_ns - 2_000 * _MS_NS,
            feed_time_ns=now_ns,
            sealed_ns=now_ns,
        )
        found.append((meta, ticks))
    return found


def _encode(blocks: list[list[Tick]]) -> int:
    meta = BlockMeta(number=1, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
    for ticks in blocks:
        encode_block(meta, ticks)
    return len(blocks) * MAX_TICKS


def _decode(blocks: list[bytes]) -> int:
    return sum(len(decode_block(payload)) for payload in blocks)


def _frames() -> list[str]:
    return [
        _FRAME.format(
            id=n,
            product=("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")[n % 4],
            time=f"2026-01-01T00:00:{n // 1000:02}.{n % 1000:03}456Z",
        )
        for n in range(_FRAMES)
    ]


def _ingest(frames: list[str]) -> int:
    venue = make_venue("coinbase", ["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD"])
    clock = FeedClock(ClockKind.LIVE)
    admission = Admission(clock, IngestLimits().admission)
    blocks = ShardBlocks(shards=16, resume={}, grace_ns=2_000 * _MS_NS)
    sealed = 0
    for n, frame in enumerate(frames):
        now_ns = _START_NS + n * _MS_NS
        ticks = venue.parse(frame).ticks
        verdict = admission.judge(ticks, monotonic_ns=now_ns, wall_ns=now_ns)
        moment = Moment(clock.now_ns(now_ns), now_ns, now_ns)
        blocks.add(verdict.admitted, position=0, now=moment)
        if n % 250 == 249:
            sealed += sum(block.ticks for block in blocks.take(moment, idle_ns=0))
    return len(frames)
