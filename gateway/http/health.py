"""The shapes of ``/v1/status`` and ``/readyz``: what runs, what waits, how far behind. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from core.market.timeframe import SECOND_NS
from core.runtime.readiness import DependencyState
from core.runtime.restarts import Restarts
from gateway.encode import rfc3339
from gateway.silence import FeedState
from storage.roles import FeedStatus, RoleReport

_MS_NS: Final = 1_000_000


class DependencyAnswer(msgspec.Struct, frozen=True):
    """One thing that a role needs; ``since`` is when ``ok`` last changed, ``since_s`` ago."""

    ok: bool
    since: str
    since_s: float
    reason: str


class WaitingAnswer(msgspec.Struct, frozen=True):
    """Another role that waits, and for what: the reason by dependency."""

    role: str
    name: str
    waiting: dict[str, str]


class CrashLoopAnswer(msgspec.Struct, frozen=True):
    """A process of the same parent that crashes again and again; ``reason`` is how it ended."""

    role: str
    crashes: int
    since: str
    since_s: float
    reason: str
    next_start: str


class ReadyAnswer(msgspec.Struct, frozen=True):
    """Is this gateway ready to serve all of its answers?"""

    ready: bool
    draining: bool
    dependencies: dict[str, DependencyAnswer]
    roles_waiting: list[WaitingAnswer]
    crash_loops: list[CrashLoopAnswer]


class FeedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One feed; the counters run since its ingest role started.

    ``stale`` and ``last_tick`` are what this gateway sees of it.
    """

    feed: str
    venue: str
    state: str
    since: str
    detail: str
    newest_event: str | None
    newest_event_ns: int | None
    age_s: float | None
    stale: bool
    last_tick: str | None
    ticks: int
    quarantined: dict[str, int]
    duplicates: int
    history: int
    unreadable: int
    reconnects: int
    symbols: int


class RoleAnswer(msgspec.Struct, frozen=True):
    """One process of the system; ``shards`` are those that an aggregator folds."""

    role: str
    name: str
    pid: int
    version: str
    started: str
    reported: str
    ops_url: str
    clients: int
    subscribers: int
    loop_lag_ms: float
    draining: bool
    shards: list[int]
    waiting: dict[str, str]


class LagAnswer(msgspec.Struct, frozen=True):
    """Blocks that the gateways have delivered and the aggregators have not folded yet."""

    lag_blocks: int
    streams: int


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole system on one page; ``time_ns`` is this server's clock, for offsets."""

    version: str
    time: str
    time_ns: int
    ready: bool
    draining: bool
    heartbeat_s: float
    dependencies: dict[str, DependencyAnswer]
    symbols: int
    clients: int
    subscribers: int
    feeds: list[FeedAnswer]
    roles: list[RoleAnswer]
    roles_unknown: str | None
    aggregator: LagAnswer | None


def dependencies(states: Mapping[str, DependencyState], now_ns: int) -> dict[str, DependencyAnswer]:
    """What a role needs, by name."""
    return {
        name: DependencyAnswer(
            state.ok, rfc3339(state.since_ns), _ago_s(state.since_ns, now_ns), state.reason
        )
        for name, state in states.items()
    }


def crash_loops(restarts: Iterable[Restarts], now_ns: int) -> list[CrashLoopAnswer]:
    """The processes that crash again and again."""
    return [
        CrashLoopAnswer(
            one.role,
            one.in_a_row,
            rfc3339(one.since_ns),
            _ago_s(one.since_ns, now_ns),
            one.exit,
            rfc3339(one.next_ns),
        )
        for one in restarts
        if one.crash_loop
    ]


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
        loop_lag_ms=report.loop_lag_ms,
        draining=report.draining,
        shards=report.shards,
        waiting=report.waiting,
    )


def feed_answers(
    reports: Iterable[RoleReport], states: Iterable[FeedState], now_ns: int
) -> list[FeedAnswer]:
    """The feeds that ingest roles report, then those that only this gateway heard of."""
    seen = {state.feed: state for state in states}
    reported = [feed for report in reports for feed in report.feeds]
    answers = [_feed_answer(feed, seen.pop(feed.feed, None), now_ns) for feed in reported]
    return answers + [_feed_answer(_unreported(state), state, now_ns) for state in seen.values()]


def _unreported(state: FeedState) -> FeedStatus:
    """A feed whose ingest role is gone, or that cannot be asked for."""
    since_ms = state.quiet_since_ns // _MS_NS
    if state.ended:
        return FeedStatus(feed=state.feed, venue=state.venue, state="ended", since_ms=since_ms)
    return FeedStatus(
        feed=state.feed,
        venue=state.venue,
        state="unknown",
        since_ms=since_ms,
        detail="no ingest role reports it",
    )


def _feed_answer(feed: FeedStatus, seen: FeedState | None, now_ns: int) -> FeedAnswer:
    newest_ns = max(feed.newest_event_ns, (seen and seen.newest_event_ns) or 0) or None
    last_tick_ns = seen.last_tick_ns if seen else None
    return FeedAnswer(
        feed=feed.feed,
        venue=feed.venue,
        state=feed.state,
        since=rfc3339(feed.since_ms * _MS_NS),
        detail=feed.detail,
        newest_event=newest_ns and rfc3339(newest_ns),
        newest_event_ns=newest_ns,
        age_s=newest_ns and round((now_ns - newest_ns) / SECOND_NS, 3),
        stale=seen is not None and seen.stale,
        last_tick=None if last_tick_ns is None else rfc3339(last_tick_ns),
        ticks=feed.ticks,
        quarantined=feed.quarantined,
        duplicates=feed.duplicates,
        history=feed.history,
        unreadable=feed.unreadable,
        reconnects=feed.reconnects,
        symbols=feed.symbols,
    )


def aggregator_lag(reports: Sequence[RoleReport]) -> LagAnswer | None:
    """How far the aggregators are behind the gateways; None without one that reports.

    Of several that tell of a stream the latest report counts: earlier owners' are still there.
    """
    folded: dict[str, int] = {}
    delivered: dict[str, int] = {}
    for report in sorted(reports, key=lambda report: report.reported_ms):
        if report.role == "aggregator":
            folded |= report.consumed
            continue
        for stream, number in report.consumed.items():
            delivered[stream] = max(number, delivered.get(stream, 0))
    if not any(report.role == "aggregator" for report in reports):
        return None
    behind = [max(number - folded.get(key, 0), 0) for key, number in delivered.items()]
    return LagAnswer(sum(behind), len(folded))


def _ago_s(since_ns: int, now_ns: int) -> float:
    return round(max(0, now_ns - since_ns) / SECOND_NS, 1)
