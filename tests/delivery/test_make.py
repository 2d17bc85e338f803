"""The Makefile, as someone meets it who has just cloned the project."""

import os
import re
import subprocess
from pathlib import Path

from tests.delivery.dockerfiles import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def make(*words: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    environ = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(
        ["make", *words], cwd=cwd, env=environ, capture_output=True, text=True, timeout=60
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
