"""The gateway's aiohttp application: every route, every middleware, put together once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from core.market.timeframe import SECOND_NS
from core.runtime.ports import Clock, MonotonicClock
from core.runtime.readiness import Readiness
from core.runtime.restarts import Restarts
from gateway.access.admission import Access
from gateway.http.alpaca import AlpacaApi
from gateway.http.background import in_background
from gateway.http.behind import behind_ns
from gateway.http.cache import SingleFlight
from gateway.http.caching import Caching, make_serving
from gateway.http.fast_path import FAST_PATH, Admit, Admitted, FastPath
from gateway.http.history import HistoryApi
from gateway.http.latest import LatestApi
from gateway.http.metrics import HttpMetrics
from gateway.http.middlewares import (
    add_safe_headers,
    admitted,
    check_expectation,
    cross_origin,
    json_errors,
    measured,
    preflights,
)
from gateway.http.openapi_api import DescriptionApi
from gateway.http.page import Page
from gateway.http.past import Past
from gateway.http.ports import Board, History, Market, Trades
from gateway.http.present import Present
from gateway.http.protocol import HANDLER_OPTIONS
from gateway.http.snapshots import Snapshots
from gateway.http.state import StateApi
from gateway.http.stored import StoredPresent
from gateway.http.time_limit import TimeLimit
from gateway.http.trades import TradesApi
from gateway.http.udf import UdfApi, udf_errors
from gateway.silence import Silence

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
    access: Access,
    now_ns: Clock,
    monotonic_ns: MonotonicClock,
    version: str,
    timeout_s: float = 30.0,
    page: Page | None = None,
    shown: CollectorRegistry | None = None,
    restarts: Callable[[], Sequence[Restarts]] = list,
    trades: Trades | None = None,
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
        access: who is let in, and how often.
        now_ns: wall clock, for defaults of times and the clock offset of callers.
        monotonic_ns: for durations, caches and limits.
        version: of the program, shown by ``/v1/status``.
        timeout_s: seconds after which a request is answered by 504.
        page: the page's files; None reads the installed ones.
        shown: what ``/metrics`` shows; None: *registry*.
        restarts: of the processes beside this one, for ``/readyz``.
        trades: the log of trades; None: there is no ``/v1/trades``.
        caching: of ready answers; None: nobody reads the bar streams, so for a second only.
    """
    metrics = HttpMetrics(registry)
    app = web.Application(
        middlewares=[
            measured(metrics, monotonic_ns),
            udf_errors,
            json_errors(TimeLimit(timeout_s, monotonic_ns)),
            preflights(access.cors),
            admitted(access),
        ],
        client_max_size=_MAX_BODY,
        handler_args=HANDLER_OPTIONS,
    )
    stored = StoredPresent(bars=bars, market=market, monotonic_ns=monotonic_ns, metrics=metrics)
    feeds = silence or Silence()
    state = StateApi(
        market=market,
        board=board,
        reports=SingleFlight(
            ttl_ns=_REPORTS_NS,
            max_keys=1,
            monotonic_ns=monotonic_ns,
            on_lookup=metrics.lookups("roles"),
        ),
        readiness=readiness,
        silence=feeds,
        restarts=restarts,
        registry=registry if shown is None else shown,
        now_ns=now_ns,
        version=version,
    )

    def heard() -> bool:
        return caching is None or caching.changes.heard(monotonic_ns())

    past = Past(
        market=market,
        bars=bars,
        now_ns=now_ns,
        heard=heard,
        behind=lambda: behind_ns(feeds.states(), now_ns()),
    )
    history = HistoryApi(market=market, past=past, now_ns=now_ns, metrics=metrics)
    present = Present(market=market, stored=stored, past=past, now_ns=now_ns, heard=heard)
    snapshots = Snapshots(market=market, present=present, monotonic_ns=monotonic_ns)
    latest = LatestApi(market=market, present=present, shown=snapshots)
    udf = UdfApi(
        market=market,
        bars=bars,
        present=present,
        samples=SingleFlight(
            ttl_ns=_SAMPLES_NS,
            max_keys=_MAX_SAMPLES,
            monotonic_ns=monotonic_ns,
            on_lookup=metrics.lookups("price_samples"),
        ),
        now_ns=now_ns,
        metrics=metrics,
    )
    alpaca = [
        AlpacaApi(
            market=market,
            past=past,
            log=trades,
            present=present,
            now_ns=now_ns,
            metrics=metrics,
            stocks=stocks,
        )
        for stocks in (True, False)
    ]
    pages = page or Page.installed()
    description = DescriptionApi.of(version)
    logged = TradesApi(market=market, log=trades, now_ns=now_ns).routes() if trades else []
    data = history.routes() + logged + latest.data_routes() + udf.data_routes()
    data += description.routes() + alpaca[0].routes() + alpaca[1].routes()
    serving = make_serving(
        caching or Caching(),
        market=market,
        metrics=metrics,
        is_private=lambda: access.guard.required,
        clocks=(now_ns, monotonic_ns),
        version=version,
    )
    if serving.shared is not None:
        app.cleanup_ctx.append(in_background(serving.shared.run, "answers for other gateways"))
    app.cleanup_ctx.append(in_background(present.renew, "days that grew old"))
    app.cleanup_ctx.append(in_background(snapshots.keep_ready, "bars that snapshots show"))
    app[FAST_PATH] = FastPath(serving, metrics, _fast(access))
    handlers = [(each.path, serving.handler(each)) for each in data]
    plain = latest.routes() + udf.routes() + state.routes() + pages.routes()
    for path, handler in handlers + [(each.path, each.handler) for each in plain]:
        app.router.add_get(path, handler, expect_handler=check_expectation)
    app.on_response_prepare.append(add_safe_headers)
    app.on_response_prepare.append(cross_origin(access.cors))
    return app


def _fast(access: Access) -> Admit:
    """Admission as the fast path asks for it."""

    def admit(headers: Mapping[str, str], target: str, remote: str) -> Admitted | None:
        admission = access.admit(headers, target, remote)
        return None if admission is None else (admission.caller, admission.headers)

    return admit
