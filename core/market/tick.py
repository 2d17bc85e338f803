"""Tick: one trade print from one venue."""

import enum
from typing import Final

import msgspec

from core.market.symbol import Symbol

NO_ID: Final = -(2**63)
"""`trade_id` of a tick whose venue gives none: never de-duplicated, ordered by arrival."""


LATEST_NS: Final = 9_214_646_400 * 10**9  # 2262-01-01: int64 ends in that year
LEAST_AMOUNT: Final = 1e-100
MOST_AMOUNT: Final = 1e100
"""Prices and sizes of a tick lie between these, far beyond any market: products and sums of them
stay exact, which beyond 1e-290 and 1e290 they would not, or would not even be finite."""


class Side(enum.IntEnum):
    """The taker's side."""

    UNKNOWN = 0
    BUY = 1
    SELL = 2


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One trade print.

    ``price`` is in the quote currency, ``size`` in the base currency; both lie between
    :data:`LEAST_AMOUNT` and :data:`MOST_AMOUNT` once admission has let the tick in, not when code
    builds one. ``event_ns`` is the venue's clock, UNIX nanoseconds UTC. ``trade_id`` is the
    venue's, or a 63-bit hash of it, unique per symbol, or :data:`NO_ID`. ``seq`` decides the order
    of ticks with equal ``event_ns``: the venue's sequence or trade id; equal values fall back to
    arrival.
    """

    symbol: Symbol
    trade_id: int
    price: float
    size: float
    event_ns: int
    side: Side = Side.UNKNOWN
    seq: int = 0


def plain_float(value: float | str) -> float:
    """The number that *value* is, a text as JSON and CSV have them: Python reads more, as ``1_0``.

    Raises:
        ValueError: it is none.
        OverflowError: an integer beyond all floats.
    """
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        raise ValueError(f"could not convert string to float: {value[:40]!r}")
    return float(value)
