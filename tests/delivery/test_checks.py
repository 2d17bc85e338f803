"""The scripts that hold continuous integration to its word: no skip, no gap in coverage."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.dockerfiles import ROOT

PYPROJECT = """
[tool.importlinter]
[[tool.importlinter.contracts]]
name = "Pure modules do no I/O"
source_modules = ["core.market", "a.window"]
"""


def check(script: str, *arguments: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ("", "no test ran"),
        ('<testcase classname="a" name="b"><skipped message="no browser"/></testcase>', "skipped"),
        ('<testcase classname="a" name="b"><error message="x"/></testcase>', "a::b: error: x"),
    ],
)
def test_a_run_with_a_skip_an_error_or_no_test_fails(tmp_path: Path, cases: str, said: str) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")

    done = check("check_tests.py", report)

    assert done.returncode == 1
    assert said in done.stderr


def test_a_run_where_every_test_passed_is_fine(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text('<testsuite><testcase classname="a" name="b"/></testsuite>')

    assert check("check_tests.py", report).returncode == 0


def measured(percent: float, **files: dict[str, Any]) -> dict[str, Any]:
    entries = {f"{name.replace('__', '/')}.py": entry for name, entry in files.items()}
    return {"totals": {"percent_covered": percent}, "files": entries}


def entry(*, lines: tuple[int, ...] = (), branches: tuple[tuple[int, int], ...] = ()) -> Any:
    return {
        "missing_lines": list(lines),
        "missing_branches": [list(branch) for branch in branches],
        "summary": {"excluded_lines": 0},
    }


FULL = {"core__market__bar": entry(), "a__window": entry()}


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (measured(89.99, **FULL), "89.99 % of lines and branches covered, needed 90 %"),
        (measured(99, **FULL | {"a__window": entry(lines=(7,))}), "a/window.py: pure, but not"),
        (measured(99, **FULL | {"a__window": entry(branches=((7, 9),))}), "branches ['7->9']"),
        (measured(99, core__market__bar=entry()), "a.window: named as pure, but not measured"),
    ],
    ids=["in all", "line", "branch", "not measured"],
)
def test_what_is_not_covered_fails(tmp_path: Path, report: dict[str, Any], said: str) -> None:
    (tmp_path / "coverage.json").write_text(json.dumps(report))
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)

    done = check("check_coverage.py", tmp_path / "coverage.json", tmp_path / "pyproject.toml")

    assert done.returncode == 1
    assert said in done.stderr


def test_modules_that_are_not_pure_may_have_gaps(tmp_path: Path) -> None:
    report = measured(95, **FULL | {"a__service": entry(lines=(1, 2))})
    (tmp_path / "coverage.json").write_text(json.dumps(report))
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)

    done = check("check_coverage.py", tmp_path / "coverage.json", tmp_path / "pyproject.toml")

    assert done.returncode == 0
    assert "95.00 % in all" in done.stdout
