"""What scenarios share that needs no process: subscriptions, intervals, rows of a table."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.section import Section, table

# Student's t, 97.5 %, by degrees of freedom; beyond the table the normal distribution's.
_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_T_FAR = 1.96


@dataclass(frozen=True)
class Change:
    """A relative change and the ends of its 95 % interval; 0.05 is 5 % more."""

    mean: float
    low: float
    high: float


def change_of_pairs(pairs: Sequence[tuple[float, float]]) -> Change:
    """From pairs of (before, after): the geometric mean of the ratios, minus 1.

    One pair has no interval: its ends are infinite.

    Source: Student's t interval on the logarithms of the ratios.
    """
    logs = [math.log(after / before) for before, after in pairs]
    mean = sum(logs) / len(logs)
    if len(logs) == 1:
        return Change(math.expm1(mean), -math.inf, math.inf)
    variance = sum((log - mean) ** 2 for log in logs) / (len(logs) - 1)
    freedom = len(logs) - 1
    t = _T_975[freedom - 1] if freedom <= len(_T_975) else _T_FAR
    half = t * math.sqrt(variance / len(logs))
    return Change(math.expm1(mean), math.expm1(mean - half), math.expm1(mean + half))


def random_sets(clients: int, *, symbols: int, each: int, seed: int = 1) -> list[list[int]]:
    """For every client *each* different ones of *symbols*, drawn evenly."""
    draw = random.Random(seed)
    return [draw.sample(range(symbols), each) for _ in range(clients)]


def neighbour_sets(clients: int, *, symbols: int, each: int) -> list[list[int]]:
    """For every client *each* neighbours in a circle of *symbols*: as many different sets."""
    circle = [[(first + n) % symbols for n in range(each)] for first in range(symbols)]
    return [circle[client % symbols] for client in range(clients)]


def symbol_names(count: int) -> list[str]:
    """As long as those of real venues."""
    return [f"BENCH:S{number:03}-USD" for number in range(count)]


@dataclass(frozen=True)
class Figure:
    """One row: *goal* is the largest value that meets it, or the least where ``at_least``."""

    what: str
    value: float
    unit: str = ""
    digits: int = 0
    goal: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        if self.goal is None:
            return True
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def row(self) -> tuple[str, ...]:
        measured = f"{self.value:,.{self.digits}f} {self.unit}".strip()
        if self.goal is None:
            return self.what, measured, "", ""
        sign = "≥" if self.at_least else "≤"
        bound = f"{sign} {self.goal:,g} {self.unit}".strip() if self.goal else "0"
        return self.what, measured, bound, "met" if self.met else "**missed**"


def section(
    title: str, setup: str, figures: Sequence[Figure], *, sound: bool, **more: object
) -> Section:
    """A section whose text is *setup* and the table of *figures*."""
    rows = [figure.row() for figure in figures]
    text = setup + "\n\n" + table(("what", "measured", "goal", ""), rows)
    values = {figure.what: figure.value for figure in figures}
    return Section(title, text, {**values, **more}, sound)
