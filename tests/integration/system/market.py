"""A small market to replay: trades with late and repeated ones, and the bars that are right."""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from core.market.symbol import make_symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS, TIMEFRAMES
from tests.integration.system.dev import all_bars
from tests.property.aggregator.harness import oracle

START_NS = 1_700_000_100 * 10**9  # the start of a quarter of an hour
SYMBOLS = ("BTC-USD", "ETH-USD", "XRP-ETH", "DOGE")
_HEADER = "symbol,trade_id,event_ns,side,price,size\n"
_LATE, _REPEATED = 0.05, 0.02  # shares of the trades

Facts = tuple[float, float, float, float, int, float, float]  # o, h, l, c, n, v, vw
Bars = dict[tuple[str, str, int], Facts]  # by symbol, timeframe and start


def make_trades(*, minutes: int, count: int, seed: int = 1, venue: str = "REPLAY") -> list[Tick]:
    """Trades in the order in which they arrive; ids count from 1 per symbol in that order.

    One in twenty comes up to five minutes late, one in fifty a second time.
    """
    dice = random.Random(seed)
    events = sorted(dice.randrange(minutes * MINUTE_NS) // 10**6 * 10**6 for _ in range(count))
    delays = [dice.randrange(5 * MINUTE_NS) if dice.random() < _LATE else 0 for _ in events]
    arrivals = sorted(zip(events, delays, strict=True), key=lambda pair: sum(pair))
    ids = dict.fromkeys(SYMBOLS, 0)
    trades: list[Tick] = []
    for after_ns, _ in arrivals:
        name = dice.choice(SYMBOLS)
        ids[name] += 1
        price, size = round(dice.uniform(90, 110), 4), round(dice.uniform(0.001, 5), 3)
        symbol, number = make_symbol(venue, name), ids[name]
        trades.append(Tick(symbol, number, price, size, START_NS + after_ns, seq=number))
        if dice.random() < _REPEATED:
            trades.append(dice.choice(trades[-200:]))
    return trades


def write_replay(path: Path, trades: Iterable[Tick]) -> Path:
    """The trades as a file for the feed `replay`."""
    rows = (
        f"{t.symbol.partition(':')[2]},{t.trade_id},{t.event_ns},,{t.price!r},{t.size!r}\n"
        for t in trades
    )
    path.write_text(_HEADER + "".join(rows))
    return path


def ids_of(trades: Iterable[Tick]) -> dict[str, list[int]]:
    """The ids of each symbol in the order of their first arrival."""
    found: dict[str, dict[int, None]] = {}
    for trade in trades:
        found.setdefault(trade.symbol, {})[trade.trade_id] = None
    return {symbol: list(ids) for symbol, ids in found.items()}


def right_bars(trades: Iterable[Tick]) -> Bars:
    """An independent fold of the trades, by the names that the wire has for things."""
    return {
        (s, timeframe.value, start): facts
        for (s, timeframe, start), facts in oracle(trades).items()
    }


def facts(bar: dict[str, Any]) -> Facts:
    """A bar of the wire."""
    return (bar["o"], bar["h"], bar["l"], bar["c"], bar["n"], bar["v"], bar["vw"])


def start_ns(bar: dict[str, Any]) -> int:
    """The start of a bar of the wire, which is a whole second."""
    return int(datetime.fromisoformat(bar["t"]).timestamp()) * 10**9


async def history(address: str, symbols: Sequence[str]) -> dict[tuple[str, str, int], Any]:
    """All closed bars of `/v1/bars`; none comes twice."""
    found = {}
    for timeframe in TIMEFRAMES:
        for symbol, bar in await all_bars(address, symbols, timeframe.value, 1_000):
            key = (symbol, timeframe.value, start_ns(bar))
            assert key not in found
            found[key] = bar
    return found


async def assert_bars(address: str, trades: Sequence[Tick]) -> bool:
    """The history is what the trades say, bar for bar."""
    right = right_bars(trades)
    found = await history(address, sorted({trade.symbol for trade in trades}))
    assert {key: facts(bar) for key, bar in found.items()} == right
    return True
