"""The median over rounds and how sure it is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median; the true one lies from ``low`` to ``high`` with probability ``coverage``."""

    median: float
    low: float
    high: float
    coverage: float


def median(values: Sequence[float]) -> float:
    """The middle of *values*, or between the two middle ones.

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("the median of nothing")
    ranked, half = sorted(values), len(values) // 2
    if len(ranked) % 2:
        return ranked[half]
    return (ranked[half - 1] + ranked[half]) / 2


def estimate(values: Sequence[float], *, level: float = _LEVEL) -> Estimate:
    """The median with the narrowest exact interval between order statistics.

    From the k-th smallest to the k-th largest of n independent values holds the true median with
    probability 1 - 2 P(B < k), B binomial (n, 1/2), whatever the distribution. Below six values
    no interval reaches 95 %: then it is the whole range, and ``coverage`` says how little that is.

    Source: David and Nagaraja, "Order Statistics", section 7.1.
    """
    ranked, n = sorted(values), len(values)
    outside, k = 2 / 2**n if n else 0.0, 1  # with k = 1
    while 2 * (k + 1) <= n:
        wider = outside + 2 * comb(n, k) / 2**n
        if 1 - wider < level:
            break
        outside, k = wider, k + 1
    return Estimate(median(values), ranked[k - 1], ranked[n - k], 1 - outside)


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """The ratio within each round, over all rounds."""
    return estimate([a / b for a, b in zip(numerators, denominators, strict=True)])
