"""The load of a seed: a file of trades, so that all that is true of it is known beforehand."""

import csv
import gzip
import os
import random
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

MINUTE_NS = 60 * 10**9
VENUE = "REPLAY"
REAL = "XRP-ETH"
SIMULATED = ("ACE", "BEE", "CAT", "DOG", "EEL", "FOX")
_HEADER = "symbol,trade_id,event_ns,side,price,size\n"
_REAL_FILE = "binance_xrpeth_trades.csv.gz"
_LATE, _REPEATED = 0.05, 0.02  # shares of the simulated trades


class Trade(NamedTuple):
    """One trade; ``symbol`` with its venue."""

    symbol: str
    number: int
    time_ns: int
    price: float
    size: float


@cache
def real_trades() -> tuple[Trade, ...]:
    """Two and a half days of one symbol, from the folder that TEST_MARKET_DATA names."""
    path = Path(os.environ["TEST_MARKET_DATA"]) / _REAL_FILE
    with gzip.open(path, "rt") as lines:
        return tuple(
            Trade(
                f"{VENUE}:{REAL}",
                int(row["trade_id"]),
                int(row["timestamp_ms"]) * 10**6,
                float(row["price"]),
                float(row["size"]),
            )
            for row in csv.DictReader(lines)
        )


def make_load(seed: int, *, minutes: int = 240, simulated: int = 4_000) -> list[Trade]:
    """Trades in the order in which they arrive: a cut of the real ones amid simulated ones.

    Of the simulated ones one in twenty comes up to five minutes late, one in fifty twice. Their
    ids count up from 1 per symbol, in the order of arrival.
    """
    dice = random.Random(seed)
    real = real_trades()
    first = dice.randrange(len(real) * 3 // 4)
    from_ns, to_ns = real[first].time_ns, real[first].time_ns + minutes * MINUTE_NS
    cut = [trade for trade in real[first:] if trade.time_ns < to_ns]
    arrivals = [(trade.time_ns, trade) for trade in cut]
    arrivals += _simulate(dice, simulated, from_ns, to_ns)
    arrivals.sort(key=lambda pair: pair[0])  # stable: the real ones stay in their order
    return _repeat_some(dice, _number(trade for _, trade in arrivals))


def _simulate(dice: random.Random, count: int, from_ns: int, to_ns: int) -> list[tuple[int, Trade]]:
    """Trades without numbers, each with the time of its arrival."""
    prices = {name: dice.uniform(1, 50_000) for name in SIMULATED}
    found = []
    for event_ns in sorted(dice.randrange(from_ns, to_ns) // 10**6 * 10**6 for _ in range(count)):
        name = dice.choice(SIMULATED)
        prices[name] *= 1 + dice.gauss(0, 1e-3)
        late_ns = dice.randrange(5 * MINUTE_NS) if dice.random() < _LATE else 0
        price, size = float(f"{prices[name]:.7g}"), round(dice.uniform(0.001, 9), 4)
        found.append((event_ns + late_ns, Trade(f"{VENUE}:{name}", 0, event_ns, price, size)))
    return found


def _number(trades: Iterable[Trade]) -> list[Trade]:
    counts: dict[str, int] = {}
    numbered = []
    for trade in trades:
        if not trade.number:
            counts[trade.symbol] = counts.get(trade.symbol, 0) + 1
            trade = trade._replace(number=counts[trade.symbol])
        numbered.append(trade)
    return numbered


def _repeat_some(dice: random.Random, trades: Sequence[Trade]) -> list[Trade]:
    arrived: list[Trade] = []
    for trade in trades:
        arrived.append(trade)
        if dice.random() < _REPEATED:
            arrived.append(dice.choice(arrived[-200:]))
    return arrived


def shuffled(dice: random.Random, trades: Sequence[Trade], *, reach: int) -> list[Trade]:
    """*trades* with each moved by up to *reach* places."""
    order = sorted(range(len(trades)), key=lambda at: at + dice.uniform(0, reach))
    return [trades[at] for at in order]


def write_file(path: Path, trades: Iterable[Trade]) -> Path:
    """The trades as a file for the feed `replay`."""
    rows = (
        f"{t.symbol.partition(':')[2]},{t.number},{t.time_ns},,{t.price!r},{t.size!r}\n"
        for t in trades
    )
    path.write_text(_HEADER + "".join(rows))
    return path


def arrival_order(trades: Iterable[Trade]) -> dict[str, list[int]]:
    """The ids of each symbol in the order of their first arrival."""
    found: dict[str, dict[int, None]] = {}
    for trade in trades:
        found.setdefault(trade.symbol, {})[trade.number] = None
    return {symbol: list(numbers) for symbol, numbers in found.items()}
