"""Scenario: a tenth of the clients stops reading; what the others notice, and when it is closed."""

import time
from dataclasses import dataclass
from statistics import fmean

from tests.bench.crowd.figures import Figure, random_sets, section
from tests.bench.crowd.lab import Lab, lab
from tests.bench.crowd.processes import FeederProcess, Gateway, Report, Swarm
from tests.bench.crowd.schedule import Plan
from tests.bench.crowd.usage import Watch, send_queues
from tests.bench.fanout.stats import Estimate, ratios
from tests.bench.section import Section
from tests.clocks import wall_ns

_CLIENTS, _SYMBOLS, _EACH, _RATE = 1_000, 500, 20, 20_000
_STALLED = _CLIENTS // 10
_WARM_UP_S = 3.0
_AGE_S = 5.0  # the default of slow_client_age_s
_LINGER_S = 1.0  # then a slow client's connection is cut, see docs/wire-protocol.md
_RECEIVE_BYTES = 16_384  # of those that will stall, in both kinds of run
_LOOK_S = 0.1  # at the kernel's queues
_CLOSED_S = 30.0  # for all that stall to be closed


@dataclass(frozen=True)
class _Closing:
    """Seconds from the age bound to the decision, for each stalled client; and the reasons."""

    late_s: list[float]
    reasons: dict[str, float]
    report: Report


def stalled(quick: bool) -> Section:
    """Paired runs, in turns of order: nobody stalls, or a tenth of the clients does."""
    pairs, seconds = (1, 4.0) if quick else (9, 12.0)
    plan = Plan(symbols=_SYMBOLS, rate=_RATE)
    with lab() as bench, bench.feeder(plan) as feeder, bench.gateway() as gateway:
        feeder.begin()
        found: list[tuple[Report, Report]] = []
        for number in range(pairs):
            order = (False, True) if number % 2 else (True, False)
            runs = {stall: _run(bench, gateway, feeder, seconds, stall) for stall in order}
            found.append((runs[False], runs[True]))
        closing = _closing(bench, gateway, feeder)
        fed = feeder.stop()
    return _section(found, closing, seconds, fed.late_p99_ms)


def _section(
    pairs: list[tuple[Report, Report]], closing: _Closing, seconds: float, feeder_ms: float
) -> Section:
    p99 = [(calm.group0.p99_ms, stalling.group0.p99_ms) for calm, stalling in pairs]
    change = ratios([stalling for _, stalling in p99], [calm for calm, _ in p99])
    late_s = sorted(closing.late_s)
    reports = [report for pair in pairs for report in pair] + [closing.report]
    figures = [
        Figure("p99 of the healthy, change", _percent(change.median), "%", 1, goal=5),
        Figure("p99 of the healthy, nobody stalls", fmean(calm for calm, _ in p99), "ms", 1),
        Figure("p99 of the healthy, 10 % stall", fmean(late for _, late in p99), "ms", 1),
        Figure("stalled clients that were closed", len(late_s), "", 0, _STALLED, True),
        Figure("closed after the age bound, median", late_s[len(late_s) // 2], "s", 2),
        Figure("closed after the age bound, last", late_s[-1], "s", 2, goal=1),
        Figure("healthy: lost, repeated or out of order", sum(map(_wrong, reports)), goal=0),
        Figure("healthy: clients dropped", sum(r.closed for r in reports), goal=0),
        Figure("feeder late, p99", feeder_ms, "ms", 1),
    ]
    setup = _setup(len(pairs), seconds, change, closing)
    sound = all(report.flawless for report in reports)
    return section("Clients that stall", setup, figures, sound=sound, p99_ms=p99)


def _setup(pairs: int, seconds: float, change: Estimate, closing: _Closing) -> str:
    reasons = ", ".join(f"{why}: {count:.0f}" for why, count in closing.reasons.items())
    return (
        f"{_CLIENTS:,} clients with {_EACH} of {_SYMBOLS} symbols each, {_RATE:,} ticks/s. In "
        f"every second run {_STALLED} of them stop reading at once and the next {seconds:g} s are "
        f"measured; {pairs} pairs; the change is the median of the pairs' "
        f"({change.coverage:.0%} interval {_percent(change.low):+.1f} to "
        f"{_percent(change.high):+.1f} %). In one more run each stalled "
        f"client's connection was watched: the age bound ({_AGE_S:g} s) begins when the kernel has "
        f"taken what it can; reasons of the closes: {reasons}."
    )


def _percent(ratio: float) -> float:
    return (ratio - 1) * 100


def _run(
    bench: Lab, gateway: Gateway, feeder: FeederProcess, seconds: float, stall: bool
) -> Report:
    with _clients(bench, gateway, feeder) as swarm:
        swarm.wait_subscribed()
        time.sleep(_WARM_UP_S)
        swarm.reset()
        if stall:
            swarm.stall()
        time.sleep(seconds)
        return swarm.report()


def _closing(bench: Lab, gateway: Gateway, feeder: FeederProcess) -> _Closing:
    watch = Watch()
    with _clients(bench, gateway, feeder) as swarm:
        before = gateway.metrics("gateway_closed_clients_total")
        swarm.wait_subscribed()
        time.sleep(_WARM_UP_S)
        swarm.stall()
        deadline_s = time.monotonic() + _CLOSED_S
        while len(watch.gone_ns) < _STALLED and time.monotonic() < deadline_s:
            watch.look(send_queues(gateway.port), wall_ns())
            time.sleep(_LOOK_S)
        after, report = gateway.metrics("gateway_closed_clients_total"), swarm.report()
    late_s = [
        (gone_ns - watch.changed_ns[peer]) / 1e9 - _AGE_S - _LINGER_S
        for peer, gone_ns in watch.gone_ns.items()
    ]
    reasons = {key: value - before.get(key, 0.0) for key, value in after.items()}
    return _Closing(late_s or [float("inf")], {k: v for k, v in reasons.items() if v}, report)


def _clients(bench: Lab, gateway: Gateway, feeder: FeederProcess) -> Swarm:
    """Opened anew for every run, once those of the run before are gone; always the same sets."""
    gateway.wait_empty()
    sets = random_sets(_CLIENTS, symbols=_SYMBOLS, each=_EACH)
    grouped = [(int(n < _STALLED), numbers) for n, numbers in enumerate(sets)]
    swarm = bench.swarm([gateway.port], receive_bytes=_RECEIVE_BYTES)
    swarm.open(feeder.symbols, grouped)
    return swarm


def _wrong(report: Report) -> int:
    return report.missing + report.repeated + report.unknown + report.gaps
