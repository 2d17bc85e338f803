"""The processes of a scenario: the swarm, the feeder, the gateway."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from core.market.errors import TickgateError
from loadtest.dev import free_port
from tests.bench.crowd.feeder import Fed, Order
from tests.bench.crowd.figures import symbol_names
from tests.bench.crowd.usage import Used

_SOURCES = Path(__file__).with_name("swarm")
_POLL_S = 0.05
_ANSWER_S = 60.0
_START_S = 30.0
_STOP_S = 20.0
_LOG_TAIL = 2_000


class BenchFailed(TickgateError):
    """A process of the benchmark gave up, or something was not so in time."""


class Latency(msgspec.Struct, frozen=True):
    """From a trade's own time to its read."""

    count: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


class Report(msgspec.Struct, frozen=True):
    """What the swarm knows by now; times are UNIX ns, 0 where it has not happened."""

    clients: int
    subscribed: int  # now
    current: int  # those of them that had a trade newer than their subscription
    closed: int  # for good; group 1 not counted once it stalls
    stalled_ended: int
    refused: int  # attempts to connect
    returned: int  # subscribed after a connection was lost
    opened_ns: int
    subscribed_ns: int  # the newest
    current_ns: int  # the newest
    lost_ns: int  # the first
    deliveries: int
    missing: int
    repeated: int  # or out of order
    unknown: int
    redelivered: int  # after the newest cursor, so to be had again
    no_cursor: int
    gaps: int
    messages: int
    bytes: int
    pings: int
    errors: int
    others: int
    error: str
    all: Latency
    group0: Latency
    group1: Latency
    codes: dict[str, int]  # connections that ended, by close code
    cpu_s: float

    @property
    def flawless(self) -> bool:
        """Nothing lost, repeated, out of order, closed or refused with an error?"""
        wrong = self.missing + self.repeated + self.unknown + self.gaps
        return not (wrong + self.closed + self.errors)


def build(folder: Path) -> Path:
    """Compile the swarm into *folder*.

    Raises:
        BenchFailed: there is no C compiler, or it refuses.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchFailed("the swarm needs a C compiler (Debian: apt install gcc libc6-dev)")
    program = folder / "swarm"
    sources = [str(path) for path in sorted(_SOURCES.glob("*.c"))]
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), *sources]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise BenchFailed(f"the swarm does not compile: {done.stderr[-2000:]}")
    return program


class Swarm:
    """One process of clients; *options* are those of swarm.c. Leaving the block ends it."""

    def __init__(self, program: Path, ports: Sequence[int], **options: object) -> None:
        words = [f"{name}={value}" for name, value in options.items()]
        self._process = subprocess.Popen(
            [str(program), f"ports={','.join(map(str, ports))}", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process)

    def open(self, symbols: Sequence[str], sets: Sequence[tuple[int, Sequence[int]]]) -> None:
        """Begin to connect a client for each of *sets*: its group, and numbers of symbols."""
        self._ask(f"names {','.join(symbols)}")
        lines = [f"client {group} {','.join(map(str, numbers))}\n" for group, numbers in sets]
        self._send("".join(lines))
        self._ask("open")

    def reset(self) -> None:
        """Measure latencies anew."""
        self._ask("reset")

    def stall(self) -> None:
        """Let group 1 stop reading."""
        self._ask("stall")

    def behind(self, last_ids: Sequence[int]) -> int:
        """How many trades clients lack of those up to *last_ids*, which are by symbol."""
        return int(self._ask(f"behind {','.join(map(str, last_ids))}"))

    def report(self) -> Report:
        return msgspec.json.decode(self._ask("report"), type=Report)

    def wait(self, condition: Callable[[Report], bool], *, timeout_s: float) -> Report:
        """The first report that meets *condition*.

        Raises:
            BenchFailed: none did in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not condition(report := self.report()):
            if time.monotonic() > deadline_s:
                raise BenchFailed(f"not so within {timeout_s:g} s: {report}")
            time.sleep(_POLL_S)
        return report

    def wait_subscribed(self, *, timeout_s: float = 120.0) -> Report:
        """Wait until every client is; raises BenchFailed as :meth:`wait`."""
        return self.wait(lambda r: r.subscribed == r.clients, timeout_s=timeout_s)

    def _ask(self, line: str) -> bytes:
        self._send(line + "\n")
        return _read_line(self._process)

    def _send(self, text: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its answer, or what it said, tells
            self._process.stdin.write(text.encode())
            self._process.stdin.flush()


class FeederProcess:
    """`feeder.py`: opened at once, so that the gateway finds the feed; begins when told."""

    def __init__(self, order: Order) -> None:
        words = [sys.executable, "-m", "tests.bench.crowd.feeder"]
        self._process = subprocess.Popen(
            [*words, msgspec.json.encode(order).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.symbols = symbol_names(order.plan.all_symbols)
        _read_line(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process)

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"begin\n")
        self._process.stdin.flush()

    def stop(self) -> Fed:
        """End it; what it has written."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.stdin = None
        return msgspec.json.decode(_read_line(self._process), type=Fed)


class Gateway:
    """`tickgate gateway` on a port of its own, with the settings of *environ*."""

    def __init__(
        self, environ: Mapping[str, str], log: Path, *, cores: Sequence[int], port: int = 0
    ) -> None:
        self.port = port or free_port()
        self._cores, self._log = cores, log
        own = {k: v for k, v in os.environ.items() if not k.startswith("TICKGATE_")}
        self._environ = {**own, **environ, "TICKGATE_PORT": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; returns at once."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tickgate", "gateway"],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, self._cores),
            )

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def wait_ready(self) -> None:
        """Raises BenchFailed when it is not in time."""
        assert self._process is not None
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            with contextlib.suppress(OSError):
                self.get("/readyz")
                return
            time.sleep(_POLL_S)
        raise BenchFailed(f"the gateway is not ready: {self._log.read_text()[-_LOG_TAIL:]}")

    def wait_empty(self) -> None:
        """Wait until it has no client; raises BenchFailed when it keeps one."""
        deadline_s = time.monotonic() + _STOP_S
        while left := self.metrics("gateway_clients")[""]:
            if time.monotonic() > deadline_s:
                raise BenchFailed(f"{left:.0f} clients are not gone after {_STOP_S:g} s")
            time.sleep(_POLL_S)

    def get(self, path: str) -> str:
        """The answer to a GET; raises OSError."""
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read(), "utf-8")

    def metrics(self, name: str) -> dict[str, float]:
        """The samples of a metric, by their labels as they are written."""
        return parse_samples(self.get("/metrics"), name)

    def used(self) -> Used:
        """Of all its processes."""
        return Used.by(self.pid, self._cores[0])


def parse_samples(text: str, name: str) -> dict[str, float]:
    """The samples of the metric *name* in Prometheus text, by what stands between the braces."""
    found = {}
    for line in text.splitlines():
        key, _, value = line.rpartition(" ")
        if key == name or key.startswith(name + "{"):
            found[key[len(name) :].strip("{}")] = float(value)
    return found


def _read_line(process: "subprocess.Popen[bytes]") -> bytes:
    """The process' next line.

    Raises:
        BenchFailed: it ended, or said nothing in time.
    """
    assert process.stdout is not None
    heard, _, _ = select.select([process.stdout], [], [], _ANSWER_S)
    line: bytes = process.stdout.readline() if heard else b""
    if line:
        return line
    process.kill()
    _, said = process.communicate()
    raise BenchFailed(f"no answer from {Path(_first(process.args)).name}: {said.decode()[-2000:]}")


def _first(args: Any) -> str:
    return str(args[0])


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdin = None
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
