"""Which stored bars are asked for, in which order, from where on. Pure."""

from collections.abc import Sequence

import msgspec

from core.market.resolution import Resolution
from core.market.symbol import Symbol


class BarRange(msgspec.Struct, frozen=True, kw_only=True):
    """A page of bars that start in ``[start_ns, end_ns]``, by symbol, then time.

    Args:
        symbols: whose; repeats count once. Sorted by code point, whatever their order here.
        resolution: their length; what is not stored is rolled up, :mod:`core.market.rolled`.
        start_ns: first window start, UNIX nanoseconds.
        end_ns: last window start.
        limit: at most so many bars in all, >= 1.
        descending: newest first within a symbol; symbols still ascend. With a limit: the last
            so many.
        after: symbol and window start of the last bar of the page before; that bar and those
            that precede it in the order are left out, also when it is gone meanwhile.
    """

    symbols: Sequence[Symbol]
    resolution: Resolution
    start_ns: int
    end_ns: int
    limit: int
    descending: bool = False
    after: tuple[Symbol, int] | None = None
