"""RoleBoard: what each running role says of itself, for the other roles and for people."""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from core.runtime.ports import Clock
from storage.keys import StreamKeys
from storage.redis import Redis, command

FRESH_MS: Final = 5_000  # roles report each second; older than this counts as gone
_FORGET_MS: Final = 3_600_000  # reports of ended processes are deleted after an hour
_MS_NS: Final = 1_000_000

FeedState = Literal["connecting", "live", "waiting", "ended", "failed", "unknown"]
"""``unknown``: nobody reports it; ingest itself never says so."""
RoleName = Literal["ingest", "aggregator", "gateway"]


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One feed as its ingest role sees it; the counters run since the role started."""

    feed: str
    venue: str
    state: FeedState
    since_ms: int
    detail: str = ""
    newest_event_ns: int = 0
    ticks: int = 0
    quarantined: dict[str, int] = {}  # by reason
    duplicates: int = 0
    history: int = 0
    unreadable: int = 0  # frames, rows or answers that the venue's protocol does not allow
    reconnects: int = 0
    symbols: int = 0


class RoleReport(msgspec.Struct, frozen=True, kw_only=True):
    """One process; ``consumed`` is, by stream key, the block number folded or delivered."""

    role: RoleName
    name: str  # host:pid
    pid: int
    reported_ms: int
    started_ms: int
    ops_url: str = ""
    version: str = ""
    consumed: dict[str, int] = {}
    shards: list[int] = []  # aggregator: those that it folds
    clients: int = 0
    subscribers: int = 0
    feeds: list[FeedStatus] = []
    waiting: dict[str, str] = {}  # dependency → reason
    loop_lag_ms: float = 0.0  # gateway: the latest that its event loop woke since the last report
    draining: bool = False  # gateway: it lets its clients go
    open_asked: int = 0  # gateway: grows when it reads running bars, and knows none that are open


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(RoleReport)


class RoleBoard:
    """The reports of all roles, in a hash; each process writes only its own field."""

    def __init__(self, redis: Redis, keys: StreamKeys, *, now_ns: Clock) -> None:
        """*redis* stays the caller's, who closes it."""
        self._redis, self._keys, self._now_ns = redis, keys, now_ns

    async def publish(self, report: RoleReport) -> None:
        """Put up *report* in place of the process's last one.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        field = f"{report.role}/{report.name}"
        await command(self._redis, "HSET", self._keys.roles, field, _ENCODER.encode(report))

    async def withdraw(self, role: RoleName, name: str) -> None:
        """Take down the report of a process that ends in order.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        await command(self._redis, "HDEL", self._keys.roles, f"{role}/{name}")

    async def read(self, *, max_age_ms: int | None = FRESH_MS) -> list[RoleReport]:
        """The reports that are no older than *max_age_ms* (None: all), by role and name.

        A report from a clock that is ahead counts as fresh. One that this program version
        cannot read is left out.

        Raises:
            StreamUnavailable: Redis is away or refuses.
        """
        reply: list[bytes] = await command(self._redis, "HGETALL", self._keys.roles)
        now_ms = self._now_ns() // _MS_NS
        found = [
            (field, report)
            for field, value in zip(reply[::2], reply[1::2], strict=True)
            if (report := _decode(value)) is not None
        ]
        for field, report in found:
            if now_ms - report.reported_ms > _FORGET_MS and not _is_needed(report, found):
                await command(self._redis, "HDEL", self._keys.roles, field)
        reports = [
            report
            for _, report in found
            if max_age_ms is None or now_ms - report.reported_ms <= max_age_ms
        ]
        return sorted(reports, key=lambda report: (report.role, report.name))


def _is_needed(report: RoleReport, others: Iterable[tuple[bytes, RoleReport]]) -> bool:
    """An aggregator's position is worth something until others tell of the same streams."""
    told: set[str] = set()
    for _, other in others:
        if other.role == "aggregator" and other.reported_ms > report.reported_ms:
            told |= other.consumed.keys()
    return report.role == "aggregator" and (not told or not report.consumed.keys() <= told)


def _decode(value: bytes) -> RoleReport | None:
    try:
        return _DECODER.decode(value)
    except msgspec.DecodeError:
        return None
