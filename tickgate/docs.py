"""Generates docs/configuration.md and docs/metrics.md from the declarations.

``python -m tickgate.docs`` writes them; with ``--check`` it only says whether they are current.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from aggregator.metrics import AggregatorMetrics
from core.runtime.config import Setting
from gateway.http.metrics import HttpMetrics
from gateway.metrics import GatewayMetrics
from ingest.metrics import IngestMetrics
from tickgate.output import complain, say
from tickgate.restart_metrics import RestartMetrics
from tickgate.settings import SETTINGS

_FOLDER = Path(__file__).resolve().parent.parent / "docs"
_GENERATED = "<!-- Made by `python -m tickgate.docs`: change the declarations, not this page. -->"
_ROLES: Mapping[str, Sequence[Callable[[CollectorRegistry], object]]] = {
    "Every role": (RestartMetrics,),
    "ingest": (IngestMetrics,),
    "aggregate": (AggregatorMetrics,),
    "gateway": (GatewayMetrics, HttpMetrics),
}
_CONFIGURATION = """# Settings

Every setting is a flag (`--port 8080`), a variable (`TICKGATE_PORT=8080`) and a line of this page.
A flag wins over a variable, a variable over the default; an empty variable counts as not set.

* Units are in the names: `_ms`, `_s` and `_days` are times, `_bytes` are bytes: plain numbers.
* A list is a flag given several times; as a variable its items are separated by blanks, or stand on
  lines of their own when they hold blanks themselves.
* A wrong value ends the program with exit code 2 and a message that names the setting, where it was
  set, its value and what is accepted. A `TICKGATE_` variable that is no setting is wrong too.
* `tickgate config` shows the effective values and where each comes from, `tickgate COMMAND --help`
  the settings of one command.
"""
_METRICS = """# Metrics

Prometheus text at `/metrics`: the gateway on its port, ingest and aggregate on their `ops_port`.
Each process also tells its CPU time, memory and open files (`process_*`, `python_info`).
Labels have few values; none is a symbol, a client or an address.

A gateway with several workers answers, whichever is asked, with the sum over all of them: counters
do not fall when a worker dies, gauges count the living, and `process_*` have the label `worker`.
All workers read the same streams: what they count there (`gateway_missing_blocks_total`, …) counts
once for each.
"""


def main(argv: Sequence[str]) -> int:
    """Write the pages, or check them; exit code 1 when one is stale."""
    pages = {"configuration.md": configuration(), "metrics.md": metrics()}
    stale = [name for name, text in pages.items() if _read(_FOLDER / name) != text]
    if "--check" in argv:
        for name in stale:
            complain(f"docs/{name} is stale: run python -m tickgate.docs")
        return 1 if stale else 0
    for name in stale:
        (_FOLDER / name).write_text(pages[name])
        say(f"wrote docs/{name}")
    return 0


def configuration() -> str:
    """The text of docs/configuration.md."""
    lines = [_GENERATED, "", _CONFIGURATION]
    lines += ["| setting | default | meaning | accepted | commands |", "|---|---|---|---|---|"]
    lines += [_row(setting) for setting in SETTINGS]
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """The text of docs/metrics.md."""
    lines = [_GENERATED, "", _METRICS]
    for role, classes in _ROLES.items():
        registry = CollectorRegistry()
        kept = [make(registry) for make in classes]
        found = sorted(registry.collect(), key=lambda metric: metric.name)
        lines += [f"## {role}", "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
        lines += [_metric_row(metric, _labels(kept, metric)) for metric in found]
        lines.append("")
    return "\n".join(lines)


def _row(setting: Setting) -> str:
    default = setting.show(setting.default)
    accepted = setting.accepted + (" (secret)" if setting.secret == "all" else "")
    cells = (
        f"`{setting.name}`",
        f"`{default}`" if default else "empty",
        setting.description,
        accepted,
        ", ".join(setting.commands) or "all",
    )
    return _table_row(cells)


def _metric_row(metric: Metric, labels: Iterable[str]) -> str:
    name = metric.name + ("_total" if metric.type == "counter" else "")
    shown = ", ".join(f"`{label}`" for label in labels)
    return _table_row((f"`{name}`", metric.type, shown, metric.documentation))


def _labels(owners: Iterable[object], metric: Metric) -> Sequence[str]:
    """Label names of *metric*; one without samples yet does not tell them itself."""
    if own := getattr(metric, "_labelnames", ()):
        return tuple(own)
    for owner in owners:
        for value in vars(owner).values():
            if getattr(value, "_name", None) == metric.name:
                return tuple(value._labelnames)
    return ()


def _table_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
