"""The metrics of several gateway workers, added up: any of them answers for all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.tally import Tally
from tickgate.restart_metrics import RestartMetrics
from tickgate.role import new_registry
from tickgate.workers import Place


@dataclass(frozen=True, slots=True)
class Registries:
    """Where a process's metrics go, and what `/metrics` shows."""

    own: CollectorRegistry
    shown: CollectorRegistry


def registries(place: Place | None, tally: Tally) -> Registries:
    """Of a gateway; *place* is None for a single process, whose registries are one.

    Workers keep their numbers in files, named by worker: the one that replaces a dead one goes on
    with its counters, and the parent removes what is only true of the living. Call it before any
    metric is made.
    """
    if place is None:
        registry = new_registry()
        return Registries(registry, registry)
    index = place.index
    values.ValueClass = values.MultiProcessValue(lambda: index)  # type: ignore[no-untyped-call]
    shown = CollectorRegistry()
    MultiProcessCollector(shown, str(place.metrics_path))  # type: ignore[no-untyped-call]
    shown.register(_Processes(tally))
    PlatformCollector(registry=shown)
    RestartMetrics(shown)
    return Registries(CollectorRegistry(), shown)


class _Processes(Collector):
    """CPU time, memory and open files of each worker, with the label ``worker``."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for index, pid in enumerate(self._tally.running()):
            if pid:
                _merge(found, _process(pid), str(index + 1))
        return found.values()


def _process(pid: int) -> Sequence[Metric]:
    return list(ProcessCollector(registry=None, pid=lambda: pid).collect())


def _merge(found: dict[str, Metric], metrics: Iterable[Metric], worker: str) -> None:
    for metric in metrics:
        family = found.setdefault(
            metric.name, Metric(metric.name, metric.documentation, metric.type)
        )
        for sample in metric.samples:
            family.add_sample(sample.name, {"worker": worker}, sample.value)
