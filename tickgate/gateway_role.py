"""`tickgate gateway`: the HTTP API, the page and the stream on one port, put together."""

import functools
import gc
import logging
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
from aiohttp import web

from core.runtime import logs
from core.runtime.config import Loaded
from core.runtime.hangup import Hangup
from core.runtime.heap import tune_for_bursts
from core.runtime.listen import available_port
from core.runtime.readiness import Readiness
from gateway import tally_memory
from gateway.changes import Changes
from gateway.connection import Limits
from gateway.drain import Pace
from gateway.http.app import build_app
from gateway.http.caching import REDIS_TIMEOUT_S, Caching
from gateway.market import MarketState
from gateway.metrics import GatewayMetrics
from gateway.reporter import Identity
from gateway.service import GatewayService, GatewaySettings
from gateway.silence import Silence
from gateway.tally import Layout, Tally
from gateway.tls import Certificate
from storage.bars import BarStore
from storage.keys import StreamKeys
from storage.redis import connect
from storage.registry import FeedRegistry
from storage.roles import RoleBoard
from storage.stream_ranges import StreamRanges
from storage.stream_reader import StreamReader
from tickgate.banner import gateway_url
from tickgate.gateway_access import Gate, certificate_of, open_gate, read_anew
from tickgate.restarts import restarts
from tickgate.role import report, run_role, serve
from tickgate.schema_gate import GatedDatabase
from tickgate.settings import Settings
from tickgate.worker_metrics import Registries, registries
from tickgate.workers import Place

log = logging.getLogger(__name__)

_BACKLOG_S = 5.0  # for megabytes of what a client missed
_BLOCKS_PER_READ = 32  # per stream: a reader that fell behind catches up in few round trips


