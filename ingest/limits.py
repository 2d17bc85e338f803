"""The bounds of the ingest role, with their defaults. Pure."""

from dataclasses import dataclass

from ingest.admission import AdmissionLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestLimits:
    """Settings of the role as plain values; the names say the unit."""

    grace_ns: int = 2 * 10**9
    max_future_ns: int = 5 * 10**9
    max_lateness_ns: int = 24 * 3_600 * 10**9
    dedup_horizon_ns: int = 3_600 * 10**9
    block_ticks: int = 1_000
    block_ns: int = 5_000_000
    idle_block_ns: int = 10**9
    hand_over_ticks: int = 50_000
    """Ticks between a feed and its writer; when they are reached the feed waits."""
    in_flight_ticks: int = 8_000
    """Ticks that a replay at full speed may be ahead of its slowest reader."""
    connect_timeout_s: float = 10.0
    silence_s: float = 30.0
    """A venue connection without any frame for so long is given up."""
    reconnect_first_s: float = 1.0
    reconnect_cap_s: float = 60.0
    max_frame_bytes: int = 4 * 1024 * 1024
    gap_settle_ns: int = 10**9
    """A trade that others overtook is waited for so long, then it is missing."""
    gap_fill_s: float = 600.0
    """A gap that the venue's history did not fill within this time is lost."""
    gap_max_trades: int = 1_000_000
    """A gap of more trades is not filled: most likely the venue counts anew."""
    history_retry_first_s: float = 0.2
    history_retry_cap_s: float = 5.0
    history_probe_s: float = 10.0
    """The open circuit breaker of a venue's history lets a probe through so often."""
    poll_connect_s: float = 1.0
    poll_read_s: float = 2.0
    poll_total_s: float = 3.0

    @property
    def admission(self) -> AdmissionLimits:
        return AdmissionLimits(
            max_future_ns=self.max_future_ns,
            max_lateness_ns=self.max_lateness_ns,
            dedup_horizon_ns=self.dedup_horizon_ns,
        )
