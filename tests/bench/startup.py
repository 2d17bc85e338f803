"""How long `tickgate dev` takes from its start to the first tick on a socket."""

import contextlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from loadtest.dev import free_port

_LIMIT_S = 60.0
_RETRY_S = 0.02
_SUBSCRIBE = '{"action":"subscribe","trades":["*"]}'


@dataclass(frozen=True)
class StartResult:
    """Seconds to the first tick: with a new data directory, and with one that is there."""

    new_s: float
    again_s: float


def measure() -> StartResult:
    """Start twice over one data directory."""
    with tempfile.TemporaryDirectory(prefix="tickgate-bench-") as folder:
        data_dir = Path(folder, "data")
        return StartResult(_first_tick_s(data_dir), _first_tick_s(data_dir))


def _first_tick_s(data_dir: Path) -> float:
    port = free_port()
    command = [sys.executable, "-m", "tickgate", "dev", "--port", str(port)]
    command += ["--data-dir", str(data_dir)]
    began_s = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as dev:
        try:
            while time.monotonic() < began_s + _LIMIT_S:
                with contextlib.suppress(OSError, WebSocketException):
                    return _wait_for_tick(port) - began_s
                time.sleep(_RETRY_S)
            raise TimeoutError(f"no tick within {_LIMIT_S:g} s")
        finally:
            dev.terminate()


def _wait_for_tick(port: int) -> float:
    with connect(f"ws://127.0.0.1:{port}/v1/stream", open_timeout=5, proxy=None) as socket:
        socket.send(_SUBSCRIBE)
        while '"T":"t"' not in str(socket.recv(timeout=_LIMIT_S)):
            pass
        return time.monotonic()
