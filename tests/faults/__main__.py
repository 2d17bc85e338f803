"""`python -m tests.faults`: every fault with many seeds; says which failed, writes the table.

Exit codes: 0 all is exact and every seed hit, 1 something is not, 2 it cannot be run like that.
"""

import argparse
import asyncio
import functools
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults import report
from tests.faults.campaign import Campaign, seeds_of
from tests.faults.kinds import FAULTS

_SEEDS = 20
_LANES = 3
_RESULTS = Path("test-results") / "faults"


def main(words: Sequence[str] | None = None) -> int:
    """Run what *words* ask for."""
    options = _options(words)
    names = options.faults or list(FAULTS)
    if unknown := [name for name in names if name not in FAULTS]:
        print(f"no fault {', '.join(unknown)}; there are: {' '.join(FAULTS)}", file=sys.stderr)
        return 2
    if not os.environ.get("TEST_MARKET_DATA"):
        print("TEST_MARKET_DATA must name the folder of real market data", file=sys.stderr)
        return 2
    options.results.mkdir(parents=True, exist_ok=True)
    seeds = seeds_of(names, range(options.first, options.first + options.seeds))
    if options.go_on:
        done = report.passed(options.results)
        seeds = [seed for seed in seeds if (seed.fault, seed.number) not in done]
    else:
        report.forget(options.results, names)
    campaign = Campaign(seeds, results=options.results, tell=functools.partial(print, flush=True))
    began_s = time.monotonic()
    asyncio.run(campaign.run(options.lanes))
    minutes = (time.monotonic() - began_s) / 60
    return _finish(campaign, options, minutes)


def _finish(campaign: Campaign, options: argparse.Namespace, minutes: float) -> int:
    results = report.load(options.results)
    print(f"\n{len(campaign.outcomes)} seeds in {minutes:.1f} minutes\n\n{report.table(results)}")
    if options.write:
        report.write_page(results)
    for outcome in campaign.failed:
        print(outcome)
    return 1 if campaign.failed else 0


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("faults", nargs="*", help="faults to run; all of them by default")
    parser.add_argument("--seeds", type=int, default=_SEEDS, help="how many of each")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--lanes", type=int, default=_LANES, help="seeds at a time")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder of what came out")
    parser.add_argument("--go-on", action="store_true", help="leave out what passed before")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
