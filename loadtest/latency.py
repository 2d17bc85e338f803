"""Latencies of a run, in the way that a stalled server cannot hide from. Pure."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

_MS_NS: Final = 1_000_000


class LatencySummary(msgspec.Struct, frozen=True):
    """The usual points of a sample of ``count`` latencies, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


def percentile_ns(samples_ns: Sequence[int], q: float) -> int:
    """Nearest-rank percentile of a latency sample.

    Args:
        samples_ns: shape ``(n,)``, n >= 1, any order; nanoseconds, measured from the trade's own
            time and not from a read that was late, so a stalled server is not flattered
            (coordinated omission).
        q: the fraction of samples at or below the result, in ``(0, 1]``; ``0.99`` for p99.

    Returns:
        One of the samples (never interpolated), in nanoseconds.

    Raises:
        ValueError: *samples_ns* is empty or *q* is outside ``(0, 1]``.

    Source:
        Hyndman & Fan (1996), "Sample Quantiles in Statistical Packages", definition 1.
    """
    if not samples_ns or not 0 < q <= 1:
        raise ValueError(f"need n >= 1 samples and 0 < q <= 1, was n={len(samples_ns)}, q={q}")
    return sorted(samples_ns)[math.ceil(q * len(samples_ns)) - 1]


def summarize(samples_ns: Sequence[int]) -> LatencySummary:
    """The summary of at least one latency in nanoseconds.

    Raises:
        ValueError: *samples_ns* is empty.
    """
    ordered = sorted(samples_ns)
    p50, p99, p999, top = (percentile_ns(ordered, q) / _MS_NS for q in (0.5, 0.99, 0.999, 1.0))
    return LatencySummary(len(ordered), p50, p99, p999, top)
