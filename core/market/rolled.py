"""Rolled bars: bars of a longer window made of the stored bars that lie in it. Pure.

Open and close are those of the first and the last stored bar, as windows do not overlap; high, low,
count and gap are exact. The volume is the float nearest to the exact sum of the stored volumes, so
that whoever adds those up gets the same; the average price is weighted by them. ``rev`` is the sum
of their revisions: it grows whenever one of them is revised.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

from core.market.bar import Bar, within
from core.market.resolution import Resolution


def rolled(bars: Sequence[Bar], start_ns: int) -> Bar:
    """One bar that starts at *start_ns* of the *bars* of a symbol, at least one, by time.

    It carries the timeframe of what it was made of, as a rolled length has no name of its own.
    """
    volumes = [bar.volume for bar in bars]
    volume = math.fsum(volumes)
    notional = math.fsum([bar.vwap * bar.volume for bar in bars])
    first, last = bars[0], bars[-1]
    high, low = max([bar.high for bar in bars]), min([bar.low for bar in bars])
    return Bar(
        symbol=first.symbol,
        timeframe=first.timeframe,
        start_ns=start_ns,
        open=first.open,
        high=high,
        low=low,
        close=last.close,
        volume=volume,
        trades=sum([bar.trades for bar in bars]),
        vwap=first.vwap if len(bars) == 1 else within(notional / volume, low, high),
        rev=sum([bar.rev for bar in bars]),
        final=all(bar.final for bar in bars),
        gap=any(bar.gap for bar in bars),
    )


def windows(bars: Iterable[Bar], resolution: Resolution) -> Iterator[list[Bar]]:
    """*bars*, which come symbol by symbol and by time either way, in lists of one window each.

    Each list ascends in time, whichever way they came.
    """
    for _, some in itertools.groupby(
        bars, key=lambda bar: (bar.symbol, resolution.floor_ns(bar.start_ns))
    ):
        yield sorted(some, key=lambda bar: bar.start_ns)
