"""Hold coverage: 90 % of lines and branches in all, every branch of a pure module.

usage: check_coverage.py COVERAGE.json [PYPROJECT.toml]

The pure modules are those that the import-linter contract about purity names, so that one list
says what is pure and what has to be covered.
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

IN_ALL_PERCENT = 90.0
_CONTRACT = "Pure modules"


def pure_modules(pyproject: dict[str, Any]) -> list[str]:
    """The modules and packages of the contract whose name starts with "Pure modules"."""
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    return [
        module
        for contract in contracts
        if contract["name"].startswith(_CONTRACT)
        for module in contract["source_modules"]
    ]


def problems(report: dict[str, Any], pure: list[str]) -> list[str]:
    """What misses its goal, in words; empty when all is covered."""
    total = report["totals"]["percent_covered"]
    found = []
    if total < IN_ALL_PERCENT:
        found.append(f"{total:.2f} % of lines and branches covered, needed {IN_ALL_PERCENT:g} %")
    files = {_module(path): (path, entry) for path, entry in report["files"].items()}
    for wanted in pure:
        names = [name for name in files if f"{name}.".startswith(f"{wanted}.")]
        if not names:
            found.append(f"{wanted}: named as pure, but not measured")
        for name in names:
            found += _missing(*files[name])
    return found


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _missing(path: str, entry: dict[str, Any]) -> list[str]:
    lines = entry["missing_lines"]
    branches = [f"{start}->{end}" for start, end in entry.get("missing_branches", [])]
    excluded = entry["summary"].get("excluded_lines", 0)
    found = []
    if lines or branches:
        found.append(f"{path}: pure, but not covered: lines {lines}, branches {branches}")
    if excluded and _has_pragma(path):
        found.append(f"{path}: pure modules are covered without 'pragma: no cover'")
    return found


def _has_pragma(path: str) -> bool:
    return "pragma: no cover" in Path(path).read_text()


def main(report: Path, pyproject: Path) -> int:
    """Print what is missing; the exit code is 1 if anything is."""
    measured = json.loads(report.read_text())
    pure = pure_modules(tomllib.loads(pyproject.read_text()))
    found = problems(measured, pure)
    for line in found:
        sys.stderr.write(f"{line}\n")
    percent = measured["totals"]["percent_covered"]
    sys.stdout.write(f"coverage: {percent:.2f} % in all; {len(pure)} pure modules or packages\n")
    return 1 if found else 0


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    sys.exit(main(arguments[0], arguments[1] if len(arguments) > 1 else Path("pyproject.toml")))
