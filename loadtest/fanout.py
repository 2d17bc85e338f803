"""Runs the open-loop generator, ``fanout.c``: compiled when it is wanted, one process, one report.

The Python side only starts it; the subscribers are in C, so that they take little of the cores
that the measured system runs on.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from core.market.errors import TickgateError

_SOURCE = Path(__file__).with_name("fanout.c")
_COMPILE_TIMEOUT_S = 120
_MARGIN_S = 60.0


class FanoutFailed(TickgateError):
    """The generator could not be built, or gave up; the message is its own."""


class SymbolSeen(msgspec.Struct, frozen=True):
    """What one client saw of one symbol; ``minutes``: trades by start of minute (UNIX seconds)."""

    symbol: str
    first_ns: int
    last_ns: int
    minutes: dict[int, int]


class FanoutReport(msgspec.Struct, frozen=True):
    """The generator's findings; latencies from a trade's own time, rounded up to 10 us."""

    clients: int
    closed: int
    seconds: float
    deliveries: int  # from the first trade on, the warm-up included
    measured: int  # those in ``seconds``
    missing: int
    repeated: int
    unknown: int
    messages: int
    bytes: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    cpu_s: float
    symbols: list[SymbolSeen]

    @property
    def flawless(self) -> bool:
        """Did every client stay, and get each trade once and in order?"""
        return not (self.closed or self.missing or self.repeated or self.unknown)


def build(folder: Path) -> Path:
    """Compile the generator into *folder*.

    Raises:
        FanoutFailed: there is no C compiler, or it refuses.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FanoutFailed("the load generator needs a C compiler (Debian: apt install gcc)")
    program = folder / "fanout"
    command = [compiler, "-O2", "-Wall", "-Werror", "-o", str(program), str(_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S)
    if done.returncode:
        raise FanoutFailed(f"{_SOURCE.name} does not compile: {done.stderr[-2000:]}")
    return program


class Fanout:
    """One run of the generator. Leaving the ``with`` block ends it."""

    def __init__(self, program: Path, port: int, *, warm_up_s: float, seconds: float) -> None:
        arguments = ["127.0.0.1", str(port), "/v1/stream", f"{warm_up_s:g}", f"{seconds:g}"]
        self._limit_s = warm_up_s + seconds + _MARGIN_S
        self._process = subprocess.Popen(
            [str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Fanout":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def start(self, subscriptions: Sequence[Sequence[str]]) -> None:
        """Connect one client per item; returns when each has had a trade.

        Raises:
            FanoutFailed: a client was refused, or got nothing in time.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        lines = "".join(",".join(symbols) + "\n" for symbols in subscriptions)
        self._process.stdin.write(lines)
        self._process.stdin.close()
        self._process.stdin = None  # communicate() must not flush it
        if self._process.stdout.readline() != "started\n":
            _, said = self._process.communicate()
            raise FanoutFailed(said.strip())

    def report(self) -> FanoutReport:
        """Wait for the end of the run.

        Raises:
            FanoutFailed: it gave up, or did not end in time.
        """
        try:
            found, said = self._process.communicate(timeout=self._limit_s)
        except subprocess.TimeoutExpired as exc:
            raise FanoutFailed(f"no report within {self._limit_s:g} s") from exc
        if self._process.returncode:
            raise FanoutFailed(said.strip())
        return msgspec.json.decode(found, type=FanoutReport, strict=False)


def overlapping(symbols: Sequence[str], *, clients: int, each: int) -> list[list[str]]:
    """Subscriptions of *clients* that spread evenly: each takes *each* neighbours, in a circle."""
    twice = [*symbols, *symbols]
    step = max(1, len(symbols) // clients)
    starts = [client * step % len(symbols) for client in range(clients)]
    return [twice[start : start + each] for start in starts]
