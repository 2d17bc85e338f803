"""A `tickgate dev` of our own, for tests and measurements: a process, a port, a directory."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.market.errors import TickgateError

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05
_LOG_TAIL = 4_000
_PORTS = (15_000, 32_000)
_PORT_DRAWS = 100


class ServerFailed(TickgateError):
    """`tickgate dev` ended by itself, did not start, or did not stop."""


class DevServer:
    """A running `tickgate dev`; ``url`` without a slash at its end."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    def get(self, path: str) -> Any:
        """The JSON answer to a GET.

        Raises:
            OSError: no answer, or not status 200.
        """
        return msgspec.json.decode(self.text(path))

    def text(self, path: str) -> str:
        """The answer to a GET.

        Raises:
            OSError: no answer, or not status 200.
        """
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return str(answer.read(), "utf-8")

    def wait_until_ticking(self, symbols: int) -> None:
        """Return once the gateway is ready and has heard of *symbols* symbols.

        Raises:
            ServerFailed: not in time.
        """
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if self.process.poll() is not None:
                raise ServerFailed(f"exit code {self.process.returncode}:\n{self.log_tail()}")
            with contextlib.suppress(OSError):
                if self.get("/readyz") and len(self.get("/v1/symbols")["symbols"]) >= symbols:
                    return
            time.sleep(_POLL_S)
        raise ServerFailed(f"not ready within {_START_TIMEOUT_S:g} s:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-_LOG_TAIL:]

    def stop(self) -> int:
        """Ask it to drain; its exit code.

        Raises:
            ServerFailed: it did not end in time, and was killed.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise ServerFailed(f"did not stop:\n{self.log_tail()}") from None


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago; the errors are those of `free_ports`."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1, each another, that were free a moment ago.

    Below the ports that the system gives to connections: one of those may be taken by anybody's
    connection, or listener, before the server that it is meant for has started.

    Raises:
        ServerFailed: there seem to be no more.
    """
    draw = random.SystemRandom()  # who seeds chance does not get a port twice
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        for _ in range(_PORT_DRAWS):
            port = draw.randrange(*_PORTS)
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise ServerFailed(f"of {_PORT_DRAWS} ports between {_PORTS} only {len(ports)} are free")


@contextlib.contextmanager
def dev_server(*feeds: str, options: Sequence[str] = ()) -> Iterator[DevServer]:
    """Start `tickgate dev` on *feeds* in a new data directory; stop it, remove the directory."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tickgate-load-") as folder:
        command = [sys.executable, "-m", "tickgate", "dev", "--port", str(port)]
        command += ["--data-dir", str(Path(folder, "data")), *options]
        command += [word for feed in feeds for word in ("--feed", feed)]
        log = Path(folder, "log")
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=_environment()
            )
        server = DevServer(process, port, log)
        try:
            yield server
        finally:
            server.stop()


def _environment() -> dict[str, str]:
    """Ours without TICKGATE_*: a user's settings must not change what is measured."""
    return {k: v for k, v in os.environ.items() if not k.startswith("TICKGATE_")}
