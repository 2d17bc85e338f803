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
_HEAD = (
    "fault", "what happens", "seeds", "of them hit", "lost", "duplicated", "misordered",
    "wrong bars", "undetected", "failed otherwise", "seconds to recover: median, most",
)  # fmt: skip
Results = dict[str, dict[str, Any]]  # by fault


def add(folder: Path, outcome: Outcome) -> None:
    """Keep an outcome; an earlier one of the same seed is replaced."""
    found = _read(folder, outcome.fault)
    seeds = [seed for seed in found["seeds"] if seed["seed"] != outcome.seed]
    seeds.append(asdict(outcome) | {"passed": outcome.passed})
    found["seeds"] = sorted(seeds, key=lambda seed: seed["seed"])
    _write(folder, outcome.fault, found)


def note_not_permitted(folder: Path, name: str, reason: str) -> None:
    """The fault cannot be run by this user on this machine."""
    _write(folder, name, {"seeds": [], "not_permitted": reason})


def forget(folder: Path, names: Iterable[str]) -> None:
    """Drop what is kept of the faults *names*."""
    for name in names:
        _path(folder, name).unlink(missing_ok=True)


def load(folder: Path) -> Results:
    """What all runs into *folder* left, by fault."""
    return {name: _read(folder, name) for name in FAULTS if _path(folder, name).exists()}


def passed(folder: Path) -> set[tuple[str, int]]:
    """Fault and number of each seed that passed."""
    return {
        (name, seed["seed"])
        for name, result in load(folder).items()
        for seed in result["seeds"]
        if seed["passed"]
    }


def table(results: Results) -> str:
    """All faults as Markdown: what was wrong, and how long it took until trades and bars flowed."""
    lines = [_row(_HEAD), f"|---|---|{'---:|' * (len(_HEAD) - 2)}"]
    lines += [_row(_cells(name, result)) for name, result in results.items()]
    return "\n".join(lines)


def write_page(results: Results) -> None:
    """Put the table between the marks of docs/reliability.md."""
    PAGE.write_text(put_between_marks(PAGE.read_text(), table(results), begin=BEGIN, end=END))


def _cells(name: str, result: Mapping[str, Any]) -> Sequence[str]:
    seeds, about = result["seeds"], FAULTS[name].about
    if not seeds:
        reason = f"{about} (not permitted where this was run: {result['not_permitted']})"
        return (f"`{name}`", reason, "0", *["-"] * (len(_HEAD) - 3))
    sums = [sum(seed["verdict"][count] for seed in seeds) for count in _COUNTS]
    hit = sum(any(seed["hits"].values()) for seed in seeds)
    otherwise = sum(bool(seed["error"]) for seed in seeds)
    took = sorted(seed["recovered_s"] for seed in seeds if seed["recovered_s"] is not None)
    recovery = f"{statistics.median(took):.1f}, {took[-1]:.1f}" if took else "-"
    numbers = map(str, (len(seeds), hit, *sums, otherwise))
    return (f"`{name}`", about, *numbers, recovery)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _read(folder: Path, name: str) -> dict[str, Any]:
    path = _path(folder, name)
    found: dict[str, Any] = {"seeds": [], "not_permitted": ""}
    return json.loads(path.read_text()) if path.exists() else found


def _write(folder: Path, name: str, found: Mapping[str, Any]) -> None:
    """All or nothing: a run may be ended, or looked at, at any moment."""
    unfinished = _path(folder, name).with_suffix(".unfinished")
    unfinished.write_text(json.dumps(found, indent=1))
    unfinished.replace(_path(folder, name))
