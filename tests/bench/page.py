"""docs/benchmarks.md: what was measured goes between two marks, the text around them stays."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import folding
from tests.bench.folding import FlushCost, FoldSpeed
from tests.bench.micro import MicroResult
from tests.bench.startup import StartResult
from tests.bench.system import CLIENTS, RATE, SLOPE_S, SYMBOLS, SYMBOLS_EACH, SystemResult

BEGIN = "<!-- written by make bench: begin -->"
END = "<!-- written by make bench: end -->"
_ROOT = Path(__file__).parents[2]
_FOLD_SYMBOLS, _FOLD_GOAL, _SHARE_GOAL = 500, 5e6, 0.1
_GOALS = {"p99_ms": 150.0, "rss_mb": 300.0, "slope": 1.0, "start_s": 5.0}


def put_between_marks(page: str, text: str, *, begin: str = BEGIN, end: str = END) -> str:
    """*page* with *text* between the marks *begin* and *end*.

    Raises:
        ValueError: the page has not both marks, in order.
    """
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"the page needs the lines {begin} and {end}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


@dataclass(frozen=True)
class Parts:
    """What single parts do, each on one core."""

    micro: Sequence[MicroResult]
    folding: Sequence[FoldSpeed]
    flush: FlushCost


def render(system: SystemResult, start: StartResult, parts: Parts, *, day: str) -> str:
    """All sections, as Markdown; *day* in ISO form."""
    return "\n\n".join(
        [
            conditions(day, f"make bench BENCH_SECONDS={system.seconds:g}"),
            "### The whole system\n\n" + _load(system.seconds) + "\n\n" + _system(system, start),
            "### Processes during that run\n\n" + _processes(system),
            "### Streams to bars, one core\n\n" + streams_to_bars(parts.folding, parts.flush),
            "### Other single parts, one core\n\n" + _micro(parts.micro),
        ]
    )


def conditions(day: str, command: str) -> str:
    """When, of what, how and where it was measured; *day* in ISO form."""
    return (
        f"Measured {day} at commit {_commit()} with `{command}`, "
        f"{platform.python_implementation()} {platform.python_version()}, on {_cpu()}, "
        f"{len(os.sched_getaffinity(0))} cores, {_memory_gib():.0f} GiB, Linux "
        f"{platform.release().partition('-')[0]}."
    )


def _load(seconds: float) -> str:
    return (
        f"`tickgate dev` with its embedded servers, the simulation at {RATE:,} ticks/s over "
        f"{SYMBOLS} symbols, {CLIENTS} WebSocket clients with {SYMBOLS_EACH} symbols each (JSON, "
        f"100 ms batches), {seconds:g} s. Servers, roles and clients share the cores. Latency is "
        "from a trade's event time, which the simulation sets when it emits it, to the client's "
        "read; half a batch window of it is waiting for the batch."
    )


def _system(system: SystemResult, start: StartResult) -> str:
    fanout = system.fanout
    lost = fanout.missing + fanout.repeated + fanout.unknown
    rows = [
        ("trades delivered", f"{fanout.measured / system.seconds:,.0f} /s", "", True),
        ("lost, repeated or out of order", f"{lost}", "0", lost == 0),
        ("clients dropped", f"{fanout.closed}", "0", fanout.closed == 0),
        *_bars_row(system),
        ("latency p50", f"{fanout.p50_ms:.1f} ms", "", True),
        _at_most("latency p99", fanout.p99_ms, _GOALS["p99_ms"], "ms"),
        ("latency p99.9", f"{fanout.p999_ms:.1f} ms", "", True),
        ("latency, largest", f"{fanout.max_ms:.1f} ms", "", True),
        _at_most("memory of all Python processes, resident", system.rss_mb, _GOALS["rss_mb"], "MB"),
        ("the same, shared pages divided (Pss)", f"{system.pss_mb:.1f} MB", "", True),
        _at_most(
            f"its slope over the last {SLOPE_S} s",
            system.slope_mb_per_min,
            _GOALS["slope"],
            "MB/min",
        ),
        _at_most("start to the first tick, new directory", start.new_s, _GOALS["start_s"], "s"),
        _at_most("start to the first tick, again", start.again_s, _GOALS["start_s"], "s"),
    ]
    return _table(("what", "measured", "goal", ""), [_row(*row) for row in rows])


def _bars_row(system: SystemResult) -> list[tuple[str, str, str, bool]]:
    if not system.bars_checked:
        return []
    wrong = len(system.bars_wrong)
    measured = f"{wrong} of {system.bars_checked}"
    return [("1-minute bars that differ from what clients saw", measured, "0", wrong == 0)]


def _at_most(what: str, value: float, goal: float, unit: str) -> tuple[str, str, str, bool]:
    return what, f"{value:.1f} {unit}", f"≤ {goal:g} {unit}", value <= goal


def _row(what: str, measured: str, goal: str, met: bool) -> tuple[str, ...]:
    return what, measured, goal, ("met" if met else "**missed**") if goal else ""


def _processes(system: SystemResult) -> str:
    rows = [
        (name, f"{cores * 100:.0f} %", f"{system.memory[name]:.0f} MB")
        for name, cores in sorted(system.cpu.items())
    ]
    rows.append(("load generator", f"{system.fanout.cpu_s / system.seconds * 100:.0f} %", ""))
    return _table(("process", "of one core", "resident"), rows)


def streams_to_bars(speeds: Sequence[FoldSpeed], flush: FlushCost) -> str:
    """What folding costs, as Markdown."""
    rows = [
        _row(
            f"{speed.symbols:,}",
            f"{speed.median / 1e6:.1f} ({speed.slowest / 1e6:.1f} to {speed.fastest / 1e6:.1f})",
            f"≥ {_FOLD_GOAL / 1e6:g}" if speed.symbols == _FOLD_SYMBOLS else "",
            speed.median >= _FOLD_GOAL,
        )
        for speed in speeds
    ]
    least, most = (share * 100 for share in flush.spread)
    cost = _table(
        ("processor time of a minute of 500 symbols", "measured", "goal", ""),
        [
            _row("decode, de-duplicate and fold", f"{flush.bare_s:.2f} s", "", True),
            _row(
                "the same with flushes, in the same thread",
                f"{flush.flushed_s:.2f} s: {flush.share * 100:.1f} % more"
                f" ({least:.0f} to {most:.0f} %)",
                f"≤ {_SHARE_GOAL * 100:g} % more",
                flush.share <= _SHARE_GOAL,
            ),
            _row(
                "compress the tick log, and all statements, in other threads",
                f"{flush.aside_s:.2f} s",
                "",
                True,
            ),
        ],
    )
    return (
        f"A backlog of full blocks from {folding.SHARDS} streams, {folding.RATE:,} ticks/s of the "
        "market, trades in no order of symbols, each with an id: decoded, de-duplicated and folded "
        "into 1, 5 and 15 minutes. Million ticks a second of processor time, median (slowest to "
        "fastest round).\n\n"
        + _table(("symbols", "M ticks/s", "goal", ""), rows)
        + "\n\nThe bars, checkpoints and ticks of such a market go into PostgreSQL (embedded, on "
        "the same machine) at the pace of the aggregator: checkpoints each 5 s, bars when they "
        "close. The same reads are folded with and without, with the same waits between them "
        "(a pause alone makes what follows 4 % slower); the thread that folds has a core of its "
        "own.\n\n" + cost
    )


def _micro(micro: Sequence[MicroResult]) -> str:
    rows = [(result.what, f"{result.ticks_per_s:,.0f}") for result in micro]
    return _table(("what", "ticks/s"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short=10", "HEAD") or "unknown"
    return f"`{commit}`" + (" (with changes)" if git("status", "--porcelain", "-uno") else "")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
