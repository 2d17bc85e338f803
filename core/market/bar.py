"""Bar: open, high, low, close, volume of one window, and its stored form."""

from collections.abc import Sequence
from typing import Final

import msgspec

from core.market.symbol import Symbol
from core.market.timeframe import Timeframe


class Bar(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One bar of a symbol: the window ``[start_ns, start_ns + timeframe)``, UTC, epoch-aligned.

    ``volume`` is the float nearest to the exact sum of the sizes; ``vwap`` is
    Σ price·size / Σ size, :func:`within` the prices; ``trades`` counts the ticks. ``rev`` is 0 at
    first publication and grows by one per flush that changed the bar; ``final`` is False for a
    running bar only; ``gap`` is True where trades are known to be missing.
    """

    symbol: Symbol
    timeframe: Timeframe
    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    vwap: float
    rev: int = 0
    final: bool = True
    gap: bool = False


ROUNDED: Final = 1e-12
"""What rounding may add to an average price, as a share of it."""


def within(price: float, low: float, high: float) -> float:
    """*price*, an average of prices from *low* to *high*, without what rounding added to it.

    Product and quotient are rounded: 0.1·3 / 3 is more than 0.1, by its last bit. An average that
    was given and is further off stays as it is.
    """
    if high < price <= high * (1 + ROUNDED):
        return high
    if low * (1 - ROUNDED) <= price < low:
        return low
    return price


class BarRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A bar as stored: with what a later revision needs.

    The order keys ``(event_ns, seq)`` of the ticks that set open and close, and the unrounded
    sums as floats whose exact sum is the exact Σ size and Σ price·size.
    """

    bar: Bar
    open_key: tuple[int, int]
    close_key: tuple[int, int]
    volume_parts: tuple[float, ...]
    notional_parts: tuple[float, ...]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Bar])


def encode_bars(bars: Sequence[Bar]) -> bytes:
    """Bars as one stream entry's payload."""
    return _ENCODER.encode(list(bars))


def decode_bars(payload: bytes) -> list[Bar]:
    """Read :func:`encode_bars`.

    Raises:
        msgspec.DecodeError: *payload* is something else.
    """
    return _DECODER.decode(payload)
