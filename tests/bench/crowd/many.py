"""Scenario: 50,000 connections on several workers, held for ten minutes."""

import time
from contextlib import ExitStack

from tests.bench.crowd.delivery import wait_until_level
from tests.bench.crowd.figures import Figure, random_sets, section
from tests.bench.crowd.lab import Lab, lab
from tests.bench.crowd.processes import FeederProcess, Swarm
from tests.bench.crowd.schedule import Plan
from tests.bench.section import Section

_SYMBOLS, _EACH, _RATE = 500, 10, 500
_MOST = 17_000  # of one process, below the common limit of 20,000 descriptors
_EXTRA = ',"interval_ms":1000'
_SOURCES = 4  # addresses of each process
_WARM_UP_S = 5.0


def fifty_thousand(quick: bool) -> Section:
    """50,000 connections, a batch a second each."""
    clients, seconds, workers = (5_000, 20.0, 2) if quick else (50_000, 600.0, 4)
    with (
        lab(spread=True) as bench,
        bench.feeder(Plan(symbols=_SYMBOLS, rate=_RATE)) as feeder,
        bench.gateway(workers=workers, anywhere=True) as gateway,
        ExitStack() as stack,
    ):
        swarms = _swarms(stack, bench, gateway.port, feeder, clients)
        feeder.begin()
        time.sleep(_WARM_UP_S)
        for swarm in swarms:
            swarm.reset()
        before, first = gateway.used(), [swarm.report() for swarm in swarms]
        time.sleep(seconds)
        after, last = gateway.used(), [swarm.report() for swarm in swarms]
        spent = after.since(before)
        fed = feeder.stop()
        behind = sum(wait_until_level(swarm, fed) for swarm in swarms)
        final = [swarm.report() for swarm in swarms]
    wrong = behind + sum(r.missing + r.repeated + r.unknown + r.gaps for r in final)
    held = sum(r.subscribed for r in final)
    batches = sum(b.messages - a.messages for a, b in zip(first, last, strict=True)) / spent.seconds
    swarm_cores = sum(b.cpu_s - a.cpu_s for a, b in zip(first, last, strict=True)) / spent.seconds
    figures = [
        Figure("connections held to the end", held, "", 0, clients, True),
        Figure("connections closed", sum(r.closed for r in final), goal=0),
        Figure("lost, repeated or out of order", wrong, goal=0),
        Figure("messages per connection and second", batches / clients, "", 2),
        Figure("latency with the interval, p99", max(r.all.p99_ms for r in last), "ms", 1),
        Figure("gateway, of one core", spent.cores * 100, "%"),
        Figure("of that in user mode", spent.user * 100, "%"),
        Figure("gateway, resident, all processes", after.rss_bytes / 1e6, "MB"),
        Figure("generators, of one core", swarm_cores * 100, "%"),
    ]
    setup = (
        f"{clients:,} connections from {len(swarms) * _SOURCES} addresses to one port with "
        f"{workers} workers, {_EACH} of {_SYMBOLS} symbols each, a batch a second "
        f"(`interval_ms` 1000), {_RATE} ticks/s, {seconds:g} s; gateway, servers and "
        f"{len(swarms)} generator processes share all cores."
    )
    sound = not wrong and all(r.flawless for r in final)
    return section(f"{clients:,} connections", setup, figures, sound=sound)


def _swarms(
    stack: ExitStack, bench: Lab, port: int, feeder: FeederProcess, clients: int
) -> list[Swarm]:
    """As many processes as the descriptors need, at least two; all clients subscribed."""
    processes = max(2, -(-clients // _MOST))
    sets = random_sets(clients, symbols=_SYMBOLS, each=_EACH)
    swarms = []
    for number in range(processes):
        options = {"first_source": 1 + number * _SOURCES, "sources": _SOURCES, "first_id": 1}
        swarm = stack.enter_context(bench.swarm([port], extra=_EXTRA, **options))
        swarm.open(feeder.symbols, [(0, numbers) for numbers in sets[number::processes]])
        swarms.append(swarm)
    for swarm in swarms:
        swarm.wait_subscribed()
    return swarms
