"""Child processes that stay on one core, and end with the block that started them."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[3]
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]  # the server's alone, and everything else's
_END_S = 5.0
_POLL_S = 0.02


class Failed(Exception):
    """A process ended or said something else than was expected."""


class Child:
    """A process; what it prints on its standard error goes to a file."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process, self.log = process, log
        self.pid = process.pid

    def line(self, *, timeout_s: float = 90.0) -> str:
        """The next line on its standard output.

        Raises:
            Failed: it ended, or there was none in time.
        """
        output = _stream(self._process.stdout)
        with self._killed_after(timeout_s):
            found = output.readline().decode().strip()
        if not found:
            raise Failed(f"no answer; its last words: {self.last_words()}")
        return found

    def say(self, data: bytes) -> None:
        """Write to its standard input.

        Raises:
            Failed: it does not read.
        """
        try:
            _stream(self._process.stdin).write(data)
            _stream(self._process.stdin).flush()
        except BrokenPipeError:
            raise Failed(f"it ended; its last words: {self.last_words()}") from None

    def ensure_running(self) -> None:
        """Raises:
        Failed: it ended.
        """
        if self._process.poll() is not None:
            raise Failed(f"exit code {self._process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it wrote to its standard error."""
        return self.log.read_text(errors="replace")[-1500:].strip() or "none"

    @contextlib.contextmanager
    def _killed_after(self, timeout_s: float) -> Iterator[None]:
        watchdog = threading.Timer(timeout_s, self._process.kill)
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()


@contextlib.contextmanager
def child(
    command: Sequence[str],
    *,
    core: int,
    log: Path,
    env: Mapping[str, str] | None = None,
    last_signal: int = signal.SIGKILL,
) -> Iterator[Child]:
    """Run *command* on *core* alone until the block ends, by *last_signal*; *env* is added."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TICKGATE_")}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command],
            cwd=ROOT,
            env=clean | dict(env or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield Child(process, log)
    finally:
        _end(process, last_signal)


def wait_until(true: Callable[[], bool], who: Child, *, timeout_s: float = 30.0) -> None:
    """Return once *true* says so.

    Raises:
        Failed: *who* ended, or it took too long.
    """
    deadline_s = time.monotonic() + timeout_s
    while not true():
        who.ensure_running()
        if time.monotonic() > deadline_s:
            raise Failed(f"not ready within {timeout_s:g} s: {who.last_words()}")
        time.sleep(_POLL_S)


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _end(process: "subprocess.Popen[bytes]", last_signal: int) -> None:
    process.send_signal(last_signal)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            _stream(stream).close()
