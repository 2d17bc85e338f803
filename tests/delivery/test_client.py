"""The client alone: its wheel in an empty environment, the README's lines, the notebook."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from loadtest.dev import DevServer, dev_server
from tests.clocks import wall_ns
from tests.delivery.dockerfiles import ROOT

SYMBOL = "PAST:BTC-USD"
HOUR_NS = 3_600_000_000_000
TRADES = 30
NEEDED = {"msgspec", "websockets"}
BANNED = ("core", "aiohttp", "numpy", "psycopg", "redis", "uvloop", "gateway", "storage")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A whole system with a live market, and a symbol that traded an hour ago."""
    replay = tmp_path_factory.mktemp("past") / "trades.csv"
    start_ns = wall_ns() - HOUR_NS
    rows = [f"BTC-USD,{n},{start_ns + n * 20_000_000_000},buy,{100 + n},2" for n in range(TRADES)]
    replay.write_text("\n".join(["symbol,trade_id,event_ns,side,price,size", *rows]))
    with dev_server("sim:?symbols=2&rate=100", f"replay:{replay}?speed=max&venue=PAST") as running:
        running.wait_until_ticking(3)
        deadline_s = time.monotonic() + 30
        while stored_trades(running) < TRADES:
            assert time.monotonic() < deadline_s, running.log_tail()
            time.sleep(0.1)
        yield running


def stored_trades(server: DevServer) -> int:
    page = server.get(f"/v1/bars?symbols={SYMBOL}&start=2026-01-01")
    return sum(bar["n"] for bars in page["bars"].values() for bar in bars)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # With the tools that are here: that they can be fetched is seen with the program's wheel.
    options = ("--no-isolation", "--wheel", "--outdir", str(folder))
    command = (sys.executable, "-m", "build", *options, str(ROOT / "packaging" / "client"))
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("tickgate_client-*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the client's wheel and what it says it needs."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    (installed,) = metadata.distributions(path=[str(site)])
    for requirement in map(Requirement, installed.requires or ()):
        if requirement.marker is None:  # no extra
            _link(requirement.name, site)
    return folder / "bin" / "python"


def _link(name: str, site: Path) -> None:
    """Put a distribution of our own environment into another one."""
    found = metadata.distribution(name)
    for top in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
        (site / top).symlink_to(Path(str(found.locate_file(top))))


def run(python: Path, code: str) -> str:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("TICKGATE_", "PYTHON"))}
    done = subprocess.run(
        [str(python), "-W", "error", "-c", code],
        env=environ,
        cwd=python.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_lines() -> str:
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_light_wheel_holds_the_client_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("tickgate/")}

    client = {str(path.relative_to(ROOT)) for path in (ROOT / "tickgate/client").glob("*.py")}
    assert names == client | {"tickgate/__init__.py", "tickgate/py.typed"}


def test_the_light_wheel_needs_little(python: Path) -> None:
    listed = run(
        python, "from importlib import metadata as m; print(*(d.name for d in m.distributions()))"
    )
    loaded = run(python, "import sys, tickgate.client; print(*sys.modules)").split()

    assert set(listed.split()) == NEEDED | {"tickgate-client"}
    assert [name for name in BANNED if name in loaded] == []


def test_the_readme_s_lines_print_what_trades(python: Path, server: DevServer) -> None:
    lines = readme_lines()
    assert len([line for line in lines.splitlines() if line.strip()]) <= 10

    command = [str(python), "-u", "-c", lines.replace(":8080", f":{server.port}")]
    with subprocess.Popen(command, cwd=python.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            printed = [process.stdout.readline() for _ in range(5)]
        finally:
            process.terminate()

    assert all(line.startswith(("Trade(symbol='SIM:S001', price=", "Bar(")) for line in printed)


def test_the_light_install_asks_for_history_and_says_what_a_frame_needs(
    python: Path, server: DevServer
) -> None:
    code = f"""
from tickgate.client import Client, MissingPackage
bars = Client("{server.url}").bars("{SYMBOL}", start="2026-01-01")
print(sum(bar.trades for bar in bars))
try:
    bars.to_pandas()
except MissingPackage as exc:
    print(exc)
"""
    count, complaint = run(python, code).splitlines()

    assert int(count) == TRADES
    assert complaint == "pandas is not installed; install it with: pip install pandas"


def notebook() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "examples" / "history.ipynb").read_text())
    return found


def test_the_notebook_is_of_the_published_format_and_stripped() -> None:
    book = notebook()

    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in book["cells"]:
        extra = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | extra
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


async def test_the_notebook_s_cells_run_from_the_first_to_the_last(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKGATE_URL", server.url)
    names: dict[str, Any] = {}
    cells = [cell for cell in notebook()["cells"] if cell["cell_type"] == "code"]

    for cell in cells:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile("".join(cell["source"]), cell["id"], "exec", flags=flags)
        outcome = eval(code, names)
        if inspect.iscoroutine(outcome):
            await outcome

    assert names["symbol"] == SYMBOL
    assert names["frame"]["trades"].sum() == TRADES
    assert len(names["live"]) == 20
