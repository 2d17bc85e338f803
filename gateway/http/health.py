"""The shapes of ``/v1/status`` and ``/readyz``: what runs, what waits, how far behind. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from core.runtime.readiness import DependencyState
from gateway.encode import rfc3339
from storage.roles import FeedStatus, RoleReport

_MS_NS: Final = 1_000_000


class DependencyAnswer(msgspec.Struct, frozen=True):
    """One thing that a role needs; ``since`` is when ``ok`` last changed."""

    ok: bool
    since: str
    reason: str


class WaitingAnswer(msgspec.Struct, frozen=True):
    """Another role that waits, and for what: the reason by dependency."""

    role: str
    name: str
    waiting: dict[str, str]


class ReadyAnswer(msgspec.Struct, frozen=True):
    """Is this gateway ready to serve all of its answers?"""

    ready: bool
    dependencies: dict[str, DependencyAnswer]
    roles_waiting: list[WaitingAnswer]


class FeedAnswer(msgspec.Struct, frozen=True):
    """One feed; the counters run since its ingest role started."""

    feed: str
    venue: str
    state: str
    since: str
    detail: str
    newest_event: str | None
    newest_event_ns: int | None
    ticks: int
    quarantined: dict[str, int]
    duplicates: int
    history: int
    unreadable: int
    reconnects: int
    symbols: int


class RoleAnswer(msgspec.Struct, frozen=True):
    """One process of the system."""

    role: str
    name: str
    pid: int
    version: str
    started: str
    reported: str
    ops_url: str
    clients: int
    subscribers: int
    waiting: dict[str, str]


class LagAnswer(msgspec.Struct, frozen=True):
    """Blocks that the gateways have delivered and the aggregator has not folded yet."""

    lag_blocks: int
    streams: int


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole system on one page; ``time_ns`` is this server's clock, for offsets."""

    version: str
    time: str
    time_ns: int
    ready: bool
    dependencies: dict[str, DependencyAnswer]
    symbols: int
    clients: int
    subscribers: int
    feeds: list[FeedAnswer]
    roles: list[RoleAnswer]
    roles_unknown: str | None
    aggregator: LagAnswer | None


def dependencies(states: Mapping[str, DependencyState]) -> dict[str, DependencyAnswer]:
    """What a role needs, by name."""
    return {
        name: DependencyAnswer(state.ok, rfc3339(state.since_ns), state.reason)
        for name, state in states.items()
    }


def waiting(reports: Iterable[RoleReport]) -> list[WaitingAnswer]:
    """The roles that wait for something."""
    return [WaitingAnswer(r.role, r.name, r.waiting) for r in reports if r.waiting]


def role_answer(report: RoleReport) -> RoleAnswer:
    """A process as callers see it."""
    return RoleAnswer(
        role=report.role,
        name=report.name,
        pid=report.pid,
        version=report.version,
        started=rfc3339(report.started_ms * _MS_NS),
        reported=rfc3339(report.reported_ms * _MS_NS),
        ops_url=report.ops_url,
        clients=report.clients,
        subscribers=report.subscribers,
        waiting=report.waiting,
    )


def feed_answer(feed: FeedStatus) -> FeedAnswer:
    """A feed as callers see it."""
    newest_ns = feed.newest_event_ns or None
    return FeedAnswer(
        feed=feed.feed,
        venue=feed.venue,
        state=feed.state,
        since=rfc3339(feed.since_ms * _MS_NS),
        detail=feed.detail,
        newest_event=newest_ns and rfc3339(newest_ns),
        newest_event_ns=newest_ns,
        ticks=feed.ticks,
        quarantined=feed.quarantined,
        duplicates=feed.duplicates,
        history=feed.history,
        unreadable=feed.unreadable,
        reconnects=feed.reconnects,
        symbols=feed.symbols,
    )


def aggregator_lag(reports: Sequence[RoleReport]) -> LagAnswer | None:
    """How far the aggregator is behind the gateways; None without one that reports."""
    folded: dict[str, int] = {}
    delivered: dict[str, int] = {}
    for report in reports:
        seen = folded if report.role == "aggregator" else delivered
        for stream, number in report.consumed.items():
            seen[stream] = max(number, seen.get(stream, 0))
    if not any(report.role == "aggregator" for report in reports):
        return None
    behind = [max(number - folded.get(key, 0), 0) for key, number in delivered.items()]
    return LagAnswer(sum(behind), len(folded))
