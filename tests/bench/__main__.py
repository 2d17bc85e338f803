"""`make bench`: measure, print, and write docs/benchmarks.md.

BENCH_SECONDS sets the length of the run (default 60). `--micro` measures single parts only and
writes nothing; `--dry-run` measures all and writes nothing.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import folding, micro, page, startup, system

_PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main(argv: Sequence[str]) -> int:
    """The exit code is 1 when a trade was lost or a bar is wrong; slow is not wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--micro", action="store_true", help="single parts only")
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    asked = parser.parse_args(argv)
    parts = page.Parts(micro.measure(), folding.speeds(), folding.flush_cost())
    if asked.micro:
        print(page.streams_to_bars(parts.folding, parts.flush))
        for part in parts.micro:
            print(f"{part.what}: {part.ticks_per_s:,.0f} ticks/s")
        return 0
    seconds = float(os.environ.get("BENCH_SECONDS") or 60)
    start = startup.measure()
    found = system.measure(seconds)
    text = page.render(found, start, parts, day=datetime.now(UTC).date().isoformat())
    print(text)
    for wrong in found.bars_wrong[:20]:
        print(wrong, file=sys.stderr)
    if not asked.dry_run:
        _PAGE.write_text(page.put_between_marks(_PAGE.read_text(), text))
    return 0 if found.fanout.flawless and not found.bars_wrong else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
