"""`tickgate ingest`: the feeds of one process, put together from settings."""

import functools
import time
from collections.abc import Sequence

from core.runtime.config import Loaded
from core.runtime.readiness import Readiness
from ingest.errors import ReplayFileError
from ingest.limits import IngestLimits
from ingest.metrics import IngestMetrics
from ingest.service import IngestService
from ingest.spec import FeedSpec
from tickgate.arguments import Arguments
from tickgate.feeds import feeds_of
from tickgate.role import new_registry, ops_server, run_role, serve
from tickgate.settings import INGEST, Settings
from tickgate.version import version

_MS_NS, _S_NS = 10**6, 10**9


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Read the feeds until stopped, or until all have ended with ``exit_at_end``."""
    specs = feeds_of(loaded, INGEST)
    return run_role(
        functools.partial(_ingest, loaded.values, specs), wrong_settings=ReplayFileError
    )


async def _ingest(settings: Settings, specs: Sequence[FeedSpec]) -> None:
    registry = new_registry()
    readiness = Readiness(time.time_ns, "redis")
    ops = ops_server(settings, readiness, registry)
    service = IngestService(
        specs=specs,
        redis_url=settings.redis_url,
        namespace=settings.namespace,
        shards=settings.shards,
        retention_s=settings.stream_retention_s,
        stream_max_bytes=settings.stream_max_bytes,
        limits=ingest_limits(settings),
        ring_bytes=settings.replay_ring_bytes,
        ring_s=settings.replay_ring_s,
        now_ns=time.time_ns,
        monotonic_ns=time.monotonic_ns,
        readiness=readiness,
        metrics=IngestMetrics(registry),
        ops_url=ops.url,
        version=version(),
        exit_at_end=settings.exit_at_end,
    )
    await serve(settings, ops, service)


def ingest_limits(settings: Settings) -> IngestLimits:
    """The bounds of the role, in the units of the code."""
    return IngestLimits(
        grace_ns=settings.grace_ms * _MS_NS,
        max_future_ns=settings.max_future_ms * _MS_NS,
        max_lateness_ns=settings.max_lateness_s * _S_NS,
        dedup_horizon_ns=settings.dedup_horizon_s * _S_NS,
        gap_settle_ns=settings.gap_settle_ms * _MS_NS,
        gap_fill_s=settings.gap_fill_s,
        block_ticks=settings.block_ticks,
        block_ns=settings.block_ms * _MS_NS,
        silence_s=settings.silence_s,
        reconnect_first_s=settings.reconnect_first_s,
        reconnect_cap_s=settings.reconnect_cap_s,
    )
