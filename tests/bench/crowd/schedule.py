"""When which symbol ticks: an open-loop schedule, made while it is played. Pure."""

import heapq
import random
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

SECOND_NS = 1_000_000_000
_MS_NS = 1_000_000


class Due(NamedTuple):
    """A tick's time, when it is to be written, and its symbol's number."""

    write_ns: int
    event_ns: int
    symbol: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Steady ticks take turns over the first symbols, ``rate`` of them a second.

    They are written together at the end of each slot, as an ingest collects them into blocks.
    The ``quiet`` symbols behind those tick alone, at random times, and are written at once.
    """

    symbols: int
    rate: float  # ticks a second over all steady symbols; 0: none
    slot_ms: float = 5.0
    quiet: int = 0  # symbols
    quiet_gap_s: tuple[float, float] = (0.35, 0.65)  # between two ticks of one of them
    seed: int = 1

    @property
    def all_symbols(self) -> int:
        return self.symbols + self.quiet


def dues(plan: Plan, start_ns: int) -> Iterator[Due]:
    """All ticks from *start_ns* on, in order of writing; without end."""
    quiet = (_quiet(plan, start_ns, plan.symbols + number) for number in range(plan.quiet))
    return heapq.merge(_steady(plan, start_ns), *quiet)


def _steady(plan: Plan, start_ns: int) -> Iterator[Due]:
    slot_ns = int(plan.slot_ms * _MS_NS)
    number = 0
    while plan.rate:
        offset_ns = int(number * SECOND_NS / plan.rate)
        write_ns = start_ns + (offset_ns // slot_ns + 1) * slot_ns
        yield Due(write_ns, start_ns + offset_ns, number % plan.symbols)
        number += 1


def _quiet(plan: Plan, start_ns: int, symbol: int) -> Iterator[Due]:
    draw = random.Random(plan.seed * 1_000 + symbol)
    at_ns = start_ns
    while True:
        at_ns += int(draw.uniform(*plan.quiet_gap_s) * SECOND_NS)
        yield Due(at_ns, at_ns, symbol)
