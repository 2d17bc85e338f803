"""`python -m tests.bench.crowd [--quick] [NAME…]`: single scenarios, printed, nothing written."""

import argparse
import sys
from collections.abc import Sequence

from tests.bench.crowd import SCENARIOS


def main(argv: Sequence[str]) -> int:
    """The exit code is 1 when something was lost, repeated or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crowd", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    asked = parser.parse_args(argv)
    sound = True
    for name in asked.names or SCENARIOS:
        found = SCENARIOS[name](asked.quick)
        sound &= found.sound
        print(f"### {found.title}\n\n{found.text}\n\nsound: {found.sound}\n", flush=True)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
