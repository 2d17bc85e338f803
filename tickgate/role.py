"""What the three roles have in common: the event loop, the supervisor, how a role names itself."""

import asyncio
import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from core.market.errors import TickgateError
from core.runtime.hangup import Hangup
from core.runtime.ops import OpsServer
from core.runtime.ports import Service
from core.runtime.readiness import Readiness
from core.runtime.supervisor import supervise
from storage.roles import RoleName, RoleReport
from tickgate.output import complain
from tickgate.restart_metrics import RestartMetrics
from tickgate.restarts import restarts
from tickgate.settings import Settings
from tickgate.version import version

log = logging.getLogger(__name__)


def run_role(
    role: Callable[[], Coroutine[Any, Any, None]],
    *,
    wrong_settings: type[TickgateError] | tuple[type[TickgateError], ...] = (),
) -> int:
    """Run *role* on uvloop to its end; returns the exit code.

    Errors that the project raises on purpose say in a line what is wrong; any other is a bug and
    is logged in full. Errors of the types *wrong_settings* will come again however often the role
    is started: exit code 2.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(role())
    except ExceptionGroup as failures:
        errors = list(_leaves(failures))
        known = [error for error in errors if isinstance(error, TickgateError)]
        if len(known) < len(errors):
            log.critical("the role failed", exc_info=failures)
        for error in known:
            complain(f"tickgate: {error}")
        return 2 if all(isinstance(error, wrong_settings) for error in errors) else 1
    return 0


async def serve(settings: Settings, *services: Service, hangup: Hangup | None = None) -> None:
    """Run *services*; the last is the role itself, which ends by itself with `exit_at_end`.

    SIGHUP ends them as SIGTERM does, or is for *hangup*.
    """
    until = (services[-1].name,) if settings.exit_at_end else ()
    gc.collect()
    gc.freeze()  # what start-up made lives to the end: the collector need not look at it again
    on_hangup = hangup.on_signal if hangup is not None else None
    await supervise(*services, drain_s=settings.drain_s, until=until, on_hangup=on_hangup)


def new_registry() -> CollectorRegistry:
    """A registry with the metrics of the process itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    RestartMetrics(registry)
    return registry


def ops_server(settings: Settings, readiness: Readiness, registry: CollectorRegistry) -> OpsServer:
    """The HTTP server of a role that has no other; its port is taken at once.

    Raises:
        CannotListen: the port cannot be had.
    """
    ops = OpsServer(
        host=settings.ops_host,
        port=settings.ops_port,
        readiness=readiness,
        registry=registry,
        now_ns=time.time_ns,
        restarts=restarts,
    )
    # Without the scheme: the first URL on the terminal of `tickgate dev` is to be the page's.
    log.info("liveness, readiness and metrics at %s", ops.url.removeprefix("http://"))
    return ops


def report(role: RoleName, ops_url: str) -> RoleReport:
    """This process as the other roles see it."""
    now_ms = time.time_ns() // 10**6
    return RoleReport(
        role=role,
        name=f"{socket.gethostname()}:{os.getpid()}",
        pid=os.getpid(),
        reported_ms=now_ms,
        started_ms=now_ms,
        ops_url=ops_url,
        version=version(),
    )


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
