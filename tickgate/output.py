"""Lines for the person at the terminal: results to stdout, trouble to stderr."""

import contextlib
import logging
import sys

from core.runtime.logs import speaks_json


def say(text: str = "") -> None:
    """Print *text*; a reader that has gone away, as ``head`` does, is no error."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def complain(text: str) -> None:
    """Print *text* to stderr; as a record of the log where that is for machines."""
    if speaks_json():
        logging.getLogger(__name__).error("%s", text)
    else:
        sys.stderr.write(text + "\n")
