"""Markets with a known past, as replay files: what the browser shows can be computed."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


@dataclass(frozen=True)
class Market:
    """A replayed market of one symbol."""

    venue: str
    ticker: str
    start_ns: int

    @property
    def symbol(self) -> str:
        return f"{self.venue}:{self.ticker}"


OLD = Market("OLD", "BTC-USD", 1_625_270_400 * SECOND_NS)  # 2021-07-03T00:00:00Z
OLD_MINUTES = 2_600  # three pages of history
FAST = Market("FAST", "ETH-USD", 1_625_270_400 * SECOND_NS)
FAST_SPEED = 120
_FAST_MINUTES = 1_800  # at this pace: fifteen minutes
_STEP_NS = 5 * SECOND_NS
_LATE_EACH = 48  # one trade in so many arrives two minutes late and revises closed bars
_LATE_NS = 2 * MINUTE_NS


def write_old_market(path: Path) -> Path:
    """One trade a minute, long ago; all bars of it are closed."""
    rows = [(OLD.start_ns + minute * MINUTE_NS, minute) for minute in range(OLD_MINUTES)]
    return _write(path, OLD, rows)


def write_fast_market(path: Path) -> Path:
    """Twelve trades a minute, two minutes a second: bars close and are revised meanwhile."""
    steps = range(_FAST_MINUTES * MINUTE_NS // _STEP_NS)
    rows = []
    for step in steps:
        late_ns = _LATE_NS if step > _LATE_EACH and step % _LATE_EACH == 0 else 0
        rows.append((FAST.start_ns + step * _STEP_NS - late_ns, step))
    return _write(path, FAST, rows)


def _write(path: Path, market: Market, rows: list[tuple[int, int]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["symbol", "trade_id", "event_ns", "side", "price", "size"])
        for event_ns, number in rows:
            price = round(1000 + 40 * math.sin(number / 90) + 9 * math.sin(number / 7), 2)
            size = round(1 + math.sin(number / 5) ** 2, 4)
            side = "buy" if number % 2 else "sell"
            writer.writerow([market.ticker, number + 1, event_ns, side, price, size])
    return path
