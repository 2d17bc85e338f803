"""The gateway's aiohttp application: every route, every middleware, put together once."""

from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from core.market.timeframe import SECOND_NS
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.readiness import Readiness
from core.runtime.restarts import Restarts
from gateway.access.grant import ANYBODY
from gateway.http.cache import SingleFlight
from gateway.http.caching import Caching, make_serving
from gateway.http.fast_path import FAST_PATH, FastPath
from gateway.http.history import HistoryApi
from gateway.http.latest import LatestApi
from gateway.http.limits import RequestLimiter
from gateway.http.metrics import HttpMetrics
from gateway.http.middlewares import (
    add_safe_headers,
    check_expectation,
    json_errors,
    key_required,
    limited,
    measured,
)
from gateway.http.page import Page
from gateway.http.past import Past
from gateway.http.ports import Board, History, Market
from gateway.http.present import Present
from gateway.http.protocol import HANDLER_OPTIONS
from gateway.http.state import StateApi
from gateway.http.stored import StoredPresent
from gateway.http.udf import UdfApi, udf_errors
from gateway.keys import ApiKeys
from gateway.silence import Silence
from gateway.tally import Tally
from gateway.tally_memory import private

_REPORTS_NS: Final = SECOND_NS  # roles report each second
_SAMPLES_NS: Final = 60 * SECOND_NS  # how fine a symbol's prices are hardly changes
_MAX_SAMPLES: Final = 1_000  # symbols; 200 bars of 100 bytes each
_MAX_BODY: Final = 16 * 1024  # bytes; nothing here reads a body


def build_app(  # noqa: PLR0913  one argument per dependency
    *,
    market: Market,
    bars: History,
    board: Board,
    readiness: Readiness,
    silence: Silence | None = None,
    registry: CollectorRegistry,
    keys: ApiKeys,
    now_ns: Clock,
    monotonic_ns: MonotonicClock,
    version: str,
    timeout_s: float = 30.0,
    requests_per_minute: int = 100,
    page: Page | None = None,
    shown: CollectorRegistry | None = None,
    tally: Tally | None = None,
    restarts: Callable[[], Sequence[Restarts]] = list,
    caching: Caching | None = None,
) -> web.Application:
    """The HTTP API and the page, ready to be served.

    Args:
        market: newest values in memory.
        bars: the stored bars.
        board: the reports of the roles.
        readiness: what this role waits for, for ``/readyz``.
        silence: which feeds are stale, for ``/v1/status``; None: nobody looks.
        registry: where this package's metrics go.
        keys: who is let in; none: everybody, and without a limit on requests.
        now_ns: wall clock, for defaults of times and the clock offset of callers.
        monotonic_ns: for durations, caches and limits.
        version: of the program, shown by ``/v1/status``.
        timeout_s: seconds after which a request is answered by 504.
        requests_per_minute: of a key, where keys are required; 0 sets no limit.
        page: the page's files; None reads the installed ones.
        shown: what ``/metrics`` shows; None: *registry*.
        tally: counts of all workers; None: this process is the only one.
        restarts: of the processes beside this one, for ``/readyz``.
        caching: of ready answers; None: nobody reads the bar streams, so for a second only.
    """
    metrics = HttpMetrics(registry)
    is_limited = keys.required and requests_per_minute > 0
    limiter = RequestLimiter(requests_per_minute, tally or private()) if is_limited else None
    app = web.Application(
        middlewares=[
            measured(metrics, monotonic_ns),
            udf_errors,
            json_errors(timeout_s),
            key_required(keys),
            limited(limiter, monotonic_ns),
        ],
        client_max_size=_MAX_BODY,
        handler_args=HANDLER_OPTIONS,
    )
    stored = StoredPresent(bars=bars, market=market, monotonic_ns=monotonic_ns, metrics=metrics)
    state = StateApi(
        market=market,
        board=board,
        reports=SingleFlight(
            ttl_ns=_REPORTS_NS,
            max_keys=1,
            monotonic_ns=monotonic_ns,
            on_lookup=lambda outcome: metrics.cache_lookups.labels("roles", outcome).inc(),
        ),
        readiness=readiness,
        silence=silence or Silence(),
        restarts=restarts,
        registry=registry if shown is None else shown,
        now_ns=now_ns,
        version=version,
    )
    past = Past(market=market, bars=bars, now_ns=now_ns)
    history = HistoryApi(market=market, past=past, now_ns=now_ns, metrics=metrics)
    present = Present(market=market, stored=stored, now_ns=now_ns)
    latest = LatestApi(market=market, present=present)
    udf = UdfApi(
        market=market,
        bars=bars,
        stored=stored,
        samples=SingleFlight(
            ttl_ns=_SAMPLES_NS,
            max_keys=_MAX_SAMPLES,
            monotonic_ns=monotonic_ns,
            on_lookup=lambda outcome: metrics.cache_lookups.labels("price_samples", outcome).inc(),
        ),
        now_ns=now_ns,
        metrics=metrics,
    )
    pages = page or Page.installed()
    serving = make_serving(
        caching or Caching(),
        market=market,
        metrics=metrics,
        keys_required=keys.required,
        clocks=(now_ns, monotonic_ns),
        version=version,
    )
    app.cleanup_ctx.append(serving.running)
    if not keys.required:
        app[FAST_PATH] = FastPath(serving, metrics, lambda *_: (ANYBODY, {}))
    data = history.routes() + latest.data_routes() + udf.data_routes()
    handlers = [(each.path, serving.handler(each)) for each in data]
    plain = latest.routes() + udf.routes() + state.routes() + pages.routes()
    for path, handler in handlers + [(each.path, each.handler) for each in plain]:
        app.router.add_get(path, handler, expect_handler=check_expectation)
    app.on_response_prepare.append(add_safe_headers)
    return app
