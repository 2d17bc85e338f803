"""`python -m tests.faults`: every fault with many seeds; says which failed, writes the table.

Exit codes: 0 all is exact and every seed hit, 1 something is not.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults import report
from tests.faults.kinds import FAULTS, Rig
from tests.faults.seeds import Outcome, run_seed
from tests.faults.servers import NotPermitted, running_servers

SEEDS = 20
_LANES = 3
_RESULTS = Path("test-results") / "faults"


def main(words: Sequence[str] | None = None) -> int:
    options = _options(words)
    names = options.faults or list(FAULTS)
    if unknown := [name for name in names if name not in FAULTS]:
        print(f"no fault {', '.join(unknown)}; there are: {' '.join(FAULTS)}", file=sys.stderr)
        return 2
    if not os.environ.get("TEST_MARKET_DATA"):
        print("TEST_MARKET_DATA must name the folder of real market data", file=sys.stderr)
        return 2
    options.results.mkdir(parents=True, exist_ok=True)
    seeds = range(options.first, options.first + options.seeds)
    campaign = Campaign(names, seeds, options.results)
    began_s = time.monotonic()
    try:
        asyncio.run(campaign.run(options.lanes))
    finally:
        report.save(options.results, campaign.outcomes, campaign.not_permitted)
    minutes = (time.monotonic() - began_s) / 60
    print(f"\n{len(campaign.outcomes)} seeds in {minutes:.1f} minutes")
    print(report.table(report.load(options.results)))
    if options.write:
        report.write_page(report.load(options.results))
    failed = [outcome for outcome in campaign.outcomes if not outcome.passed]
    print("\n".join(str(outcome) for outcome in failed))
    return 1 if failed or campaign.unhit() else 0


class Campaign:
    """All seeds of some faults, over several lanes, each with servers of its own."""

    def __init__(self, names: Sequence[str], seeds: Sequence[int], results: Path) -> None:
        self.outcomes: list[Outcome] = []
        self.not_permitted: dict[str, str] = {}
        self._results = results
        self._total = len(names) * len(seeds)
        usual = [n for n in names if FAULTS[n].rig is not Rig.SMALL_DISK]
        self._usual = [(name, seed) for name in usual for seed in seeds]
        self._small = [(n, s) for n in names if n not in usual for s in seeds]

    def unhit(self) -> list[str]:
        """Faults that never hit."""
        names = {outcome.fault for outcome in self.outcomes}
        return sorted(names - {outcome.fault for outcome in self.outcomes if outcome.hit})

    async def run(self, lanes: int) -> None:
        """Until all are done."""
        self._usual.reverse()  # taken from the end
        self._small.reverse()
        async with asyncio.TaskGroup() as group:
            for number in range(lanes):
                group.create_task(self._lane(number))

    async def _lane(self, number: int) -> None:
        if not number and self._small:
            await self._on_small_disk()
        if not self._usual:
            return
        async with running_servers() as servers:
            while self._usual:
                name, seed = self._usual.pop()
                self._tell(await run_seed(FAULTS[name], seed, servers, keep=self._results))

    async def _on_small_disk(self) -> None:
        try:
            async with running_servers(small_disk=True) as servers:
                while self._small:
                    name, seed = self._small.pop()
                    self._tell(await run_seed(FAULTS[name], seed, servers, keep=self._results))
        except NotPermitted as exc:
            for name, _ in self._small:
                self.not_permitted[name] = str(exc)
            print(f"not run, not permitted here: {exc}")

    def _tell(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        print(f"{len(self.outcomes):>4}/{self._total} {outcome}", flush=True)


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("faults", nargs="*", help="faults to run; all of them by default")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many of each")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--lanes", type=int, default=_LANES, help="seeds at a time")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder of what came out")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
