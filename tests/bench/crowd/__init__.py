"""Scenarios with very many clients of one gateway: part of `make bench-fanout`."""

from collections.abc import Callable

from tests.bench.crowd import comeback, connections, delivery, many, slow
from tests.bench.section import Section

Scenario = Callable[[bool], Section]

SCENARIOS: dict[str, Scenario] = {
    "crowd": delivery.crowd,
    "quiet": delivery.quiet,
    "idle": connections.idle,
    "handshakes": connections.handshakes,
    "stalled": slow.stalled,
    "resume": comeback.resume,
    "fifty_thousand": many.fifty_thousand,
}


def sections(quick: bool) -> list[Section]:
    """Every scenario, one after the other; *quick* ones are shorter, and no measurement."""
    return [scenario(quick) for scenario in SCENARIOS.values()]
