"""Metrics of the ingest role: read from the feeds' journals when somebody asks."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from ingest.feed import FeedJournal


class IngestMetrics(Collector):
    """Counts what each feed's journal counts; costs nothing per tick."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._journals: list[FeedJournal] = []
        registry.register(self)

    def watch(self, journal: FeedJournal) -> None:
        """Report *journal* too."""
        self._journals.append(journal)

    def collect(self) -> Iterable[Metric]:
        """One family per number, labelled by feed."""
        yield from self._counters()
        up = GaugeMetricFamily(
            "ingest_feed_up", "1 while the feed delivers or has ended", labels=["feed"]
        )
        newest = GaugeMetricFamily(
            "ingest_newest_event_timestamp_seconds",
            "Newest event time admitted from the feed, UNIX seconds",
            labels=["feed"],
        )
        for journal in self._journals:
            up.add_metric([journal.feed], float(journal.state in ("live", "ended")))
            newest.add_metric([journal.feed], journal.newest_event_ns / 1e9)
        standby = GaugeMetricFamily(
            "ingest_feed_standby", "1 while another process publishes the feed", labels=["feed"]
        )
        for journal in self._journals:
            standby.add_metric([journal.feed], float(journal.standing_by))
        yield standby
        yield up
        yield newest

    def _counters(self) -> Iterable[Metric]:
        simple = {
            "ticks": "Ticks admitted and put into blocks",
            "duplicates": "Ticks dropped because their trade id was seen before",
            "history": "Trades that a venue sent as history at subscription, kept out",
            "reconnects": "Venue connections made again",
            "parse_errors": "Frames, trades or answers that a venue's protocol does not allow",
            "blocks": "Blocks stored, empty ones included",
            "leases_lost": "Times that another process took the feed over from this one",
            "unpublished": "Blocks dropped because another process had taken the feed over",
            "replayed": "Blocks that Redis lost in a failover and that were stored once more",
            "lost": "Blocks that Redis lost in a failover and that were not kept any more",
            "given_up": "Bytes of the oldest blocks that went because the memory of Redis was full",
        }
        for name, text in simple.items():
            family = CounterMetricFamily(f"ingest_{name}", text, labels=["feed"])
            for journal in self._journals:
                family.add_metric([journal.feed], getattr(journal, name))
            yield family
        quarantined = CounterMetricFamily(
            "ingest_quarantined", "Ticks kept out, by reason", labels=["feed", "reason"]
        )
        for journal in self._journals:
            for reason, count in journal.quarantined.items():
                quarantined.add_metric([journal.feed, reason], count)
        yield quarantined
