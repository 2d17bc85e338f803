"""The table of symbols: each that was ever seen, with its newest trade."""

from collections.abc import Iterable, Sequence
from typing import Final

from core.market.symbol import Symbol
from core.market.tick import Tick
from storage.database import Connection
from storage.packed import bigints, floats, smallints, texts
from storage.rows import newest_trades

_ADD: Final = """
INSERT INTO symbols (symbol) SELECT * FROM unnest(%b::text[]) ON CONFLICT (symbol) DO NOTHING
"""
_TRADES: Final = """
INSERT INTO symbols AS stored (symbol, event_ns, seq, trade_id, price, size, side)
SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::float8[],
    %b::float8[], %b::smallint[])
ON CONFLICT (symbol) DO UPDATE SET
    event_ns = excluded.event_ns, seq = excluded.seq, trade_id = excluded.trade_id,
    price = excluded.price, size = excluded.size, side = excluded.side
WHERE stored.event_ns IS NULL
    OR (excluded.event_ns, excluded.seq) >= (stored.event_ns, stored.seq)
"""


async def write_symbols(
    connection: Connection, names: Iterable[Symbol], trades: Iterable[Tick]
) -> None:
    """Add *names* and the symbols of *trades*, and keep each one's newest trade; again no change.

    Sorted, so that two transactions lock rows in the same order.
    """
    newest = newest_trades(trades)
    others = sorted(set(names) - newest.keys())
    if others:
        await connection.execute(_ADD, [texts(others)])
    if newest:
        await connection.execute(_TRADES, _columns([newest[name] for name in sorted(newest)]))


def _columns(ticks: Sequence[Tick]) -> list[object]:
    return [
        texts([tick.symbol for tick in ticks]),
        bigints([tick.event_ns for tick in ticks]),
        bigints([tick.seq for tick in ticks]),
        bigints([tick.trade_id for tick in ticks]),
        floats([tick.price for tick in ticks]),
        floats([tick.size for tick in ticks]),
        smallints([tick.side for tick in ticks]),
    ]
