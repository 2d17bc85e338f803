"""`make loadtest`: locust users against a `tickgate dev` of its own, or against `--url`."""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from loadtest.dev import dev_server
from loadtest.report import LoadReport, to_text

_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_STOP_S = 60


def run_locust(url: str, *, users: int, seconds: float, symbols_per_user: int) -> LoadReport:
    """Run locust without its page and return what it found.

    Raises:
        subprocess.CalledProcessError: locust itself failed: its exit code says more.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.json")
        command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless"]
        command += ["--host", url, "-u", str(users), "-r", str(users), "-t", f"{seconds:g}s"]
        command += ["--symbols-per-user", str(symbols_per_user), "--report", str(path)]
        command += ["--skip-log-setup"]  # its tables; our report says the same
        done = subprocess.run(command, stdout=subprocess.DEVNULL, timeout=seconds + _STOP_S)
        if not path.exists():
            raise subprocess.CalledProcessError(done.returncode, command)
        return msgspec.json.decode(path.read_bytes(), type=LoadReport)


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, was {text!r}")
    return number


def main(argv: Sequence[str]) -> int:
    """Start, run, print, stop; the exit code is 1 when a tick was lost or a request failed."""
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    parser.add_argument("--seconds", type=_positive, default=30, help="length of the run")
    parser.add_argument("--users", type=_positive, default=25, help="four in five are subscribers")
    parser.add_argument("--symbols-per-user", type=_positive, default=10)
    parser.add_argument("--symbols", type=_positive, default=50, help="symbols of the simulation")
    parser.add_argument("--rate", type=_positive, default=1_000, help="ticks/s of the simulation")
    parser.add_argument("--url", default="", help="a gateway that runs already")
    asked = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        url = asked.url
        if not url:
            feed = f"sim:?symbols={asked.symbols}&rate={asked.rate}&seed=1"
            server = stack.enter_context(dev_server(feed))
            server.wait_until_ticking(asked.symbols)
            url = server.url
        report = run_locust(
            url,
            users=asked.users,
            seconds=asked.seconds,
            symbols_per_user=asked.symbols_per_user,
        )
    sys.stdout.write(to_text(report) + "\n")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
