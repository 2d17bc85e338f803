"""A schedule of ticks in the form that each kind of server takes it. Pure, but for the encoding."""

from collections.abc import Iterator, Sequence

from core.market.block import BlockMeta, encode_block
from core.market.symbol import Symbol
from core.market.tick import Side
from core.market.tick import Tick as MarketTick
from storage.streams import StreamKeys, shard_of
from tests.bench.fanout import load
from tests.bench.fanout.load import Tick, Work
from tests.bench.fanout.script import Window, in_process

FEED = "sim"
SHARDS = 16
NCHAN_CONNECTIONS = 32
_RETENTION_MS = 600_000
_MS_NS = 1_000_000

Records = list[tuple[int, bytes]]


def for_in_process(work: Work, ticks: Sequence[Tick]) -> bytes:
    """Windows of ready-made messages: a library is not charged for making them."""
    windows = []
    for due_ns, some in work.windows(ticks):
        if work.routed:
            windows.append(Window(due_ns, load.by_symbol(some)))
        else:
            windows.append(Window(due_ns, {0: [load.batch([tick.text() for tick in some])]}))
    return in_process(windows, routed=work.routed)


def for_nats(work: Work, ticks: Sequence[Tick], *, batched: bool) -> Records:
    """NATS client protocol."""
    return [
        (due_ns, b"PUB %s %d\r\n%s\r\n" % (channel(symbol).encode(), len(payload), payload))
        for due_ns, symbol, payload in _messages(work, ticks, batched=batched)
    ]


def for_nchan(work: Work, ticks: Sequence[Tick], *, batched: bool) -> list[Records]:
    """HTTP requests, by connection: a symbol's are on one of them, so that they stay in order."""
    head = b"POST /pub/%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s"
    connections: list[Records] = [[] for _ in range(NCHAN_CONNECTIONS)]
    for due_ns, symbol, payload in _messages(work, ticks, batched=batched):
        request = head % (channel(symbol).encode(), len(payload), payload)
        connections[symbol % NCHAN_CONNECTIONS].append((due_ns, request))
    return connections


def for_tickgate(work: Work, ticks: Sequence[Tick], keys: StreamKeys) -> Records:
    """Blocks on the streams, as the ingest role writes them: one each 5 ms and shard.

    The same frame for everybody is a block of its own, written at its time.
    """
    numbers = [1] * keys.shards
    groups = load.windows(ticks, load.BLOCK_NS) if work.routed else work.windows(ticks)
    records: Records = []
    for due_ns, some in groups:
        by_shard: dict[int, list[MarketTick]] = {}
        for tick in some:
            market = _market(tick)
            by_shard.setdefault(shard_of(market.symbol, keys.shards), []).append(market)
        commands = []
        for shard, members in by_shard.items():
            block = _block(numbers[shard], members, due_ns)
            numbers[shard] += 1
            commands.append(_xadd(keys.ticks(FEED, shard), due_ns // _MS_NS, block))
        records.append((due_ns, b"".join(commands)))
    return records


def channel(symbol: int) -> str:
    """A symbol as a name that NATS and a path take."""
    return f"S{symbol:03}"


def _messages(
    work: Work, ticks: Sequence[Tick], *, batched: bool
) -> Iterator[tuple[int, int, bytes]]:
    """When, which symbol, and the message: single ticks, or all of a window in an array."""
    if work.routed and not batched:
        yield from ((tick.due_ns, tick.symbol, tick.text()) for tick in ticks)
        return
    for due_ns, some in work.windows(ticks):
        for symbol, texts in load.by_symbol(some).items():
            yield due_ns, symbol, load.batch(texts)


def _market(tick: Tick) -> MarketTick:
    side = Side.BUY if tick.buy else Side.SELL
    symbol = Symbol(load.name(tick.symbol))
    trade_id = tick.trade_id
    return MarketTick(symbol, trade_id, tick.price, tick.size, tick.due_ns, side, trade_id)


def _block(number: int, ticks: Sequence[MarketTick], sealed_ns: int) -> bytes:
    newest_ns = ticks[-1].event_ns
    meta = BlockMeta(
        number=number, watermark_ns=newest_ns, feed_time_ns=newest_ns, sealed_ns=sealed_ns
    )
    return encode_block(meta, ticks)


def _xadd(key: str, now_ms: int, block: bytes) -> bytes:
    """As the writer of tick streams does, but that the server chooses the id."""
    oldest = str(now_ms - _RETENTION_MS).encode()
    words = (b"XADD", key.encode(), b"MINID", b"~", oldest, b"*", b"b", block)
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
