"""Scenarios about delivery: a crowd under load; a symbol that was quiet."""

import time
from dataclasses import dataclass, replace

from tests.bench.crowd.feeder import Fed
from tests.bench.crowd.figures import Figure, neighbour_sets, random_sets, section
from tests.bench.crowd.lab import Lab, lab
from tests.bench.crowd.processes import FeederProcess, Gateway, Report, Swarm
from tests.bench.crowd.schedule import Plan
from tests.bench.crowd.usage import Spent
from tests.bench.section import Section

_SYMBOLS, _EACH = 500, 20
_RATE = 5_000
_WARM_UP_S = 3.0
_SETTLE_S = 15.0  # for the last trades to arrive


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measurement under load; ``behind``: trades that clients lacked in the end."""

    report: Report
    fed: Fed
    behind: int
    spent: Spent
    rss_bytes: int
    rate: float  # deliveries a second while it was measured
    swarm_cores: float

    @property
    def sound(self) -> bool:
        return self.report.flawless and not self.behind

    def figures(self) -> list[Figure]:
        """What every such run shows."""
        lost = self.report.missing + self.report.repeated + self.report.unknown
        spent = self.spent
        return [
            Figure("lost, repeated or out of order", lost, goal=0),
            Figure(f"not there {_SETTLE_S:g} s after the end", self.behind, goal=0),
            Figure("clients dropped", self.report.closed, goal=0),
            Figure("trades delivered", self.rate, "/s"),
            Figure("gateway, of its core", spent.cores * 100, "%"),
            Figure("of that in user mode", spent.user * 100, "%"),
            Figure("others, of the same core", spent.others * 100, "%"),
            Figure("deliveries per core-second", self.rate / spent.cores),
            Figure("gateway, resident", self.rss_bytes / 1e6, "MB"),
        ]


def run_load(gateway: Gateway, swarm: Swarm, feeder: FeederProcess, seconds: float) -> Run:
    """Feed for *seconds* after a warm-up; every client has subscribed before the first tick."""
    swarm.wait_subscribed()
    feeder.begin()
    time.sleep(_WARM_UP_S)
    swarm.reset()
    before, first = gateway.used(), swarm.report()
    time.sleep(seconds)
    after, last = gateway.used(), swarm.report()
    spent = after.since(before)
    fed = feeder.stop()
    behind = wait_until_level(swarm, fed)
    return Run(
        report=last_of(last, swarm.report()),
        fed=fed,
        behind=behind,
        spent=spent,
        rss_bytes=after.rss_bytes,
        rate=(last.deliveries - first.deliveries) / spent.seconds,
        swarm_cores=(last.cpu_s - first.cpu_s) / spent.seconds,
    )


def last_of(measured: Report, final: Report) -> Report:
    """The counts of the end with the latencies of the measured stretch."""
    latencies = {name: getattr(measured, name) for name in ("all", "group0", "group1")}
    fields = {name: getattr(final, name) for name in final.__struct_fields__}
    return Report(**{**fields, **latencies})


def wait_until_level(swarm: Swarm, fed: Fed) -> int:
    """Trades that clients still lack when nothing more comes; 0 as soon as they have all."""
    deadline_s = time.monotonic() + _SETTLE_S
    while (behind := swarm.behind(fed.last_ids)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return behind


def crowd(quick: bool) -> Section:
    """10,000 clients with 20 of 500 symbols each; 5,000 ticks a second; one worker."""
    clients, seconds = 10_000, 10.0 if quick else 30.0
    size = {"symbols": _SYMBOLS, "each": _EACH}
    kinds = {
        "500 different sets": neighbour_sets(clients, **size),
        "every set another": random_sets(clients, **size),
    }
    figures, sound, latencies = [], True, {}
    for kind, sets in kinds.items():
        with lab() as bench:
            run = _crowd(bench, sets, seconds)
        figures += [
            replace(figure, what=f"{kind}: {figure.what}") for figure in _crowd_figures(run)
        ]
        sound &= run.sound
        latencies[kind] = run.report.all
    setup = (
        f"{clients:,} clients with {_EACH} of {_SYMBOLS} symbols each; {_RATE:,} ticks/s through "
        f"the streams; one worker; {seconds:g} s. Either 20 clients at a time have the same "
        "symbols, or no two clients have. Latency is from the time at which a tick was due to the "
        "client's read."
    )
    return section("A crowd of clients", setup, figures, sound=sound, latencies=latencies)


def _crowd_figures(run: Run) -> list[Figure]:
    latency = run.report.all
    return [
        Figure("latency p50", latency.p50_ms, "ms", 1),
        Figure("latency p99", latency.p99_ms, "ms", 1, goal=150),
        Figure("latency p99.9", latency.p999_ms, "ms", 1),
        Figure("latency, largest", latency.max_ms, "ms", 1),
        *run.figures(),
        Figure("feeder late, p99", run.fed.late_p99_ms, "ms", 1),
        Figure("generator, of its core", run.swarm_cores * 100, "%"),
    ]


def _crowd(bench: Lab, sets: list[list[int]], seconds: float) -> Run:
    with (
        bench.feeder(Plan(symbols=_SYMBOLS, rate=_RATE)) as feeder,
        bench.gateway() as gateway,
        bench.swarm([gateway.port], first_id=1) as swarm,
    ):
        swarm.open(feeder.symbols, [(0, numbers) for numbers in sets])
        return run_load(gateway, swarm, feeder, seconds)


def quiet(quick: bool) -> Section:
    """A symbol's first update after silence, while light traffic goes on elsewhere."""
    seconds, others, symbols, each = 5.0 if quick else 30.0, 100, 20, 5
    plan = Plan(symbols=100, rate=500, quiet=symbols)
    sets = [(0, numbers) for numbers in random_sets(others, symbols=plan.symbols, each=_EACH)]
    sets += [(1, [plan.symbols + n % symbols]) for n in range(symbols * each)]
    with (
        lab() as bench,
        bench.feeder(plan) as feeder,
        bench.gateway() as gateway,
        bench.swarm([gateway.port], first_id=1) as swarm,
    ):
        swarm.open(feeder.symbols, sets)
        run = run_load(gateway, swarm, feeder, seconds)
    latency = run.report.group1
    figures = [
        Figure("updates after silence", latency.count, goal=300, at_least=True),
        Figure("tick in to read, p50", latency.p50_ms, "ms", 2),
        Figure("tick in to read, p99", latency.p99_ms, "ms", 2, goal=10),
        Figure("tick in to read, largest", latency.max_ms, "ms", 2),
        *run.figures()[:3],
        Figure("feeder late, p99", run.fed.late_p99_ms, "ms", 2),
    ]
    low_s, high_s = plan.quiet_gap_s
    setup = (
        f"{symbols} symbols tick {low_s * 1000:g} to {high_s * 1000:g} ms apart, at random; each "
        f"has {each} clients that listen to nothing else. Meanwhile {plan.rate:g} ticks/s go to "
        f"{others} other clients. Measured from when the tick was due to be written to Redis."
    )
    return section("A quiet symbol's update", setup, figures, sound=run.sound)
