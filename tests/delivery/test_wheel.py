"""The wheel: built, installed into an empty environment, and run there."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from loadtest.dev import DevServer, free_port
from tests.delivery.dockerfiles import ROOT

REPLAY = """symbol,trade_id,event_ns,side,price,size
BTC-USD,1,1767225600000000000,buy,100.5,2
BTC-USD,2,1767225630000000000,sell,101.5,1
BTC-USD,3,1767225660000000000,buy,99.5,4
"""
PACKAGE_DATA = {".sql", ".js", ".css", ".html", ".svg", ".typed", ".webmanifest"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(*command: object, cwd: Path, **environ: str) -> str:
    """The output of a command that must succeed."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TICKGATE_", "PYTHON"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**inherited, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    constraints = str(ROOT / "constraints.txt")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT]
    run(*command, cwd=folder, PIP_CONSTRAINT=constraints)
    return next(folder.glob("tickgate-*.whl"))


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `tickgate` of an environment that has the wheel and nothing else of ours."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    install = (python, "-m", "pip", "install", "-q", "--no-compile", "-c", constraints)
    run(*install, wheel, cwd=folder)
    return folder / "venv" / "bin" / "tickgate"


def test_the_wheel_holds_the_packages_with_their_files_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = ["core", "storage", "ingest", "aggregator", "gateway", "loadtest", "tickgate"]
    wanted = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", *PACKAGE_DATA}
    }

    assert wanted <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == set(packages)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_installed_program_says_its_version(program: Path, wheel: Path) -> None:
    said = run(program, "--version", cwd=program.parent)

    assert said.strip() == f"tickgate {wheel.name.split('-')[1]}"


def test_the_installed_program_replays_stores_and_serves(program: Path, tmp_path: Path) -> None:
    (tmp_path / "trades.csv").write_text(REPLAY)
    data_dir = tmp_path / "data"
    dev = [program, "dev", "--data-dir", data_dir]
    feed = "replay:trades.csv?speed=max&venue=TEST"
    run(*dev, "--port", 0, "--feed", feed, "--exit-at-end", cwd=tmp_path)

    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        command = [*map(str, dev), "--port", str(port), "--feed", "sim:?symbols=1&rate=10"]
        server = DevServer(
            subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log), port, tmp_path / "log"
        )
    try:
        server.wait_until_ticking(2)
        bars = server.get("/v1/bars?symbols=TEST:BTC-USD&timeframe=1Min&start=2026-01-01T00:00:00Z")
        page = server.text("/")
        files = [server.text(f"/static/{name}") for name in ("app.js", "lightweight-charts.js")]
    finally:
        exit_code = server.stop()

    assert [(bar["o"], bar["c"], bar["n"]) for bar in bars["bars"]["TEST:BTC-USD"]] == [
        (100.5, 101.5, 2),
        (99.5, 99.5, 1),
    ]
    assert "<html" in page
    assert all(files)
    assert exit_code == 0
