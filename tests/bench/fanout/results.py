"""What rounds of samples say: medians, ratios within a round, and what went wrong. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.bench.fanout.measure import Sample
from tests.bench.fanout.stats import Estimate, estimate, median, ratios

_DISTURBED = 0.05  # of the window: more than this of other work on the server's core

Value = Callable[[Sample], float]


@dataclass(frozen=True)
class Results:
    """All samples of a run; ``missing`` tells by contender why it was never started."""

    samples: list[Sample] = field(default_factory=list)
    failures: list[tuple[str, str, str]] = field(default_factory=list)  # contender, work, why
    missing: dict[str, str] = field(default_factory=dict)

    def of(self, contender: str, work: str) -> "Row":
        """The samples of one server under one load."""
        found = [s for s in self.samples if (s.contender, s.work) == (contender, work)]
        return Row([s for s in found if s.valid], [s for s in found if not s.valid])

    def ratio(self, value: Value, over: tuple[str, str], under: tuple[str, str]) -> Estimate | None:
        """*value* of the row *over* by that of *under*, round by round; None without both."""
        first = {s.round: value(s) for s in self.of(*over).samples}
        second = {s.round: value(s) for s in self.of(*under).samples}
        rounds = sorted(first.keys() & second.keys())
        if not rounds:
            return None
        return ratios([first[n] for n in rounds], [second[n] for n in rounds])

    @property
    def disturbed(self) -> int:
        """Samples beside which something else took much of the server's core."""
        return sum(s.others_s + s.steal_s > _DISTURBED * s.seconds for s in self.samples)


@dataclass(frozen=True)
class Row:
    """The samples of one server under one load; ``invalid``: the clients were too busy."""

    samples: list[Sample]
    invalid: list[Sample]

    def median(self, value: Value) -> float:
        """Over the valid rounds."""
        return median([value(s) for s in self.samples])

    def estimate(self, value: Value) -> Estimate:
        """As :meth:`median`, with its interval."""
        return estimate([value(s) for s in self.samples])

    @property
    def lost(self) -> int:
        """Over all rounds, valid or not."""
        return sum(s.lost for s in (*self.samples, *self.invalid))

    @property
    def behind(self) -> int:
        """Rounds in which the server did not keep up."""
        return sum(not s.sustained for s in self.samples)
