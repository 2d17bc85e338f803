"""Exact sums of floats: the result is the float nearest to the true sum, whatever the order.

Source: J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic" (1997), for expansions;
T. J. Dekker, "A floating-point technique for extending the available precision" (1971), for the
error of a product. `math.fsum` does the summing.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SPLITTER: Final = 134_217_729.0  # 2**27 + 1 halves a 53-bit significand


def expand(values: Iterable[float]) -> list[float]:
    """Few floats, largest first, whose exact sum is the exact sum of *values*.

    A sum beyond all floats is taken for the largest one: admission keeps out what makes such a
    sum, but what is in a stream from before it did must not end the program at each start.
    """
    rest = list(values)
    parts: list[float] = []
    try:
        while head := math.fsum(rest):
            parts.append(head)
            rest.append(-head)
    except (OverflowError, ValueError):  # beyond all floats, or infinite already
        return [sys.float_info.max]
    return parts


def products(prices: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Floats whose exact sum is the exact Σ price·size; two for each pair, shapes ``(n,)``.

    Exact while every product lies between 1e-290 and 1e290, far beyond any market; outside of
    that the rounded product stands alone.
    """
    high, low = product_terms(np.array(prices), np.array(sizes))
    return [*high.tolist(), *low.tolist()]


def product_terms(price: Floats, size: Floats) -> tuple[Floats, Floats]:
    """The rounded products, and what each lacks; as exact as :func:`products`."""
    with np.errstate(over="ignore", invalid="ignore"):
        high = price * size
        price_high, price_low = _split(price)
        size_high, size_low = _split(size)
        low = price_high * size_high - high
        low += price_high * size_low
        low += price_low * size_high
        low += price_low * size_low
    low[~np.isfinite(low)] = 0.0
    return high, low


def segment_sums(terms: Iterable[Floats], starts: npt.NDArray[np.intp]) -> list[tuple[float, ...]]:
    """For each segment few floats whose exact sum is the exact sum of its values in all *terms*.

    Each of *terms* has shape ``(n,)``; segments begin at *starts*. Values are below 1e290 and n
    below 2**26. In turns the leading bits of all values, cut off at the same place, are added
    without an error, until nothing is left: two or three turns for decimal prices and sizes.
    Source: S. M. Rump, T. Ogita, S. Oishi, "Accurate Floating-Point Summation" (2008), part I,
    algorithm ExtractVector.
    """
    parts: list[Floats] = []
    for values in terms:
        rest = values.copy()
        guard = (len(rest) + 1).bit_length()
        while largest := float(np.maximum.reduce(np.abs(rest))):
            border = math.ldexp(1.0, math.frexp(largest)[1] + guard)
            leading = (border + rest) - border
            parts.append(np.add.reduceat(leading, starts))
            rest -= leading
    return list(zip(*[part.tolist() for part in parts], strict=True))


def _split(x: Floats) -> tuple[Floats, Floats]:
    scaled = _SPLITTER * x
    high = scaled - (scaled - x)
    return high, x - high
