"""Metrics of the aggregator role, built on the registry passed in."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class AggregatorMetrics:
    """What the aggregator counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"aggregator_{name}", text, labels, registry=registry)

        self.ticks = counter("ticks_total", "Ticks folded into bars.")
        self.duplicates = counter("duplicates_total", "Ticks whose id was known already.")
        self.late = counter("late_ticks_total", "Ticks that revised a closed bar.")
        self.unverifiable = counter(
            "unverifiable_total", "Late ticks that neither memory nor the tick log could tell."
        )
        self.looked_up = counter(
            "looked_up_total", "Late ticks whose ids were looked up in the tick log."
        )
        self.amendments = counter(
            "amendments_total",
            "Corrections and cancels of venues, by what became of them.",
            "outcome",
        )
        self.bars = counter("bars_total", "Bars closed, by timeframe.", "timeframe")
        self.revisions = counter("revisions_total", "Bars revised, by timeframe.", "timeframe")
        self.lost_blocks = counter(
            "lost_blocks_total", "Blocks that were gone from the stream before they were read."
        )
        self.repeated_blocks = counter(
            "repeated_blocks_total",
            "Blocks that were published once more, after a failover, and skipped.",
        )
        self.bad_blocks = counter("bad_blocks_total", "Stream entries that are no blocks.")
        self.stale_flushes = counter(
            "stale_flushes_total",
            "Flushes of a shard that were refused, as another aggregator owned it by then.",
        )
        self.owned_shards = Gauge(
            "aggregator_owned_shards",
            "Shards that this aggregator folds; over all aggregators the setting shards.",
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "aggregator_lag_seconds",
            "From the sealing of a block to its folding, newest block.",
            registry=registry,
        )
        self.handover_depth = Gauge(
            "aggregator_handover_depth",
            "Flushes that wait for the database; at the bound folding waits.",
            registry=registry,
        )
        self.flush_seconds = Histogram(
            "aggregator_flush_seconds",
            "From the hand-over of a flush to the publication of its bars.",
            buckets=_SECONDS,
            registry=registry,
        )
