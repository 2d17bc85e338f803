import os
import subprocess
import sys
from pathlib import Path

import pytest

from tickgate.itself import command_of

ROOT = Path(__file__).parents[3]


def test_a_child_takes_no_module_from_the_folder_that_somebody_works_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "core.py").write_text("raise SystemExit('of somebody else')")
    monkeypatch.chdir(tmp_path)
    environ = os.environ | {"PYTHONPATH": str(ROOT)}

    done = subprocess.run(command_of("version"), env=environ, capture_output=True, text=True)

    assert done.stdout.startswith("tickgate "), done.stderr


def test_a_child_is_of_the_checkout_that_its_parent_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    assert command_of("version") == (sys.executable, "-m", "tickgate", "version")


def test_a_working_directory_that_is_gone_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert "-P" in command_of("version")
