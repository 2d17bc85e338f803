"""Lines for the person at the terminal: results to stdout, trouble to stderr."""

import contextlib
import sys


def say(text: str = "") -> None:
    """Print *text*; a reader that has gone away, as ``head`` does, is no error."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def complain(text: str) -> None:
    """Print *text* to stderr."""
    sys.stderr.write(text + "\n")
