"""What came out: kept by fault as JSON, so that a run can be gone on with, and shown as a table."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.page import put_between_marks
from tests.faults.kinds import FAULTS
from tests.faults.seeds import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN = "<!-- written by make faults: begin -->"
END = "<!-- written by make faults: end -->"
_COUNTS = ("lost", "duplicated", "misordered", "wrong_bars", "undetected")
Results = dict[str, dict[str, Any]]  # by fault


def save(folder: Path, outcomes: Iterable[Outcome], not_permitted: Mapping[str, str]) -> None:
    """One file a fault; a fault's earlier file is replaced."""
    by_fault: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_fault.setdefault(outcome.fault, []).append(outcome)
    for name, some in by_fault.items():
        records = [asdict(o) for o in sorted(some, key=lambda outcome: outcome.seed)]
        _write(folder, name, {"seeds": records, "not_permitted": ""})
    for name, reason in not_permitted.items():
        _write(folder, name, {"seeds": [], "not_permitted": reason})


def load(folder: Path) -> Results:
    """What all runs into *folder* left, by fault."""
    found: Results = {}
    for name in FAULTS:
        path = folder / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text())
    return found


def table(results: Results) -> str:
    """All faults as Markdown: what was wrong, and how long it took until trades and bars flowed."""
    head = ("fault", "seeds", "hit", "lost", "duplicated", "misordered", "wrong bars",
            "undetected", "seconds to recover: median, most")  # fmt: skip
    lines = [_row(head), "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    lines += [_row(_cells(name, result)) for name, result in results.items()]
    return "\n".join(lines)


def write_page(results: Results) -> None:
    """Put the table between the marks of docs/reliability.md."""
    PAGE.write_text(put_between_marks(PAGE.read_text(), table(results), begin=BEGIN, end=END))


def _cells(name: str, result: Mapping[str, Any]) -> Sequence[str]:
    seeds = result["seeds"]
    if not seeds:
        return (f"`{name}`", f"not permitted here: {result['not_permitted']}", *[""] * 7)
    sums = [sum(seed["verdict"][count] for seed in seeds) for count in _COUNTS]
    hit = sum(any(seed["hits"].values()) for seed in seeds)
    took = sorted(seed["recovered_s"] for seed in seeds if seed["recovered_s"] is not None)
    recovery = f"{statistics.median(took):.1f}, {took[-1]:.1f}" if took else "-"
    return (f"`{name}`", str(len(seeds)), str(hit), *map(str, sums), recovery)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _write(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1))
