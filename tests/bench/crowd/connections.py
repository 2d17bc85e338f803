"""Scenarios about connections: what an idle one costs, and how fast they come."""

import time
from dataclasses import dataclass
from hashlib import sha256

from tests.bench.crowd.figures import Figure, random_sets, section, symbol_names
from tests.bench.crowd.lab import Lab, lab
from tests.bench.crowd.processes import Gateway, Report
from tests.bench.section import Section

_SYMBOLS, _EACH = 500, 10
_KEY = {"key": "BENCH1", "secret": "a-secret-of-usual-length-4f8a2c"}
_API_KEYS = f"{_KEY['key']}:{sha256(_KEY['secret'].encode()).hexdigest()}"
_SETTLE_S = 5.0
_PING_S = 25.0
_SOURCES = 16  # 127.0.0.1 to .16


@dataclass(frozen=True)
class _Idle:
    report: Report
    base_bytes: int
    bytes: int
    base_cores: float
    cores: float


def idle(quick: bool) -> Section:
    """What connections cost that are authenticated and subscribed, and get nothing."""
    clients, seconds = 10_000, 20.0 if quick else 60.0
    different = random_sets(clients, symbols=_SYMBOLS, each=_EACH)
    with lab() as bench:
        found = _idle(bench, different, seconds)
        equal = _idle(bench, [different[0]] * clients, 0.0)
    per_s = (found.cores - found.base_cores) / clients * 1e6
    each = (found.bytes - found.base_bytes) / clients / 1024
    figures = [
        Figure("resident per connection, every set another", each, "KiB", 2, goal=6),
        Figure("the same, all sets equal", _kib_each(equal, clients), "KiB", 2),
        Figure("processor time per connection and second", per_s, "µs", 2, goal=2),
        Figure("gateway without clients, resident", found.base_bytes / 1e6, "MB", 1),
        Figure("gateway without clients, of one core", found.base_cores * 100, "%", 2),
        Figure("gateway with all of them, of one core", found.cores * 100, "%", 2),
        Figure("clients dropped", found.report.closed, goal=0),
    ]
    setup = (
        f"{clients:,} connections from {_SOURCES} addresses, authenticated, {_EACH} of {_SYMBOLS} "
        f"symbols each; nothing is published; default heartbeats, pings each {_PING_S:g} s; "
        f"{seconds:g} s. Resident memory and processor time are what the gateway takes beyond a "
        "gateway without clients."
    )
    sound = found.report.flawless and equal.report.flawless
    return section("Idle connections", setup, figures, sound=sound, pings=found.report.pings)


def _kib_each(found: _Idle, clients: int) -> float:
    return (found.bytes - found.base_bytes) / clients / 1024


def _idle(bench: Lab, sets: list[list[int]], seconds: float) -> _Idle:
    with bench.gateway(api_keys=_API_KEYS) as gateway:
        time.sleep(_SETTLE_S)
        base_cores, base_bytes = _cores(gateway, seconds / 3), gateway.used().rss_bytes
        with bench.swarm([gateway.port], first_source=1, sources=_SOURCES, **_KEY) as swarm:
            swarm.open(symbol_names(_SYMBOLS), [(0, numbers) for numbers in sets])
            swarm.wait_subscribed()
            time.sleep(_SETTLE_S)
            cores = _cores(gateway, seconds)
            used = gateway.used()
            return _Idle(swarm.report(), base_bytes, used.rss_bytes, base_cores, cores)


def _cores(gateway: Gateway, seconds: float) -> float:
    if not seconds:
        return 0.0
    before = gateway.used()
    time.sleep(seconds)
    return gateway.used().since(before).cores


def handshakes(quick: bool) -> Section:
    """Handshake, authentication and subscription, one after the other."""
    clients, rounds, in_flight = 2_000 if quick else 10_000, 1 if quick else 5, 64
    sets = [(0, numbers) for numbers in random_sets(clients, symbols=_SYMBOLS, each=_EACH)]
    with lab() as bench:
        found = [_handshakes(bench, sets, in_flight) for _ in range(rounds)]
    found.sort(key=lambda one: one.cpu_s)
    middle = found[len(found) // 2]
    figures = [
        Figure("per core-second of the gateway", clients / middle.cpu_s, "", 0, 3_000, True),
        Figure("processor time of each", middle.cpu_s / clients * 1e6, "µs"),
        Figure("of that in user mode", middle.user_s / clients * 1e6, "µs"),
        Figure("per second of wall-clock time", clients / middle.wall_s),
        Figure("clients dropped", sum(one.report.closed for one in found), goal=0),
    ]
    setup = (
        f"{clients:,} connections, {in_flight} at a time: upgrade, `connected`, authentication, "
        f"subscription to {_EACH} of {_SYMBOLS} symbols (every set another), each step after the "
        f"answer to the one before; the median of {rounds} rounds, each with a new gateway."
    )
    sound = all(one.report.flawless for one in found)
    return section("Handshakes", setup, figures, sound=sound)


@dataclass(frozen=True)
class _Handshakes:
    report: Report
    cpu_s: float
    user_s: float
    wall_s: float


def _handshakes(bench: Lab, sets: list[tuple[int, list[int]]], in_flight: int) -> _Handshakes:
    options: dict[str, object] = {"first_source": 1, "sources": _SOURCES, "in_flight": in_flight}
    with (
        bench.gateway(api_keys=_API_KEYS) as gateway,
        bench.swarm([gateway.port], **options, **_KEY) as swarm,
    ):
        before = gateway.used()
        swarm.open(symbol_names(_SYMBOLS), sets)
        report = swarm.wait_subscribed()
        cpu = before.reading.until(gateway.used().reading)
    return _Handshakes(
        report=report,
        cpu_s=cpu.total_s,
        user_s=cpu.user_s,
        wall_s=(report.subscribed_ns - report.opened_ns) / 1e9,
    )
