"""Campaign: many seeds of many faults, several at a time; each result is kept at once."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults import report
from tests.faults.kinds import FAULTS, Rig
from tests.faults.seeds import COMPLETE_S, Outcome, run_seed
from tests.faults.servers import NotPermitted, Servers, running_servers


class Seed(NamedTuple):
    """One thing to do; ``without`` names a part that is taken out of the program."""

    fault: str
    number: int
    without: str = ""

    @property
    def on_small_disk(self) -> bool:
        return FAULTS[self.fault].rig is Rig.SMALL_DISK


class Campaign:
    """Works through seeds in lanes; each lane has servers of its own, and one seed at a time."""

    def __init__(
        self,
        seeds: Iterable[Seed],
        *,
        results: Path | None = None,
        complete_s: float = COMPLETE_S,
        tell: Callable[[str], None] = print,
    ) -> None:
        """*results*: a folder for results and for the logs of failed seeds.

        *complete_s*: how long everything may take to be there after a fault.
        """
        self.outcomes: dict[Seed, Outcome] = {}
        self.not_permitted: dict[str, str] = {}
        self._results, self._complete_s, self._tell = results, complete_s, tell
        todo = list(seeds)
        self._total = len(todo)
        todo.reverse()  # taken from the end
        self._small = [seed for seed in todo if seed.on_small_disk]
        self._usual = [seed for seed in todo if not seed.on_small_disk]

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes.values() if not outcome.passed]

    async def run(self, lanes: int) -> None:
        """Until all are done."""
        async with asyncio.TaskGroup() as group:
            for number in range(lanes):
                group.create_task(self._lane(number))

    async def _lane(self, number: int) -> None:
        if not number and self._small:
            await self._on_small_disk()
        if self._usual:
            async with running_servers() as servers:
                await self._work(self._usual, servers)

    async def _on_small_disk(self) -> None:
        names = {seed.fault for seed in self._small}
        try:
            async with running_servers(small_disk=True) as servers:
                await self._work(self._small, servers)
        except NotPermitted as exc:
            for name in names:
                self.not_permitted[name] = str(exc)
                if self._results is not None:
                    report.note_not_permitted(self._results, name, str(exc))
            self._tell(f"not run, not permitted here: {', '.join(names)}: {exc}")

    async def _work(self, todo: list[Seed], servers: Servers) -> None:
        while todo:
            seed = todo.pop()
            outcome = await run_seed(
                FAULTS[seed.fault],
                seed.number,
                servers,
                without=seed.without,
                complete_s=self._complete_s,
                keep=self._results,
            )
            self.outcomes[seed] = outcome
            if self._results is not None and not seed.without:
                report.add(self._results, outcome)
            self._tell(f"{len(self.outcomes):>4}/{self._total} {outcome}")


def seeds_of(names: Sequence[str], numbers: Iterable[int]) -> list[Seed]:
    """All *numbers* of each of the faults *names*."""
    wanted = list(numbers)
    return [Seed(name, number) for name in names for number in wanted]
