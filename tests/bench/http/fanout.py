"""What answering over HTTP costs the streams: their latency with and without it, in turns."""

import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadtest.dev import DevServer, dev_server
from loadtest.fanout import Fanout, build, overlapping
from tests.bench.section import table

_SYMBOLS, _RATE = 500, 50_000  # half of what `make bench` loads the whole system with
_CLIENTS, _EACH = 100, 20
_WARM_UP_S: Final = 2.0
_PER_S: Final = 1_000  # answers while the streams run: 500 bars each
_GOAL: Final = 1.10


@dataclass
class Streams:
    """Latency of frames at the 99th percentile, milliseconds, by round."""

    without_ms: list[float] = field(default_factory=list)
    with_ms: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)


def measure(folder: Path, rounds: int, seconds: float) -> Streams:
    """Rounds in turns, with and without requests for the newest bars of all symbols."""
    streams = Streams()
    with dev_server(f"sim:?symbols={_SYMBOLS}&rate={_RATE}&seed=1") as server:
        program = build(folder)
        server.wait_until_ticking(_SYMBOLS)
        names = [row["symbol"] for row in server.get("/v1/symbols")["symbols"]]
        for _ in range(rounds):
            streams.without_ms.append(_latency_ms(server, program, names, seconds, ()))
            path = f"/v1/bars/latest?symbols={','.join(names)}"
            command = _requests(folder, server.url + path, seconds + _WARM_UP_S)
            streams.with_ms.append(_latency_ms(server, program, names, seconds, command))
            print(f"p99: {streams.without_ms[-1]:.1f} ms, {streams.with_ms[-1]:.1f} ms with HTTP")
    return streams


def text(streams: Streams) -> str:
    """What was found, as Markdown."""
    before, after = statistics.median(streams.without_ms), statistics.median(streams.with_ms)
    verdict = "met" if after <= before * _GOAL else "**missed**"
    rows = [
        ("streams alone", _spread(streams.without_ms), ""),
        (f"with {_PER_S:,} HTTP answers/s", _spread(streams.with_ms), f"≤ 110 %: {verdict}"),
    ]
    return (
        f"`tickgate dev` at {_RATE:,} ticks/s over {_SYMBOLS} symbols to {_CLIENTS} clients with "
        f"{_EACH} each, half of the load of the whole system above; requests are for the newest "
        f"bars of all {_SYMBOLS} symbols. Everything shares the cores.\n\n"
        + table(("p99 of the streams", "ms", "goal"), rows)
    )


def _latency_ms(
    server: DevServer, program: Path, names: Sequence[str], seconds: float, command: Sequence[str]
) -> float:
    with Fanout(program, server.port, warm_up_s=_WARM_UP_S, seconds=seconds) as run:
        run.start(overlapping(names, clients=_CLIENTS, each=_EACH))
        if command:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        else:
            time.sleep(_WARM_UP_S + seconds)
        return run.report().p99_ms


def _requests(folder: Path, url: str, seconds: float) -> list[str]:
    """wrk at a steady pace."""
    script = folder / "steady.lua"
    script.write_text("function delay() return 10 end\n")
    connections = str(_PER_S // 100)
    return ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "-s", str(script), url]


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
