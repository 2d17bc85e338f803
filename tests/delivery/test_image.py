"""The container image: what goes in, who runs it, and whether its health check tells the truth."""

import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from loadtest.dev import DevServer, dev_server
from tests.conftest import find_free_port
from tests.delivery.dockerfiles import ROOT, copied, gateway_url, instructions, is_ignored
from tests.integration.gateway.test_tls import make
from tickgate.settings import SETTINGS, Settings

DOCKERFILE = instructions((ROOT / "Dockerfile").read_text())
IGNORE = [
    line
    for line in (ROOT / ".dockerignore").read_text().splitlines()
    if line and not line.startswith("#")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAST = max(instruction.stage for instruction in DOCKERFILE)


def of_image(name: str) -> list[str]:
    return [i.rest for i in DOCKERFILE if i.name == name and i.stage == LAST]


@pytest.mark.parametrize("path", copied(DOCKERFILE))
def test_what_the_image_copies_is_there_and_not_ignored(path: str) -> None:
    whole = ROOT / path
    files = whole.rglob("*") if whole.is_dir() else [whole]
    code = [p for p in files if p.is_file() and "__pycache__" not in p.parts]

    assert code
    assert [p for p in code if is_ignored(str(p.relative_to(ROOT)), IGNORE)] == []


def test_every_package_of_the_wheel_is_copied() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert set(packages) <= set(copied(DOCKERFILE))


@pytest.mark.parametrize(
    "path", [".git/config", ".venv/bin/python", ".env", "tests/conftest.py", "core/__pycache__/a"]
)
def test_what_has_no_business_in_an_image_stays_out(path: str) -> None:
    assert is_ignored(path, IGNORE)


def test_the_image_runs_as_nobody_in_particular_and_builds_nothing() -> None:
    user = of_image("USER")[-1].partition(":")[0]
    runs = " ".join(of_image("RUN"))

    assert user.isdigit()
    assert int(user) > 0
    assert not any(tool in runs for tool in ("apt", "pip", "gcc", "build-essential"))


def test_the_image_starts_the_program() -> None:
    entry = next(i for i in DOCKERFILE if i.name == "ENTRYPOINT").json()

    assert entry == ["tickgate"]
    assert entry[0] in PROJECT["project"]["scripts"]


def health_check(*extra: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """The image's own command, with this machine's names for its program and its file."""
    command = next(i for i in DOCKERFILE if i.name == "HEALTHCHECK").json()
    here = {"python": sys.executable, "/opt/tickgate/healthcheck.py": "deploy/healthcheck.py"}
    words = [here.get(word, word) for word in command]
    return subprocess.run(
        [*words, *extra],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=20,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[DevServer]:
    with dev_server("sim:?symbols=2&rate=100") as running:
        running.wait_until_ticking(2)
        yield running


@pytest.mark.slow
def test_the_health_check_passes_on_a_running_server(server: DevServer) -> None:
    assert health_check(f"{server.url}/livez").returncode == 0


@pytest.mark.slow
def test_the_health_check_passes_on_every_role(server: DevServer) -> None:
    urls: dict[str, str] = {}
    deadline = time.monotonic() + 10  # a role is on the board once it has reported
    while not {"ingest", "aggregator", "gateway"} <= set(urls) and time.monotonic() < deadline:
        roles = server.get("/v1/status")["roles"]
        urls = {role["role"]: role["ops_url"] for role in roles if role["ops_url"]}
        time.sleep(0.1)

    assert {"ingest", "aggregator", "gateway"} <= set(urls)
    for url in urls.values():
        assert health_check(f"{url}/livez").returncode == 0


@pytest.mark.slow
def test_the_health_check_fails_on_a_server_that_hangs(server: DevServer) -> None:
    gateway = next(r for r in server.get("/v1/status")["roles"] if r["role"] == "gateway")["pid"]
    subprocess.run(["kill", f"-{signal.SIGSTOP.value}", str(gateway)], check=True)
    try:
        done = health_check(f"{server.url}/livez")
    finally:
        subprocess.run(["kill", f"-{signal.SIGCONT.value}", str(gateway)], check=True)

    assert done.returncode == 1
    assert "timed out" in done.stderr


@pytest.mark.parametrize("path", ["livez", "no-such-page"])
def test_the_health_check_fails_where_nothing_answers(path: str) -> None:
    done = health_check(f"http://127.0.0.1:{find_free_port()}/{path}")

    assert done.returncode == 1
    assert "refused" in done.stderr


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, f"http://127.0.0.1:{Settings().port}/livez"),
        ({"TICKGATE_PORT": "9000"}, "http://127.0.0.1:9000/livez"),
        (
            {"TICKGATE_PORT": "", "TICKGATE_TLS_CERTIFICATE": "/run/tls.pem"},
            f"https://127.0.0.1:{Settings().port}/livez",
        ),
    ],
)
def test_without_an_address_the_health_check_asks_the_gateway_where_its_variables_put_it(
    environ: dict[str, str], url: str
) -> None:
    known = {setting.variable for setting in SETTINGS}

    assert gateway_url(environ) == url
    assert set(environ) <= known


def test_the_health_check_passes_on_a_gateway_with_a_certificate_for_another_name(
    tmp_path: Path,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make(tmp_path, "feed.example.com"))
    with HTTPServer(("127.0.0.1", 0), _Alive) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            done = health_check(TICKGATE_PORT=str(server.server_port), TICKGATE_TLS_CERTIFICATE="x")
        finally:
            server.shutdown()
            thread.join()

    assert (done.returncode, done.stderr) == (0, "")


class _Alive(BaseHTTPRequestHandler):
    """Answers 200 to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
