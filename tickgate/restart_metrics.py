"""Restarts of a process's neighbours as metrics."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tickgate.restarts import restarts


class RestartMetrics(Collector):
    """Restarts as metrics, on the registry passed in; read when somebody asks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        total = CounterMetricFamily(
            "tickgate_restarts",
            "Starts after a crash, of this role and of those that share its parent (`tickgate "
            "dev`, `gateway --workers`), each of which tells the same.",
            labels=["role"],
        )
        loops = GaugeMetricFamily(
            "tickgate_crash_loop", "1 while that role crashes again and again.", labels=["role"]
        )
        for child in restarts():
            total.add_metric([child.role], child.total)
            loops.add_metric([child.role], float(child.crash_loop))
        return total, loops
