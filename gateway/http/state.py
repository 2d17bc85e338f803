"""State of the system: ``/v1/status``, the probes and the metrics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from core.runtime.ports import Clock
from core.runtime.readiness import Readiness
from core.runtime.restarts import Restarts
from gateway.access.caller import caller_of
from gateway.encode import rfc3339
from gateway.http import health
from gateway.http.answers import encode
from gateway.http.cache import SingleFlight
from gateway.http.middlewares import json_response
from gateway.http.params import Params
from gateway.http.ports import Board, Market
from gateway.silence import Silence
from storage.errors import StreamUnavailable
from storage.roles import RoleReport

LISTENER: Final = "listener"  # a dependency that is away once the gateway drains


@dataclass(frozen=True, kw_only=True, slots=True)
class StateApi:
    """Answers without the database, and without Redis as well as may be."""

    market: Market
    board: Board
    reports: SingleFlight[str, Sequence[RoleReport]]
    readiness: Readiness
    silence: Silence
    restarts: Callable[[], Sequence[Restarts]]
    registry: CollectorRegistry
    now_ns: Clock
    version: str

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/status", self.status),
            web.get("/livez", self.alive),
            web.get("/readyz", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def status(self, request: web.Request) -> web.StreamResponse:
        """Feeds, roles, dependencies, clients; also while Redis is away, then without the roles."""
        Params(request.query.items(), accepted=())
        reports, reason = await self._reports()
        now_ns = self.now_ns()
        caller = caller_of(request)
        sees_all = caller.symbols.everything
        feeds = health.feed_answers(reports, self.silence.states(), now_ns)
        gateways = [report for report in reports if report.role == "gateway"]
        answer = health.StatusAnswer(
            version=self.version,
            time=rfc3339(now_ns),
            time_ns=now_ns,
            ready=self.readiness.ready,
            draining=self._draining,
            heartbeat_s=self.silence.heartbeat_s,
            dependencies=health.dependencies(self.readiness.states(), now_ns),
            symbols=sum(map(caller.permits, self.market.symbols())),
            clients=sum(report.clients for report in gateways),
            subscribers=sum(report.subscribers for report in gateways),
            feeds=[feed for feed in feeds if caller.symbols.touches(feed.venue)],
            roles=[health.role_answer(report) for report in reports] if sees_all else [],
            roles_unknown=reason if sees_all else "told to keys that may read all symbols",
            aggregator=health.aggregator_lag(reports),
        )
        return json_response(encode(answer))

    async def alive(self, request: web.Request) -> web.StreamResponse:
        """The process answers: that is all."""
        return json_response(b'{"alive":true}')

    async def ready(self, request: web.Request) -> web.StreamResponse:
        """200 when nothing is waited for, else 503; says what, since when and why."""
        reports, _ = await self._reports()
        ready = self.readiness.ready
        now_ns = self.now_ns()
        answer = health.ReadyAnswer(
            ready,
            self._draining,
            health.dependencies(self.readiness.states(), now_ns),
            health.waiting(reports),
            health.crash_loops(self.restarts(), now_ns),
        )
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return json_response(encode(answer), status)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """All metrics of this process, in the format that Prometheus asks for."""
        exposition, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = exposition(self.registry)
        headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
        return web.Response(body=body, headers=headers)

    @property
    def _draining(self) -> bool:
        state = self.readiness.states().get(LISTENER)
        return state is not None and not state.ok

    async def _reports(self) -> tuple[Sequence[RoleReport], str | None]:
        try:
            return await self.reports.get("roles", self.board.read), None
        except StreamUnavailable as error:
            return [], str(error)
