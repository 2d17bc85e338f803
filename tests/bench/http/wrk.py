"""Runs wrk, the load generator of Debian's package of that name, and reads what it prints."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.market.errors import TickgateError

_RATE: Final = re.compile(r"Requests/sec:\s+([0-9.]+)")
_PART: Final = re.compile(r"\s+(50|99)%\s+([0-9.]+)(us|ms|s)")
_BAD: Final = re.compile(r"Non-2xx or 3xx responses: ([0-9]+)|Socket errors: (.*)")
_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}
PACE_MS: Final = 10  # between two requests of a connection, where there is a pace


class WrkFailed(TickgateError):
    """It did not run, or requests were not answered as they should."""


@dataclass(frozen=True)
class Load:
    """Answers a second, and how long they took: milliseconds."""

    per_s: float
    p50_ms: float
    p99_ms: float


def run(
    url: str,
    *,
    seconds: float,
    connections: int,
    script: Path | None = None,
    arguments: tuple[str, ...] = (),
    headers: tuple[str, ...] = (),
) -> Load:
    """Ask *url* over so many *connections* from one thread.

    Raises:
        WrkFailed: an answer was not a success, or a connection broke.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    command += [word for header in headers for word in ("-H", header)]
    command += ["-s", str(script)] if script else []
    done = subprocess.run([*command, url, "--", *arguments], capture_output=True, text=True)
    bad = _BAD.search(done.stdout)
    rate = _RATE.search(done.stdout)
    if done.returncode or bad or rate is None:
        raise WrkFailed(f"{url[:200]}: {done.stdout[-400:]} {done.stderr[-400:]}")
    parts = {part: float(value) * _MS[unit] for part, value, unit in _PART.findall(done.stdout)}
    return Load(float(rate[1]), parts["50"], parts["99"])


RANGES: Final = """
-- Requests for ranges that nobody asked for before: symbol by symbol, minute by minute.
local symbols, minutes, bars, at, pace = 20, 0, 500, 0, 0
local begin = 1767225600

function init(arguments)
  at, bars, minutes = tonumber(arguments[1]), tonumber(arguments[2]), tonumber(arguments[3])
  pace = tonumber(arguments[4])
end

function delay() return pace end

function request()
  at = at + 1
  local first = begin + 60 * (math.floor(at / symbols) % (minutes - bars))
  local span = "!%Y-%m-%dT%H:%M:%SZ"
  return wrk.format("GET", string.format(
    "/v1/bars?symbols=SIM:S%03d-USD&start=%s&end=%s&limit=%d", at % symbols,
    os.date(span, first), os.date(span, first + 60 * (bars - 1)), bars))
end
"""

NAMES: Final = """
-- Snapshots of all symbols that are named, each time in an order that nobody asked for before.
local symbols = {}

function init(arguments)
  for place = 1, #arguments do symbols[place] = arguments[place] end
  math.randomseed(os.time())
end

function request()
  for place = #symbols, 2, -1 do
    local other = math.random(place)
    symbols[place], symbols[other] = symbols[other], symbols[place]
  end
  return wrk.format("GET", "/v1/snapshots?symbols=" .. table.concat(symbols, ","))
end
"""

PACED: Final = """
local pace = 0
function init(arguments) pace = tonumber(arguments[1]) end
function delay() return pace end
"""
