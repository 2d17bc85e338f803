"""Metrics of the streaming half of the gateway, on the registry that is passed in."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class GatewayMetrics:
    """What the fan-out does; pure modules keep plain numbers, the shells bring them here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clients = Gauge(
            "gateway_clients",
            "WebSocket clients connected now.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.subscribers = Gauge(
            "gateway_subscribers",
            "WebSocket clients with at least one trades or bars subscription now.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.deliveries = Counter(
            "gateway_deliveries",
            "Data messages (trades, bars) handed over for clients, counted once per client.",
            registry=registry,
        )
        self.batches = Counter(
            "gateway_batches",
            "Batches written, counted once per client and window.",
            registry=registry,
        )
        self.conflated = Counter(
            "gateway_conflated",
            "Parts that a slow session of mode latest was never sent, as newer ones replaced them.",
            registry=registry,
        )
        self.closed = Counter(
            "gateway_closed_clients",
            "WebSocket clients that are gone, by reason.",
            ["reason"],  # closed set, see Reason in gateway/connection.py; never a client id
            registry=registry,
        )
        self.refused = Counter(
            "gateway_refused_handshakes",
            "Upgrade requests refused before a session was made, by reason.",
            ["reason"],  # handshake_rate, origin, connection_limit
            registry=registry,
        )
        self.request_errors = Counter(
            "gateway_request_errors",
            "Error messages sent to clients, by published code.",
            ["code"],
            registry=registry,
        )
        self.tick_age_seconds = Histogram(
            "gateway_tick_age_seconds",
            "From the sealing of a window's oldest block at ingest to its last write to a client.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.25, 0.5, 1.0, 5.0),
            registry=registry,
        )
        self.loop_lag_seconds = Histogram(
            "gateway_loop_lag_seconds",
            "How late the event loop woke the gateway's periodic task.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
            registry=registry,
        )
        self.feed_stale = Gauge(
            "gateway_feed_stale",
            "1 while no tick of the feed has come for stale_after_s though it runs.",
            ["feed"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.block_gaps = Counter(
            "gateway_missing_blocks",
            "Blocks of ticks missing from the streams read, by their numbers.",
            registry=registry,
        )
        self.repeated_blocks = Counter(
            "gateway_repeated_blocks",
            "Blocks that were published once more, after a failover, and skipped.",
            registry=registry,
        )
        self.resumes = Counter(
            "gateway_resumes",
            "Requests to resume that are through, by outcome: complete, gap (something was lost), "
            "timeout (a gap, because it took too long), refused, left (the client went).",
            ["outcome"],
            registry=registry,
        )
        self.resuming = Gauge(
            "gateway_resuming",
            "Clients that resume and are not at the live end yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.resume_entries = Counter(
            "gateway_resume_entries",
            "Stream entries read for clients that resume.",
            registry=registry,
        )
        self.unreadable_entries = Counter(
            "gateway_unreadable_entries",
            "Stream entries skipped because they could not be read.",
            registry=registry,
        )
        self.refused_symbols = Gauge(
            "gateway_refused_symbols",
            "Attempts to take in a symbol beyond the limit, since the start.",
            registry=registry,
            multiprocess_mode="livemax",  # all workers read the same streams
        )
