"""Amendments: what was said of ticks and applied, logged beside them."""

from collections.abc import Sequence
from typing import Final

import msgspec

from core.market.amended import Word
from core.market.symbol import Symbol
from core.runtime.logs import RateLimited
from storage.database import Connection, Database
from storage.errors import TickLogError
from storage.packed import bigints, blobs, texts
from storage.rows import Retold, to_datetime

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(tuple[Word, ...])
MOST: Final = 10_000  # of a symbol, the newest; venues amend few of their trades

_INSERT: Final = """
INSERT INTO amendments (symbol, trade_id, event_ns, payload)
SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::bytea[])
ON CONFLICT DO NOTHING
"""
_OF: Final = f"""
SELECT event_ns, payload FROM amendments WHERE symbol = %s
ORDER BY event_ns DESC LIMIT {MOST + 1}
"""
_RETELL: Final = """
UPDATE symbols SET event_ns = %s, seq = %s, trade_id = %s, price = %s, size = %s, side = %s
WHERE symbol = %s AND trade_id = %s
"""
_DELETE: Final = "DELETE FROM amendments WHERE event_ns < %s"


async def write_amendments(connection: Connection, some: Sequence[Word]) -> None:
    """Log *some* within the transaction of *connection*; again changes nothing."""
    if some:
        await connection.execute(
            _INSERT,
            [
                texts([amendment.symbol for amendment in some]),
                bigints([amendment.trade_id for amendment in some]),
                bigints([amendment.event_ns for amendment in some]),
                blobs([_ENCODER.encode((amendment,)) for amendment in some]),
            ],
        )


async def retell(connection: Connection, some: Sequence[Retold]) -> None:
    """Replace last trades that were amended, where they are the last still."""
    for retold in some:
        trade = retold.now
        values = [None] * 6 if trade is None else [
            trade.event_ns, trade.seq, trade.trade_id, trade.price, trade.size, int(trade.side)
        ]  # fmt: skip
        await connection.execute(_RETELL, [*values, retold.symbol, retold.trade_id])


async def amendments_of(db: Database, symbol: Symbol, *, warnings: RateLimited) -> list[Word]:
    """The newest :data:`MOST` of *symbol*, in no order; of more, a warning says so.

    Raises:
        DatabaseUnavailable: it is away, or too slow.
        TickLogError: a newer program wrote one, or it is damaged.
    """
    rows = await db.fetch("amendments", _OF, [symbol])
    if len(rows) > MOST:
        del rows[MOST:]
        warnings.warning(
            symbol,
            "%s: more than %d corrections and cancels are logged; those said before %s are passed "
            "over, in trades and in bars that are folded again",
            symbol,
            MOST,
            to_datetime(rows[-1][0]),
        )
    try:
        return [word for _, payload in rows for word in _DECODER.decode(payload)]
    except msgspec.DecodeError as exc:
        raise TickLogError(f"an amendment of {symbol} cannot be read: {exc}") from exc


async def drop_amendments(db: Database, before_ns: int) -> None:
    """Delete those that were said before that time.

    Raises:
        DatabaseUnavailable: it is away, or too slow.
    """
    await db.fetch("cut the amendments", _DELETE, [before_ns])
