"""The Makefile, as someone meets it who has just cloned the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.delivery.dockerfiles import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def make(*words: str, cwd: Path = ROOT, **environ: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("make")
    assert program is not None
    ours = ("MAKEFLAGS", "MAKELEVEL", "PYTHON")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [program, *words],
        cwd=cwd,
        env=inherited | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_alone_explains_every_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):.* ## ", MAKEFILE, re.MULTILINE))

    said = make().stdout

    assert {"venv", "demo", "test", "lint", "coverage", "bench", "loadtest"} <= targets
    assert {line.split()[0] for line in said.splitlines() if line.startswith("  ")} == targets


def test_an_old_python_is_refused_in_words(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n')
    old.chmod(0o755)
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()

    done = make("venv", f"PYTHON={old}", cwd=tmp_path)

    assert done.returncode != 0
    assert "tickgate needs Python 3.11 or newer" in done.stderr
    assert "make venv PYTHON=" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [
        ({"python3": "3, 13", "python3.14": "3, 14"}, "python3"),
        ({"python3": "3, 15", "python3.12": "3, 12", "python3.14": "3, 14"}, "python3.14"),
        ({"python3": "3, 9", "python3.11": "3, 11"}, "python3.11"),
        ({"python3": "3, 15"}, "python3"),
    ],
)
def test_a_python_that_the_pinned_versions_fit_is_chosen(
    installed: dict[str, str], chosen: str, tmp_path: Path
) -> None:
    for name, version in installed.items():
        faked = f"import sys; sys.version_info = ({version}, 0); exec(sys.argv[1])"
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{faked}' \"$2\"\n")
        program.chmod(0o755)

    done = make("--eval=which:;@echo $(PYTHON);", "which", PATH=str(tmp_path))

    assert done.stdout.split() == [chosen]


def test_every_dependency_is_pinned_and_no_host_is_named() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]

    assert [
        line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)
    ] == []


def test_continuous_integration_runs_what_the_readme_names() -> None:
    script = (ROOT / ".ci" / "run").read_text()

    for command in ("make lint", "make test", "coverage-check", "check_tests.py"):
        assert command in script
