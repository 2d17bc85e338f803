"""Scenario: the gateway is killed under load; every client comes back with its cursor."""

import math
import time
from collections import Counter
from dataclasses import dataclass

from tests.bench.crowd.delivery import wait_until_level
from tests.bench.crowd.figures import Figure, neighbour_sets, section
from tests.bench.crowd.lab import Lab, lab
from tests.bench.crowd.processes import FeederProcess, Gateway, Report, Swarm
from tests.bench.crowd.schedule import Plan
from tests.bench.crowd.statements import StatementLog
from tests.bench.section import Section
from tests.clocks import wall_ns

_CLIENTS, _SYMBOLS, _EACH, _RATE = 10_000, 500, 5, 2_000
_RUN_S = 3.0  # before the kill, and after the return
_PATIENCE_S = 60.0
_RETRY_MS = 200  # of each client whose attempt is refused
_PING = "SELECT 1"  # each second, whether the database is there


@dataclass(frozen=True)
class _Comeback:
    report: Report
    behind: int
    subscribed_s: float  # after the kill, the last client
    live_s: float
    ready_s: float  # the new gateway
    extra_statements: Counter[str]  # beyond those of a start without clients


def resume(quick: bool) -> Section:
    """Kill -9, start again on the same port; 10,000 clients resume."""
    rounds = 1 if quick else 5
    with lab() as bench:
        found = [_comeback(bench) for _ in range(rounds)]
    last = max(found, key=lambda one: one.live_s)
    reports = [one.report for one in found]
    wrong = sum(r.missing + r.repeated + r.unknown for r in reports)
    behind = sum(one.behind for one in found)
    read = sum(sum(one.extra_statements.values()) for one in found)
    figures = [
        Figure("kill to the last client live", last.live_s, "s", 2, goal=10),
        Figure("kill to the last client subscribed", last.subscribed_s, "s", 2),
        Figure("kill to the new gateway ready", last.ready_s, "s", 2),
        Figure("lost, repeated or out of order", wrong + behind, goal=0),
        Figure("told of a gap", sum(r.gaps for r in reports), goal=0),
        Figure("came back without a cursor", sum(r.no_cursor for r in reports), goal=0),
        Figure("statements beyond those of a start without clients", read, goal=0),
        Figure("attempts to connect that were refused", last.report.refused),
    ]
    setup = (
        f"{_CLIENTS:,} clients with {_EACH} of {_SYMBOLS} symbols each, "
        f"{_SYMBOLS} different sets, {_RATE:,} ticks/s. One "
        "gateway on all cores is killed (SIGKILL) and started again on its port; every client "
        f"connects again, all at once, when refused each {_RETRY_MS} ms, and resumes from its "
        "newest cursor. Live is who has had a trade newer than its own subscription. "
        f"The slowest of {rounds} rounds."
    )
    sound = not (wrong or behind or read) and all(not (r.errors or r.gaps) for r in reports)
    return section("10,000 clients come back", setup, figures, sound=sound)


def _comeback(bench: Lab) -> _Comeback:
    statements = StatementLog(bench.database_log, bench.database_url)
    statements.start()
    alone = _start_alone(bench, statements)
    plan = Plan(symbols=_SYMBOLS, rate=_RATE)
    options: dict[str, object] = {"resume": 1, "extra": ',"cursor":true', "first_id": 1}
    options["retry_ms"] = _RETRY_MS
    with (
        bench.feeder(plan) as feeder,
        bench.gateway(anywhere=True) as gateway,
        bench.swarm([gateway.port], in_flight=_CLIENTS, **options) as swarm,
    ):
        _run_up(feeder, swarm)
        start = statements.position
        killed_ns = wall_ns()
        gateway.kill()
        gateway.start()
        gateway.wait_ready()
        ready_s = (wall_ns() - killed_ns) / 1e9
        report, back = _wait_for_all(swarm)
        time.sleep(_RUN_S)
        asked = statements.between(start, statements.position)
        behind = wait_until_level(swarm, feeder.stop())
        final = swarm.report()
    return _Comeback(
        report=final,
        behind=behind,
        subscribed_s=(report.subscribed_ns - killed_ns) / 1e9,
        live_s=(report.current_ns - killed_ns) / 1e9 if back else math.inf,
        ready_s=ready_s,
        extra_statements=beyond_a_start(asked, alone),
    )


def beyond_a_start(asked: Counter[str], alone: Counter[str]) -> Counter[str]:
    """What was *asked* that a start alone does not ask, or not as often; pings do not count."""
    return Counter({text: n for text, n in (asked - alone).items() if text != _PING})


def _run_up(feeder: FeederProcess, swarm: Swarm) -> None:
    sets = neighbour_sets(_CLIENTS, symbols=_SYMBOLS, each=_EACH)
    swarm.open(feeder.symbols, [(0, numbers) for numbers in sets])
    swarm.wait_subscribed()
    feeder.begin()
    swarm.wait(lambda r: r.current == r.clients, timeout_s=_PATIENCE_S)
    time.sleep(_RUN_S)


def _wait_for_all(swarm: Swarm) -> tuple[Report, bool]:
    """Wait until every client has come back and is live, and whether that is so in time."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        report = swarm.report()
        if report.returned >= report.clients and report.current == report.clients:
            return report, True
        if time.monotonic() > deadline_s:
            return report, False
        time.sleep(0.05)


def _start_alone(bench: Lab, statements: StatementLog) -> Counter[str]:
    """What a gateway asks the database for when it starts and nobody comes."""
    start = statements.position
    with bench.gateway() as gateway:
        _look(gateway)
        return statements.between(start, statements.position)


def _look(gateway: Gateway) -> None:
    """As the scenario does: readiness is asked for, and some seconds go by."""
    gateway.wait_ready()
    time.sleep(_RUN_S)
