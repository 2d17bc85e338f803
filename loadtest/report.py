"""What a load test found, as a person reads it. Pure."""

import msgspec

from loadtest.latency import LatencySummary


class TicksReport(msgspec.Struct, frozen=True, kw_only=True):
    """The subscribers' side of a run. ``latency`` is None when no tick came."""

    subscribers: int
    ticks: int
    missing: int
    repeated: int
    findings: list[str]
    latency: LatencySummary | None

    @property
    def flawless(self) -> bool:
        """Did ticks come, without a hole, once and in order?"""
        return self.ticks > 0 and not self.missing and not self.repeated


class RequestReport(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request as locust counted it; times in milliseconds."""

    name: str
    requests: int
    failures: int
    median_ms: float
    p99_ms: float
    per_second: float


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    seconds: float
    ticks: TicksReport
    requests: list[RequestReport]
    errors: list[str]

    @property
    def passed(self) -> bool:
        """Nothing lost and nothing failed?"""
        return self.ticks.flawless and not self.errors


def to_text(report: LoadReport) -> str:
    """Lines for a terminal."""
    ticks = report.ticks
    lines = [
        f"{report.seconds:g} s, {ticks.subscribers} subscribers: {ticks.ticks} ticks, "
        f"{ticks.missing} missing, {ticks.repeated} repeated"
    ]
    if ticks.latency:
        at = ticks.latency
        lines.append(
            f"latency, trade to client: p50 {at.p50_ms:.1f} ms, p99 {at.p99_ms:.1f} ms, "
            f"p99.9 {at.p999_ms:.1f} ms, max {at.max_ms:.1f} ms"
        )
    lines += [
        f"{request.name}: {request.requests} requests ({request.per_second:.1f}/s), "
        f"{request.failures} failed, median {request.median_ms:.0f} ms, p99 {request.p99_ms:.0f} ms"
        for request in report.requests
    ]
    lines += [f"finding: {finding}" for finding in ticks.findings]
    lines += [f"error: {error}" for error in report.errors]
    lines.append("passed" if report.passed else "FAILED")
    return "\n".join(lines)