def run(loaded: Loaded[Settings], place: Place | None) -> int:
    """Serve until stopped; *place* is that among the workers, None for a single process."""
    settings = loaded.values
    if place is not None:
        logs.set_up(role=place.name, level=settings.log_level, fmt=settings.log_format)
    return run_role(functools.partial(_gateway, settings, place))


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What the application and the service share."""

    settings: Settings
    market: MarketState
    gate: Gate
    certificate: Certificate | None
    stream_keys: StreamKeys
    store: BarStore
    board: RoleBoard
    readiness: Readiness
    silence: Silence
    registries: Registries
    tally: Tally
    shared_port: bool
    caching: Caching


async def _gateway(settings: Settings, place: Place | None) -> None:
    if place is None:
        port = available_port(settings.host, settings.port)
        settings = msgspec.structs.replace(settings, port=port)
    tally = _tally(settings, place)
    stream_keys = StreamKeys(settings.namespace, settings.shards)
    async with AsyncExitStack() as stack:
        redis = connect(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        ticks = StreamReader(settings.redis_url, count=_BLOCKS_PER_READ)
        readers = ticks, StreamReader(settings.redis_url)
        for reader in readers:
            stack.push_async_callback(reader.close)
        backlog = connect(settings.redis_url, command_timeout_s=_BACKLOG_S)
        stack.push_async_callback(backlog.aclose)
        answers = connect(
            settings.redis_url,
            command_timeout_s=REDIS_TIMEOUT_S,
            connect_timeout_s=REDIS_TIMEOUT_S,
        )
        stack.push_async_callback(answers.aclose)
        database = GatedDatabase(settings)
        await database.open()
        stack.push_async_callback(database.close)
        gate = await open_gate(settings, stack, database=database, tally=tally)
        parts = _Parts(
            settings=settings,
            market=MarketState(),
            gate=gate,
            certificate=certificate_of(settings),
            stream_keys=stream_keys,
            store=BarStore(database),
            board=RoleBoard(redis, stream_keys, now_ns=time.time_ns),
            readiness=Readiness(time.time_ns, "redis", "database"),
            silence=Silence(stale_after_s=settings.stale_after_s, heartbeat_s=settings.heartbeat_s),
            registries=registries(place, tally),
            tally=tally,
            shared_port=place is not None,
            caching=Caching(
                changes=Changes(settings.shards),
                max_bytes=settings.http_cache_bytes,
                redis=answers,
                keys=stream_keys,
                max_redis_bytes=settings.http_cache_redis_bytes,
            ),
        )
        if not gate.access.guard.required and (place is None or not place.index):
            log.info("no API keys are configured: anybody on this machine may read, nobody else")
        feeds = FeedRegistry(redis, stream_keys)
        service = _service(parts, readers, feeds, StreamRanges(backlog))
        service.ping_database = database.ping
        tune_for_bursts()
        gc.collect()
        gc.freeze()  # what lives as long as the role is never looked at again
        hangup = Hangup(
            functools.partial(read_anew, parts.certificate), has_parent=place is not None
        )
        await serve(settings, service, hangup=hangup)


def _tally(settings: Settings, place: Place | None) -> Tally:
    """The counts of this process, among those of all workers."""
    if place is None:
        return tally_memory.private()
    layout = Layout(settings.workers)
    tally = Tally(tally_memory.attach(place.tally_path, layout), layout, place.index)
    tally.announce(os.getpid(), listens=False)
    return tally


def _application(parts: _Parts) -> web.Application:
    return build_app(
        market=parts.market,
        bars=parts.store,
        trades=parts.store.trade_pages(shards=parts.settings.shards),
        board=parts.board,
        readiness=parts.readiness,
        silence=parts.silence,
        registry=parts.registries.own,
        shown=parts.registries.shown,
        access=parts.gate.access,
        now_ns=time.time_ns,
        monotonic_ns=time.monotonic_ns,
        version=report("gateway", "").version,
        timeout_s=parts.settings.http_timeout_s,
        restarts=restarts,
        caching=parts.caching,
    )


def _service(
    parts: _Parts,
    readers: tuple[StreamReader, StreamReader],
    feeds: FeedRegistry,
    ranges: StreamRanges,
) -> GatewayService:
    own = report("gateway", gateway_url(parts.settings).rstrip("/"))
    return GatewayService(
        settings=gateway_settings(parts.settings, shared_port=parts.shared_port),
        identity=Identity(name=own.name, pid=own.pid, version=own.version, ops_url=own.ops_url),
        app=_application(parts),
        market=parts.market,
        access=parts.gate.access,
        keys=parts.gate.keys,
        jwks=parts.gate.jwks,
        certificate=parts.certificate,
        stream_keys=parts.stream_keys,
        ticks=readers[0],
        bars=readers[1],
        feeds=feeds,
        ranges=ranges,
        board=parts.board,
        load_symbols=parts.store.symbols,
        readiness=parts.readiness,
        silence=parts.silence,
        metrics=GatewayMetrics(parts.registries.own),
        now_ns=time.time_ns,
        monotonic_ns=time.monotonic_ns,
        tally=parts.tally,
        changes=parts.caching.changes,
    )


def gateway_settings(settings: Settings, *, shared_port: bool = False) -> GatewaySettings:
    """The gateway's own values; without keys, there are no limits per address."""
    return GatewaySettings(
        host=settings.host,
        port=settings.port,
        shared_port=shared_port,
        batch_ms=settings.batch_ms,
        max_message_bytes=settings.max_message_bytes,
        compression=settings.compression,
        io_uring=settings.io_uring,
        max_symbols=settings.max_symbols,
        auth_timeout_s=settings.auth_timeout_s,
        drain_s=min(settings.drain_s / 4, 3.0),
        drain_pace=Pace(
            clients_per_s=settings.drain_clients_per_s,
            most_s=min(settings.drain_spread_s, settings.drain_s / 2),
        ),
        limits=Limits(
            max_inbound_bytes=settings.max_inbound_bytes,
            messages_per_s=settings.messages_per_s,
            slow_client_age_ns=int(settings.slow_client_age_s * 1e9),
            slow_client_bytes=settings.slow_client_bytes,
            max_connections_per_ip=settings.max_connections_per_ip,
            max_connections_per_key=settings.max_connections_per_key,
            handshakes_per_s=settings.handshakes_per_s,
            only_with_keys=True,
        ),
    )
