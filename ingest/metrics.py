"""Metrics of the ingest role: read from the feeds' journals when somebody asks."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from core.runtime.breaker import BreakerState
from ingest.feed import FeedJournal
from ingest.gap_keeper import VenueGates
from ingest.venue_gate import VenueGate

_BREAKER: Final = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 1.0, BreakerState.OPEN: 2.0}


class IngestMetrics(Collector):
    """Counts what each feed's journal counts; costs nothing per tick."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._journals: list[FeedJournal] = []
        self._gates: VenueGates | None = None
        registry.register(self)

    def watch(self, journal: FeedJournal) -> None:
        """Report *journal* too."""
        self._journals.append(journal)

    def watch_gates(self, gates: VenueGates) -> None:
        """Report the circuit breakers of *gates*, too."""
        self._gates = gates

    def collect(self) -> Iterable[Metric]:
        """One family per number, labelled by feed."""
        yield from self._counters()
        yield from self._histories()
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

    def _histories(self) -> Iterable[Metric]:
        """One line per venue; of several addresses of a venue, what is worst or their sum."""
        requests = CounterMetricFamily(
            "ingest_history_requests",
            "Questions to a venue's trade history, by what came of them: answered, failed, refused",
            labels=["venue", "outcome"],
        )
        breaker = GaugeMetricFamily(
            "ingest_history_breaker",
            "Circuit breaker of a venue's trade history: 0 closed, 1 half-open, 2 open",
            labels=["venue"],
        )
        gates: dict[str, list[VenueGate]] = {}
        for gate in self._gates.gates.values() if self._gates else ():
            gates.setdefault(gate.venue, []).append(gate)
        for venue, some in gates.items():
            breaker.add_metric([venue], max(_BREAKER[gate.state] for gate in some))
            for outcome in ("answered", "failed", "refused"):
                requests.add_metric([venue, outcome], sum(getattr(g, outcome) for g in some))
        yield requests
        yield breaker

    def _counters(self) -> Iterable[Metric]:
        simple = {
            "ticks": "Ticks admitted and put into blocks",
            "duplicates": "Ticks dropped because their trade id was seen before",
            "history": "Trades that a venue sent as history at subscription, kept out",
            "notices": "Corrections, cancels and gaps put on the stream",
            "reconnects": "Venue connections made again",
            "parse_errors": "Frames, trades or answers that a venue's protocol does not allow",
            "blocks": "Blocks stored, empty ones included",
            "leases_lost": "Times that another process took the feed over from this one",
            "unpublished": "Blocks dropped because another process had taken the feed over",
            "replayed": "Blocks that Redis lost in a failover and that were stored once more",
            "lost": "Blocks that Redis lost in a failover and that were not kept any more",
            "given_up": "Bytes of the oldest blocks that went because the memory of Redis was full",
            "gaps_opened": "Gaps in a symbol's trade ids that were noticed",
            "gaps_filled": "Gaps filled from the venue's trade history, or by late trades",
            "gaps_lost": "Gaps of which not all trades could be filled",
            "gap_trades": "Trades that were missing when their gaps were noticed",
            "filled_trades": "Trades that came after all, most from the venue's trade history",
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
