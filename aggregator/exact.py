"""Exact sums of floats: the result is the float nearest to the true sum, whatever the order.

Source: J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic" (1997), for expansions;
T. J. Dekker, "A floating-point technique for extending the available precision" (1971), for the
error of a product. `math.fsum` does the summing.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SPLITTER: Final = 134_217_729.0  # 2**27 + 1 halves a 53-bit significand


def expand(values: Iterable[float]) -> list[float]:
    """Few floats, largest first, whose exact sum is the exact sum of *values* (all finite)."""
    rest = list(values)
    parts: list[float] = []
    while head := math.fsum(rest):
        parts.append(head)
        rest.append(-head)
    return parts


def products(prices: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Floats whose exact sum is the exact Σ price·size; two for each pair, shapes ``(n,)``.

    Exact while every product lies between 1e-290 and 1e290, far beyond any market; outside of
    that the rounded product stands alone.
    """
    price, size = np.array(prices), np.array(sizes)
    with np.errstate(over="ignore", invalid="ignore"):
        high = price * size
        price_high, price_low = _split(price)
        size_high, size_low = _split(size)
        low = price_high * size_high - high
        low += price_high * size_low
        low += price_low * size_high
        low += price_low * size_low
    low[~np.isfinite(low)] = 0.0
    return [*high.tolist(), *low.tolist()]


def _split(x: Floats) -> tuple[Floats, Floats]:
    scaled = _SPLITTER * x
    high = scaled - (scaled - x)
    return high, x - high
