"""What scenarios share that needs no process: subscriptions, intervals, rows of a table."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.section import Section, table


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
