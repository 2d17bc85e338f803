"""The whole system under load: sim, streams, bars, database, gateway, and a hundred clients."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from loadtest.dev import DevServer, dev_server
from loadtest.fanout import Fanout, FanoutReport, SymbolSeen, build, overlapping
from tests.bench.processes import Usage, slope_per_minute, usage_of_tree

SYMBOLS, RATE = 500, 100_000
CLIENTS, SYMBOLS_EACH = 100, 20
SLOPE_S = 40  # the tail of the run over which memory has to be flat
_SAMPLE_S = 1.0
_WARM_UP_S = 10.0
_MINUTE_S = 60
_BARS_TIMEOUT_S = 20.0


@dataclass(frozen=True, kw_only=True)
class SystemResult:
    """What one run found; memory of the Python processes together, in MB (10^6 bytes)."""

    seconds: float
    fanout: FanoutReport
    rss_mb: float
    pss_mb: float
    peak_rss_mb: float
    slope_mb_per_min: float
    cpu: dict[str, float]  # cores, by process
    memory: dict[str, float]  # resident MB, by process
    bars_checked: int
    bars_wrong: list[str]


def measure(seconds: float) -> SystemResult:
    """One run of *seconds*, after a warm-up.

    From 60 s on it covers a whole minute, whose bars are then compared with what clients saw.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        dev_server(f"sim:?symbols={SYMBOLS}&rate={RATE}&seed=1") as server,
    ):
        program = build(Path(folder))
        server.wait_until_ticking(SYMBOLS)
        names = [row["symbol"] for row in server.get("/v1/symbols")["symbols"]]
        warm_up_s = _warm_up_s(seconds)
        with Fanout(program, server.port, warm_up_s=warm_up_s, seconds=seconds) as run:
            run.start(overlapping(names, clients=CLIENTS, each=SYMBOLS_EACH))
            time.sleep(warm_up_s)
            samples = _sample(server.process.pid, seconds)
            report = run.report()
        checked, wrong = _check_bars(server, report.symbols)
    return _result(seconds, report, samples, checked, wrong)


def _warm_up_s(seconds: float) -> float:
    """A long run is measured from just after a minute's start, so that it covers a whole one."""
    if seconds < _MINUTE_S:
        return _WARM_UP_S / 2
    to_minute_s = _MINUTE_S - time.time() % _MINUTE_S  # noqa: TID251 - event times are wall time
    return (to_minute_s if to_minute_s >= _WARM_UP_S else to_minute_s + _MINUTE_S) + 1


Samples = list[tuple[float, list[Usage]]]


def _sample(root: int, seconds: float) -> Samples:
    began_s = time.monotonic()
    samples: Samples = []
    while (at_s := time.monotonic() - began_s) < seconds:
        samples.append((at_s, usage_of_tree(root)))
        time.sleep(_SAMPLE_S)
    return samples


def _result(
    seconds: float, report: FanoutReport, samples: Samples, checked: int, wrong: list[str]
) -> SystemResult:
    totals = [_python_mb([u.rss_kib for u in usages if u.python]) for _, usages in samples]
    tail = [(at, mb) for (at, _), mb in zip(samples, totals, strict=True)]
    tail = [(at, mb) for at, mb in tail if at >= samples[-1][0] - SLOPE_S]
    first, last = samples[0], samples[-1]
    before = {usage.pid: usage.cpu_s for usage in first[1]}
    cpu: dict[str, float] = {}
    memory: dict[str, float] = {}
    for usage in last[1]:
        share = (usage.cpu_s - before.get(usage.pid, 0.0)) / (last[0] - first[0])
        cpu[usage.name] = cpu.get(usage.name, 0.0) + share
        memory[usage.name] = memory.get(usage.name, 0.0) + _python_mb([usage.rss_kib])
    return SystemResult(
        seconds=seconds,
        fanout=report,
        rss_mb=totals[-1],
        pss_mb=_python_mb([u.pss_kib for u in last[1] if u.python]),
        peak_rss_mb=max(totals),
        slope_mb_per_min=slope_per_minute([at for at, _ in tail], [mb for _, mb in tail]),
        cpu=cpu,
        memory=memory,
        bars_checked=checked,
        bars_wrong=wrong,
    )


def _python_mb(kib: Sequence[int]) -> float:
    return sum(kib) * 1024 / 1e6


def _check_bars(server: DevServer, seen: Sequence[SymbolSeen]) -> tuple[int, list[str]]:
    """Compare the trades of whole minutes that clients saw with the bars' ``n``."""
    wanted = {
        (symbol.symbol, start_s): count
        for symbol in seen
        for start_s, count in symbol.minutes.items()
        if symbol.first_ns < start_s * 10**9 and symbol.last_ns >= (start_s + _MINUTE_S) * 10**9
    }
    if not wanted:
        return 0, []
    deadline_s = time.monotonic() + _BARS_TIMEOUT_S
    while True:  # bars close `grace` after their end, and are flushed soon after
        stored = _stored(server, sorted({start_s for _, start_s in wanted}))
        if len(stored) >= len(wanted) or time.monotonic() > deadline_s:
            break
        time.sleep(_SAMPLE_S)
    wrong = [
        f"{symbol} {start_s}: {count} trades seen, the bar has {stored.get((symbol, start_s))}"
        for (symbol, start_s), count in wanted.items()
        if stored.get((symbol, start_s)) != count
    ]
    return len(wanted), wrong


def _stored(server: DevServer, starts_s: Sequence[int]) -> dict[tuple[str, int], int]:
    names = [row["symbol"] for row in server.get("/v1/symbols")["symbols"]]
    found: dict[tuple[str, int], int] = {}
    for start_s in starts_s:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start_s))
        for part in range(0, len(names), 100):
            symbols = ",".join(names[part : part + 100])
            query = {"symbols": symbols, "timeframe": "1Min", "start": at, "end": at}
            page = server.get(f"/v1/bars?{urlencode(query)}")
            for symbol, bars in page["bars"].items():
                for bar in bars:
                    found[symbol, start_s] = bar["n"]
    return found
