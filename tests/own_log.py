"""The log of this process, left as it was by what sets it up as a program does."""

import contextlib
import logging
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def own_log() -> Iterator[None]:
    """Whatever is done to the log within ends here."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        sys.excepthook = sys.__excepthook__
