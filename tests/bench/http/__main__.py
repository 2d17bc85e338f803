"""`make bench-http`: answers a second and how long they take, beside FastAPI with asyncpg.

The server has a core of its own; the load generator (wrk), PostgreSQL with TimescaleDB and Redis
share the other. Servers take turns, HTTP_ROUNDS times (default 5), HTTP_SECONDS each (default 10).
`--quick` makes all short, to see that it runs: its numbers are none, and nothing is written.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.bench import page
from tests.bench.http import fanout, scene, wrk
from tests.bench.http.wrk import PACE_MS, Load
from tests.bench.section import table

_PAGE: Final = Path(__file__).parents[3] / "docs" / "benchmarks.md"
_BEGIN: Final = "<!-- written by make bench-http: begin -->"
_END: Final = "<!-- written by make bench-http: end -->"
_CONNECTIONS: Final = 32
_OLD_S: Final = 1.05  # by then what was kept for a second is old
_WAITING: Final = 64  # while a database is waited for: the server under test is never idle
_CACHED: Final = (
    "/v1/bars?symbols=SIM:S000-USD&start=2026-01-02T00:00:00Z&end=2026-01-02T08:19:00Z&limit=500"
)
_SYMBOLS: Final = tuple(scene.symbol(number) for number in range(scene.ALL))
_OURS, _THEIRS = "tickgate", "FastAPI + asyncpg"


@dataclass
class Found:
    """Samples by what was measured and of which server."""

    per_s: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    p50_ms: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    p99_ms: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def take(self, what: str, server: str, load: Load) -> float:
        self.per_s[what, server].append(load.per_s)
        self.p50_ms[what, server].append(load.p50_ms)
        self.p99_ms[what, server].append(load.p99_ms)
        print(f"{server}: {what}: {load.per_s:,.0f}/s, p99 {load.p99_ms:.2f} ms", flush=True)
        return load.per_s


@dataclass
class Bench:
    """One run over all rounds."""

    seconds: float
    folder: Path
    found: Found = field(default_factory=Found)
    asked: int = 0  # ranges so far: no two requests are for the same
    moved: int = 0  # trades of each symbol so far

    def __post_init__(self) -> None:
        self.ranges = self._script("ranges.lua", wrk.RANGES)
        self.paced = self._script("paced.lua", wrk.PACED)

    def ours(self, url: str, redis_url: str) -> None:
        _check(url)
        cached = self._same("500 bars, from the cache", url)
        self._same("500 bars, from the cache, at half load", url, per_s=cached / 2)
        packed = ("Accept-Encoding: gzip",)
        self._same("500 bars, from the cache, packed", url, headers=packed)
        stored = self._ranges("500 bars, from the database", _OURS, url)
        self._ranges("500 bars, from the database, at half load", _OURS, url, per_s=stored / 2)
        self._ranges("10,000 bars, one after the other", _OURS, url, bars=10_000, alone=True)
        self._snapshots(url, redis_url)

    def theirs(self, url: str) -> None:
        _check(url)
        stored = self._ranges("500 bars, from the database", _THEIRS, url)
        self._ranges("500 bars, from the database, at half load", _THEIRS, url, per_s=stored / 2)
        self._ranges("10,000 bars, one after the other", _THEIRS, url, bars=10_000, alone=True)

    def _same(
        self, what: str, url: str, *, per_s: float = 0.0, headers: tuple[str, ...] = ()
    ) -> float:
        load = wrk.run(
            url + _CACHED,
            seconds=self.seconds,
            connections=_connections(per_s),
            script=self.paced if per_s else None,
            arguments=(str(PACE_MS),),
            headers=headers,
        )
        return self.found.take(what, _OURS, load)

    def _ranges(
        self,
        what: str,
        server: str,
        url: str,
        *,
        bars: int = 500,
        per_s: float = 0.0,
        alone: bool = False,
    ) -> float:
        load = wrk.run(
            url,
            seconds=self.seconds,
            connections=1 if alone else _connections(per_s, _WAITING),
            script=self.ranges,
            arguments=(
                str(self.asked),
                str(bars),
                str(scene.MINUTES),
                str(PACE_MS if per_s else 0),
            ),
        )
        self.asked += round(load.per_s * self.seconds * 1.2) + 100
        return self.found.take(what, server, load)

    def _snapshots(self, url: str, redis_url: str) -> None:
        """The same one after the other: nearly all from the cache, as they are kept a second."""
        others = self._script("names.lua", wrk.NAMES)
        load = wrk.run(url, seconds=self.seconds, connections=1, script=others, arguments=_SYMBOLS)
        self.found.take("snapshots of 500 symbols, no two requests alike", _OURS, load)
        url += f"/v1/snapshots?symbols={','.join(_SYMBOLS)}"
        load = wrk.run(url, seconds=self.seconds, connections=1)
        self.found.take("snapshots of 500 symbols, one after the other", _OURS, load)
        self.found.take("snapshots of 500 symbols, not kept yet", _OURS, self._fresh(url))
        moved = self._fresh(url, move=lambda: self._move(redis_url))
        self.found.take("snapshots of 500 symbols, all moved since", _OURS, moved)

    def _fresh(self, url: str, *, move: Callable[[], None] | None = None) -> Load:
        """Over one connection, each after what was kept has become old, and after *move*."""
        alone = []
        where = urlsplit(url)
        with closing(HTTPConnection(where.netloc, timeout=30)) as connection:
            for _ in range(max(3, round(self.seconds / 1.2))):
                if move is not None:
                    move()
                time.sleep(_OLD_S)
                began_s = time.perf_counter()
                connection.request("GET", f"{where.path}?{where.query}")
                answer = connection.getresponse()
                body = answer.read()
                alone.append((time.perf_counter() - began_s) * 1e3)
                if answer.status != HTTPStatus.OK or len(body) < scene.ALL * 100:
                    raise scene.SceneFailed(f"{where.path}: {answer.status}, {len(body)} bytes")
                for news in (b'"s":0.25,', b'"final":false') if move else ():
                    if body.count(news) != scene.ALL:
                        raise scene.SceneFailed(f"{where.path}: not all have {news.decode()}")
        return Load(1 / _OLD_S, statistics.median(alone), max(alone))

    def _move(self, redis_url: str) -> None:
        self.moved += 1
        scene.move_all(redis_url, self.moved)

    def _script(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


def main(argv: Sequence[str]) -> int:
    """The exit code is 1 when something was not answered; slow is not wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.http", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short, for a look")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    parser.add_argument("--no-fanout", action="store_true", help="leave out what streams it costs")
    asked = parser.parse_args(argv)
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed (Debian's package has its name)")
    rounds = 1 if asked.quick else int(os.environ.get("HTTP_ROUNDS", "5"))
    seconds = 1.0 if asked.quick else float(os.environ.get("HTTP_SECONDS", "10"))
    today = datetime.now(UTC).date().isoformat()
    command = f"make bench-http HTTP_ROUNDS={rounds} HTTP_SECONDS={seconds:g}"
    conditions = page.conditions(today, command)  # now: what is written changes the working tree
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(seconds, Path(folder))
        _measure(bench, rounds)
        streams = None if asked.no_fanout else fanout.measure(Path(folder), rounds, seconds)
    text = "\n\n".join(
        [conditions, _TEXT, _table(bench.found)] + ([fanout.text(streams)] if streams else [])
    )
    print(text)
    if not (asked.quick or asked.dry_run):
        _PAGE.write_text(page.put_between_marks(_PAGE.read_text(), text, begin=_BEGIN, end=_END))
    return 0


def _measure(bench: Bench, rounds: int) -> None:
    with scene.stage() as (cores, database_url, redis_url):
        for number in range(rounds):
            turns: list[Callable[[], None]] = [
                lambda: _ours(bench, cores, database_url, redis_url),
                lambda: _theirs(bench, cores, database_url),
            ]
            for turn in turns if number % 2 == 0 else reversed(turns):
                turn()


def _ours(bench: Bench, cores: scene.Cores, database_url: str, redis_url: str) -> None:
    with scene.gateway(cores, database_url, redis_url) as url:
        bench.ours(url, redis_url)


def _theirs(bench: Bench, cores: scene.Cores, database_url: str) -> None:
    with scene.contender(cores, database_url) as url:
        bench.theirs(url)


def _connections(per_s: float, full: int = _CONNECTIONS) -> int:
    """For a pace: each connection waits that long, and a little more for its answer."""
    return max(1, round(per_s * PACE_MS / 1e3)) if per_s else full


def _check(url: str) -> None:
    """Both answer with the same 500 bars."""
    bars = scene.get(url + _CACHED)["bars"]["SIM:S000-USD"]
    if len(bars) != 500 or bars[0]["t"] != "2026-01-02T00:00:00Z" or bars[0]["n"] != 241:
        raise scene.SceneFailed(f"{url}: another answer than expected: {bars[:1]}")


_PARSER: Final = "httptools" if find_spec("httptools") else "h11"
_TEXT: Final = (
    "The server under test has one core; wrk, TimescaleDB and Redis share the other. Each bar has "
    "ten fields, an answer of 500 bars about 74 kB. *From the cache*: the same request again and "
    f"again, over {_CONNECTIONS} connections. *From the database*: no two requests are for the "
    f"same range, over {_WAITING} connections. *Half load*: half as many "
    "a second as were answered, each connection pausing 10 ms. *No two requests alike*: the same "
    "symbols in another order each time; the first loads their days, which the p99 shows. "
    "Snapshots *not kept yet* are asked for by one client, a second after those before; with *all "
    "moved since*, each symbol has had a trade and a running bar in that second, else none: these "
    "two tell how a processor wakes up, too. FastAPI has one uvicorn worker with uvloop and "
    f"{_PARSER}, and a pool of ten connections. Medians (smallest to largest) over the rounds, in "
    "which the servers took turns."
)
_GOALS: Final = {
    "500 bars, from the cache": ("per_s", 10_000.0),
    "500 bars, from the database": ("per_s", 1_500.0),
    "500 bars, from the cache, at half load": ("p99_ms", 50.0),
    "500 bars, from the database, at half load": ("p99_ms", 50.0),
    "snapshots of 500 symbols, one after the other": ("p50_ms", 5.0),
    "snapshots of 500 symbols, no two requests alike": ("p50_ms", 5.0),
    "snapshots of 500 symbols, not kept yet": ("p50_ms", 5.0),
    "snapshots of 500 symbols, all moved since": ("p50_ms", 5.0),
    "10,000 bars, one after the other": ("p50_ms", 30.0),
}


def _table(found: Found) -> str:
    rows = []
    for what, server in found.per_s:
        samples = {
            "per_s": found.per_s[what, server],
            "p50_ms": found.p50_ms[what, server],
            "p99_ms": found.p99_ms[what, server],
        }
        measured = [
            _spread(samples["per_s"], "{:,.0f}"),
            _spread(samples["p50_ms"], "{:.2f}"),
            _spread(samples["p99_ms"], "{:.2f}"),
        ]
        rows.append((what, server, *measured, _verdict(what, server, samples)))
    head = ("what", "server", "answers/s", "p50, ms", "p99, ms", "goal")
    return table(head, sorted(rows, key=lambda row: (row[0], row[1] != _OURS)))


def _verdict(what: str, server: str, samples: dict[str, list[float]]) -> str:
    if server != _OURS or what not in _GOALS:
        return ""
    kind, goal = _GOALS[what]
    value = statistics.median(samples[kind])
    if kind == "per_s":
        return f"≥ {goal:,.0f}/s: " + ("met" if value >= goal else "**missed**")
    return f"{kind[:3]} ≤ {goal:g} ms: " + ("met" if value <= goal else "**missed**")


def _spread(values: Sequence[float], shape: str) -> str:
    middle, least, most = (
        shape.format(value) for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({least} to {most})" if len(values) > 1 else middle


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
