"""`tickgate aggregate`: the aggregator and the janitor of its bars, put together from settings."""

import functools
import time
from typing import Final

from aggregator.metrics import AggregatorMetrics
from aggregator.service import AggregatorService
from aggregator.shards import keep_ids_ns
from core.market.timeframe import DAY_NS, Timeframe
from core.runtime.config import Loaded
from core.runtime.disk import Janitor
from core.runtime.readiness import Readiness
from ingest.errors import ReplayFileError
from storage.bars import BarStore
from storage.chores import Chores
from storage.errors import DatabaseUnavailable, SchemaError
from storage.keys import StreamKeys
from tickgate.arguments import Arguments
from tickgate.feeds import names_with_end
from tickgate.output import complain
from tickgate.role import new_registry, ops_server, report, run_role, serve
from tickgate.schema_gate import GatedDatabase
from tickgate.settings import AGGREGATE, Settings

_DAY_S: Final = 86_400.0
_PRUNE_S: Final = 50.0  # a little less than the janitor's minute, so that no turn is missed


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Fold until stopped, or with ``exit_at_end`` until the bars of all feeds are stored."""
    try:
        exit_after = names_with_end(loaded, AGGREGATE)
    except ReplayFileError as exc:  # as the ingest role ends: another start would find the same
        complain(f"tickgate {AGGREGATE}: {exc}")
        return 2
    return run_role(functools.partial(_aggregate, loaded.values, exit_after))


async def _aggregate(settings: Settings, exit_after: frozenset[str]) -> None:
    registry = new_registry()
    readiness = Readiness(time.time_ns, "redis", "database")
    ops = ops_server(settings, readiness, registry)
    database = GatedDatabase(settings)
    store = BarStore(database)
    service = AggregatorService(
        redis_url=settings.redis_url,
        store=store,
        keys=StreamKeys(settings.namespace, settings.shards),
        keep_ids_ns=keep_ids_ns(
            dedup_horizon_s=settings.dedup_horizon_s, max_future_s=settings.max_future_ms / 1000
        ),
        readiness=readiness,
        metrics=AggregatorMetrics(registry),
        now_ns=time.time_ns,
        monotonic_ns=time.monotonic_ns,
        report=report("aggregator", ops.url),
        exit_after=exit_after,
    )
    janitor = Janitor(
        functools.partial(_prune, store, Chores(database), settings),
        away=(DatabaseUnavailable, SchemaError),
    )
    await database.open()
    try:
        await serve(settings, ops, janitor, service)
    finally:
        await database.close()


async def _prune(store: BarStore, chores: Chores, settings: Settings) -> int:
    """Asked each minute; of all aggregators of the database one does what is due."""
    removed = 0
    if settings.minute_bars_days:
        async with chores.claim("drop old bars", every_s=_DAY_S) as mine:
            if mine:
                keep_ns = settings.minute_bars_days * DAY_NS
                removed += await store.drop_older(Timeframe.MIN_1, keep_ns)
    if settings.bars_max_bytes:
        async with chores.claim("prune bars", every_s=_PRUNE_S) as mine:
            if mine:
                removed += await store.prune(max_bytes=settings.bars_max_bytes)
    return removed
