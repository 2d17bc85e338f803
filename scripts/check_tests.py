"""Hold a test run to "every test ran": read a JUnit XML report and fail on skips.

usage: check_tests.py REPORT.xml
"""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def problems(report: Path) -> list[str]:
    """What is wrong with the run, in words; empty when every test ran and passed."""
    cases = list(ET.parse(report).getroot().iter("testcase"))
    if not cases:
        return ["no test ran"]
    found = []
    for case in cases:
        name = f"{case.get('classname')}::{case.get('name')}"
        for outcome in case:
            if outcome.tag in {"skipped", "failure", "error"}:
                reason = (outcome.get("message") or "").partition("\n")[0]
                found.append(f"{name}: {outcome.tag}: {reason}")
    return found


def main(report: Path) -> int:
    """Print what is wrong; the exit code is 1 if anything is."""
    found = problems(report)
    for line in found:
        sys.stderr.write(f"{line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
