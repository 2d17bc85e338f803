"""Metrics of the HTTP half of the gateway."""

import functools
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram


class HttpMetrics:
    """Requests, their duration and the use of the caches, on the registry passed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "gateway_http_requests_total",
            "HTTP requests answered, by route (a closed set; unmatched for others) and status.",
            ["route", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "gateway_http_request_seconds",
            "From the parsed request head to the finished answer, before it is written.",
            ["route"],
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0),
            registry=registry,
        )
        self.history_bars = Counter(
            "gateway_http_history_bars_total",
            "Bars in answers made for /v1/bars, /udf/history and the SDKs' paths of bars; an "
            "answer out of a cache counts none.",
            registry=registry,
        )
        self.cache_lookups = Counter(
            "gateway_http_cache_lookups_total",
            "Look-ups: hit, joined (waits for another's load) or load. Caches: answers (ready ones "
            "in this process), shared (those in Redis, asked where answers has none; also stale, "
            "unlikely, skipped and away), latest and newest (bars, stored and rolled up), days, "
            "price_samples (bars for /udf/symbols) and roles (the role board).",
            ["cache", "outcome"],  # closed sets
            registry=registry,
        )
        self.of_request = functools.cache(self._of_request)  # to find them anew takes longer

    def lookups(self, cache: str) -> Callable[[str], None]:
        """Counts a look-up in *cache*, by its outcome."""
        of_outcome = functools.cache(functools.partial(self.cache_lookups.labels, cache))
        return lambda outcome: of_outcome(outcome).inc()

    def _of_request(self, route: str, status: int) -> tuple[Counter, Histogram]:
        """What counts requests of a route that ended so, and what measures them."""
        return self.requests.labels(route, str(status)), self.request_seconds.labels(route)
