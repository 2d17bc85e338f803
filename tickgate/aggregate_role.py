"""`tickgate aggregate`: the aggregator and the janitor of its bars, put together from settings."""

import functools
import time

from aggregator.metrics import AggregatorMetrics
from aggregator.rebuilder import Rebuilder
from aggregator.service import AggregatorService
from aggregator.shards import keep_ids_ns
from core.market.timeframe import DAY_NS
from core.runtime.config import Loaded
from core.runtime.disk import Janitor
from core.runtime.heap import tune_for_bursts
from core.runtime.readiness import Readiness
from ingest.errors import ReplayFileError
from storage.bars import BarStore
from storage.chores import Chores, in_turn
from storage.database import Database
from storage.errors import DatabaseUnavailable, SchemaError
from storage.flush_thread import ThreadedStore
from storage.keys import StreamKeys
from storage.lease import process_owner
from storage.log_retention import LogRetention, tend_log
from storage.shard_leases import STATEMENT_S, ShardLeases, session_name
from storage.solo import SoloDatabase
from storage.upkeep import tend_bars
from tickgate.arguments import Arguments
from tickgate.feeds import names_with_end
from tickgate.output import complain
from tickgate.role import new_registry, ops_server, report, run_role, serve
from tickgate.schema_gate import GatedDatabase
from tickgate.settings import AGGREGATE, Settings


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
    owner = process_owner()
    database = GatedDatabase(settings, session=session_name(owner))
    leases = ShardLeases(
        SoloDatabase(settings.database_url, timeout_s=STATEMENT_S),
        owner=owner,
        shards=settings.shards,
    )
    store = ThreadedStore(
        database, lambda: GatedDatabase(settings, session=session_name(owner), size=1)
    )
    tick_log = store.tick_log(shards=settings.shards) if settings.tick_log_days else None
    rebuilder = Rebuilder(
        requests=store.rebuilds(shards=settings.shards),
        log=store.tick_log(shards=settings.shards),
        store=store,
    )
    service = AggregatorService(
        redis_url=settings.redis_url,
        store=store,
        leases=leases,
        keys=StreamKeys(settings.namespace, settings.shards),
        keep_ids_ns=keep_ids_ns(
            dedup_horizon_s=settings.dedup_horizon_s, max_future_s=settings.max_future_ms / 1000
        ),
        tick_log=tick_log,
        rebuilder=rebuilder,
        amend_reach_ns=int(settings.max_lateness_s * 1e9),
        readiness=readiness,
        metrics=AggregatorMetrics(registry),
        now_ns=time.time_ns,
        monotonic_ns=time.monotonic_ns,
        report=report("aggregator", ops.url),
        exit_after=exit_after,
    )
    ops.facts = lambda: {"shards": [state.shard for state in service.shards]}
    janitor = Janitor(
        functools.partial(_tend, settings, store, database),
        away=(DatabaseUnavailable, SchemaError),
    )
    await database.open()
    await store.open()
    try:
        tune_for_bursts()
        await serve(settings, ops, janitor, service)
    finally:
        await store.close()
        await database.close()


async def _tend(settings: Settings, store: BarStore, database: Database) -> int:
    """Delete what is too old or too much; returns how many bars went."""
    chores = Chores(database)
    return await in_turn(
        lambda: tend_log(
            LogRetention(database),
            chores,
            keep_ns=settings.tick_log_days * DAY_NS,
            max_bytes=settings.tick_log_max_bytes,
        ),
        lambda: tend_bars(
            store,
            chores,
            keep_minutes_ns=settings.minute_bars_days * DAY_NS,
            max_bytes=settings.bars_max_bytes,
        ),
    )
