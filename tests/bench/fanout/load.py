"""What is sent: the same ticks for every server, and who asks for which. Pure; times are ns."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
import numpy as np

SYMBOLS = 500
EACH = 20  # symbols of a client
FRAME_BYTES = 512
WINDOW_NS = 100_000_000
BLOCK_NS = 5_000_000  # as long as the ingest role gathers a block
FIRST_ID = 1_000_001
SEED = 7
_SECOND_NS = 1_000_000_000
PER_FRAME = 5  # trades of one symbol that fill a frame of FRAME_BYTES
_OFFSET_NS = 1  # keeps all nine digits of a time's fraction in its text


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One trade; ``due_ns`` is when it is scheduled to be sent, and the time it carries."""

    due_ns: int
    symbol: int
    trade_id: int
    price: float
    size: float
    buy: bool

    def text(self) -> bytes:
        """The JSON item, byte for byte as the gateway writes it."""
        return (
            f'{{"T":"t","S":"{name(self.symbol)}","p":{self.price!r},"s":{self.size!r},'
            f'"t":"{_time(self.due_ns)}","i":{self.trade_id},"tks":"{"BS"[not self.buy]}"}}'
        ).encode()


def name(symbol: int) -> str:
    """The symbol's full name; its last three characters are its number."""
    return f"SIM:S{symbol:03}"


@dataclass(frozen=True, slots=True)
class Work:
    """A load: *clients* with *each* symbols; ``per_s`` counts frames, or, routed, ticks."""

    key: str
    clients: int
    each: int
    per_s: int

    @property
    def routed(self) -> bool:
        """Does each client get its own symbols, in windows? Else all get the same frames."""
        return self.each > 1

    @property
    def ticks_per_s(self) -> int:
        return self.per_s if self.routed else self.per_s * PER_FRAME

    def ticks(self, start_ns: int, seconds: float) -> list[Tick]:
        """The schedule, in order of time."""
        if self.routed:
            return _routed(start_ns, self.per_s, seconds)
        return _frames(start_ns, self.per_s, seconds)

    def windows(self, ticks: Sequence[Tick]) -> Iterator[tuple[int, list[Tick]]]:
        """What is sent together, and when: a frame's trades at once, or 100 ms at their end."""
        if self.routed:
            yield from windows(ticks, WINDOW_NS)
            return
        for at in range(0, len(ticks), PER_FRAME):
            yield ticks[at].due_ns, list(ticks[at : at + PER_FRAME])

    def subscriptions(self) -> list[list[int]]:
        """Symbols by client, drawn at random; symbol 0 for all where there is one frame for all."""
        if not self.routed:
            return [[0]] * self.clients
        source = random.Random(SEED)
        return [sorted(source.sample(range(SYMBOLS), self.each)) for _ in range(self.clients)]


def _frames(start_ns: int, per_s: int, seconds: float) -> list[Tick]:
    """One symbol's trades, those of a frame together: with commas and brackets 512 bytes."""
    ticks = []
    for n in range(round(per_s * seconds)):
        due_ns = _aligned(start_ns) + n * _SECOND_NS // per_s // 1000 * 1000
        first = FIRST_ID + n * PER_FRAME
        ticks += [_filling(due_ns + i, first + i, i) for i in range(PER_FRAME)]
    return ticks


def _filling(due_ns: int, trade_id: int, place: int) -> Tick:
    """Trades of such lengths that five of them make the frame, whatever their ids and times."""
    price = 71.25 if place < PER_FRAME - 1 else 718.25
    return Tick(due_ns, 0, trade_id, price, 0.5, buy=place % 2 == 0)


def _routed(start_ns: int, per_s: int, seconds: float) -> list[Tick]:
    """Trades at a steady rate, each of a symbol drawn at random; ids count up by symbol."""
    n = round(per_s * seconds)
    source = np.random.default_rng(SEED)
    symbols = source.integers(0, SYMBOLS, n).tolist()
    prices = np.round(source.uniform(10, 90_000, n), 2).tolist()
    sizes = np.round(source.uniform(0.001, 9, n), 3).tolist()
    buys = (source.integers(0, 2, n) == 0).tolist()
    offsets = np.arange(n, dtype=np.int64) * _SECOND_NS // per_s // 1000 * 1000
    dues = (_aligned(start_ns) + offsets).tolist()
    next_id = [FIRST_ID] * SYMBOLS
    ticks = []
    for due_ns, symbol, price, size, buy in zip(dues, symbols, prices, sizes, buys, strict=True):
        ticks.append(Tick(due_ns, symbol, next_id[symbol], price, size, buy))
        next_id[symbol] += 1
    return ticks


def windows(ticks: Sequence[Tick], width_ns: int) -> Iterator[tuple[int, list[Tick]]]:
    """Runs of ticks in order of time: the end of each window that has some, and they."""
    start_ns = ticks[0].due_ns if ticks else 0
    at = 0
    while at < len(ticks):
        end_ns = start_ns + ((ticks[at].due_ns - start_ns) // width_ns + 1) * width_ns
        begin = at
        while at < len(ticks) and ticks[at].due_ns < end_ns:
            at += 1
        yield end_ns, list(ticks[begin:at])


def by_symbol(ticks: Sequence[Tick]) -> dict[int, list[bytes]]:
    """The texts of *ticks*, by symbol."""
    found: dict[int, list[bytes]] = {}
    for tick in ticks:
        found.setdefault(tick.symbol, []).append(tick.text())
    return found


def batch(texts: Sequence[bytes]) -> bytes:
    """A message of items."""
    return b"[" + b",".join(texts) + b"]"


def deliveries(ticks: Sequence[Tick], asked: Sequence[Sequence[int]]) -> int:
    """How many trades all clients together must get."""
    readers = [0] * SYMBOLS
    for symbols in asked:
        for symbol in symbols:
            readers[symbol] += 1
    return sum(readers[tick.symbol] for tick in ticks)


def _aligned(start_ns: int) -> int:
    return start_ns // 1000 * 1000 + _OFFSET_NS


def _time(time_ns: int) -> str:
    second, fraction_ns = divmod(time_ns, _SECOND_NS)
    return f"{_second(second)}.{fraction_ns:09}Z"


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()
