"""Ten seconds of the load test against the whole system."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.__main__ import main, run_locust
from loadtest.dev import DevServer, dev_server
from loadtest.fanout import Fanout, build, overlapping

SYMBOLS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[DevServer]:
    with dev_server(f"sim:?symbols={SYMBOLS}&rate=1000&seed=1") as running:
        running.wait_until_ticking(SYMBOLS)
        yield running


@pytest.mark.parametrize("option", ["--users", "--seconds", "--rate"])
def test_a_load_of_nothing_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([option, "0"])
    assert f"{option}: expected a whole number from 1, was '0'" in capsys.readouterr().err


@pytest.mark.slow
def test_ten_seconds_of_load_lose_nothing_and_fail_nothing(server: DevServer) -> None:
    report = run_locust(server.url, users=10, seconds=10, symbols_per_user=5)

    assert report.seconds >= 9.5
    assert report.ticks.ticks >= 1_000
    assert (report.ticks.missing, report.ticks.repeated, report.ticks.findings) == (0, 0, [])
    assert report.errors == []
    assert report.passed
    assert {request.name for request in report.requests} == {
        "GET /v1/bars",
        "GET /v1/bars/latest",
        "GET /v1/snapshots",
        "WS /v1/stream",
    }


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the load generator")
def test_the_open_loop_generator_gets_every_trade_once(server: DevServer, tmp_path: Path) -> None:
    names = [row["symbol"] for row in server.get("/v1/symbols")["symbols"]]
    program = build(tmp_path)

    with Fanout(program, server.port, warm_up_s=0.2, seconds=1.5) as run:
        run.start(overlapping(names, clients=10, each=4))
        report = run.report()

    assert report.flawless
    assert report.clients == 10
    assert report.measured > 1_000
    assert 0 < report.p50_ms <= report.p99_ms <= report.max_ms < 5_000
    assert {seen.symbol for seen in report.symbols} == set(names)
    assert sum(n for seen in report.symbols for n in seen.minutes.values()) == report.deliveries


_ALONE = """
from locust.env import Environment
from loadtest.locustfile import Board, StreamUser

StreamUser.board = Board()
environment = Environment(host="http://127.0.0.1:{port}")
environment.events.request.add_listener(lambda exception, **_: print(type(exception).__name__))
StreamUser(environment).run()
"""


def test_a_subscriber_that_cannot_connect_is_a_failure_and_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    ended = subprocess.run(  # locust patches the process that imports it
        [sys.executable, "-c", _ALONE.format(port=port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.stdout.split(), ended.returncode) == (["ConnectionRefusedError"], 0), ended.stderr
