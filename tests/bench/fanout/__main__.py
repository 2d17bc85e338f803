"""`make bench-fanout`: measure side by side, print, and write docs/benchmarks.md.

FANOUT_ROUNDS sets how often every server has its turn (default 9). `--quick` makes all short,
to see that it runs: its numbers are none. A section that is not measured stays as it was.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.bench import page as whole_page
from tests.bench.fanout import page, plan, sections
from tests.bench.fanout.chart import draw
from tests.bench.fanout.measure import Timing
from tests.bench.fanout.results import Results
from tests.bench.fanout.runner import bench, run
from tests.bench.section import Section

_DOCS = Path(__file__).parents[3] / "docs"
_CHART = _DOCS / "fanout.svg"
_PICTURE = "![Processor time per frame, and ticks per core-second, by server](fanout.svg)"
_ROUNDS, _QUICK_ROUNDS = 9, 1
_QUICK = Timing(warm_s=0.3, measure_s=0.5)
_OURS = ("broadcast", "routed")


def main(argv: Sequence[str]) -> int:
    """The exit code is 1 when something of ours was lost or wrong; slow is not wrong."""
    asked = _arguments(argv)
    conditions = _conditions(asked)  # now: what is written changes the working tree
    found: list[Section] = []
    for section in _measured(asked):
        print(f"\n{page.render(section, '')}\n", flush=True)
        found.append(section)
        if not asked.dry_run:
            _write(section, conditions)
    return 0 if all(section.sound for section in found) else 1


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fanout", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="a section; repeatable")
    parser.add_argument("--quick", action="store_true", help="short, for a look")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every sample here")
    asked = parser.parse_args(argv)
    names = [*_OURS, *_crowd()]
    if unknown := set(asked.only or ()) - set(names):
        parser.error(f"--only {', '.join(unknown)}: choose from {', '.join(names)}")
    asked.only = asked.only or names
    asked.dry_run = asked.dry_run or asked.quick
    return asked


def _measured(asked: argparse.Namespace) -> Iterator[Section]:
    if set(asked.only) & set(_OURS):
        yield from _side_by_side(asked)
    for name, scenario in _crowd().items():
        if name in asked.only:
            yield scenario(asked.quick)


def _crowd() -> Mapping[str, Callable[[bool], Section]]:
    from tests.bench.crowd import SCENARIOS

    return SCENARIOS


def _side_by_side(asked: argparse.Namespace) -> list[Section]:
    rounds = _QUICK_ROUNDS if asked.quick else int(os.environ.get("FANOUT_ROUNDS") or _ROUNDS)
    timing = _QUICK if asked.quick else Timing()
    with bench() as (programs, backend, folder):
        broadcast = plan.broadcast(programs, backend) if "broadcast" in asked.only else []
        routed = plan.routed(programs, backend) if "routed" in asked.only else []
        results = run(
            [*broadcast, *routed],
            rounds=rounds,
            timing=timing,
            receiver=programs.receiver,
            folder=folder,
            say=lambda line: print(line, flush=True),
        )
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    return _sections(results, broadcast, routed, write=not asked.dry_run)


def _sections(
    results: Results, broadcast: Sequence[plan.Entry], routed: Sequence[plan.Entry], *, write: bool
) -> list[Section]:
    if write and broadcast and routed:
        panels = sections.panels(results, broadcast, routed)
        _CHART.write_text(draw(panels, title="tickgate beside other WebSocket servers"))
    found = []
    if broadcast:
        section = sections.broadcast_section(results, broadcast)
        picture = f"{_PICTURE}\n\n" if _CHART.exists() else ""
        found.append(replace(section, text=picture + section.text))
    if routed:
        found.append(sections.routed_section(results, routed))
    return found


def _conditions(asked: argparse.Namespace) -> str:
    words = "".join(f" --only {name}" for name in asked.only)
    everything = len(asked.only) == len(_OURS) + len(_crowd())
    rounds = os.environ.get("FANOUT_ROUNDS")
    command = "make bench-fanout"
    command += f" FANOUT_ROUNDS={rounds}" if rounds else ""
    command += "" if everything else f" ARGS='{words.strip()}'"
    return whole_page.conditions(datetime.now(UTC).date().isoformat(), command)


def _write(section: Section, conditions: str) -> None:
    path = _DOCS / "benchmarks.md"
    text = path.read_text()
    new = {section.title: page.render(section, conditions)}
    between = page.merged(page.between_marks(text), new)
    path.write_text(whole_page.put_between_marks(text, between, begin=page.BEGIN, end=page.END))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
