"""Bars and rows for the storage tests."""

from collections.abc import Mapping
from typing import Any

import msgspec

from core.market.bar import Bar, BarRow
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from storage.database import Database

DAY = 1_700_006_400_000_000_000  # 2023-11-15T00:00:00Z
assert DAY % DAY_NS == 0


def make_row(
    symbol: str = "SIM:A", minute: int = 0, timeframe: Timeframe = Timeframe.MIN_1, **bar: Any
) -> BarRow:
    """A row whose numbers tell rows apart and need all the bits of a float."""
    x = 1.1 + minute / 7
    fields: dict[str, Any] = {
        "open": x,
        "high": x * 3,
        "low": x / 3,
        "close": x * 2,
        "volume": x / 11,
        "trades": 3 + abs(minute),
        "vwap": x * 1.5,
    }
    start_ns = DAY + minute * MINUTE_NS
    return BarRow(
        Bar(symbol=Symbol(symbol), timeframe=timeframe, start_ns=start_ns, **(fields | bar)),
        (start_ns + 1, -5),
        (start_ns + 2, 2**63 - 1),
        (x / 11, 1e-300, -0.0),
        (),
    )


async def own(db: Database, tokens: Mapping[int, int]) -> None:
    """Leases for the tests' own flushes, with these tokens by shard."""
    statement = """
        INSERT INTO shard_leases SELECT shard, token, 'test', 'infinity'
        FROM unnest(%s::int[], %s::bigint[]) AS mine (shard, token)
        ON CONFLICT (shard) DO UPDATE SET token = excluded.token
    """
    await db.fetch("own", statement, [list(tokens), list(tokens.values())])


def revised(row: BarRow, rev: int, **bar: Any) -> BarRow:
    """*row* with another revision of its bar."""
    return msgspec.structs.replace(row, bar=msgspec.structs.replace(row.bar, rev=rev, **bar))


def make_tick(symbol: str = "SIM:A", event_ns: int = DAY, seq: int = 0, price: float = 1.5) -> Tick:
    return Tick(Symbol(symbol), -(2**63), price, 0.1, event_ns, Side.SELL, seq)
