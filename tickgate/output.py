"""Lines for the person at the terminal: results to stdout, trouble to stderr."""

import contextlib
import io
import logging
import os
import sys
from typing import Final

from core.market.errors import TickgateError
from core.runtime.logs import speaks_json

_STREAMS: Final = ("stdin", "stdout", "stderr")  # descriptors 0, 1 and 2


class NotWritten(TickgateError):
    """What a command has to say cannot be written where its output goes."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"cannot write to the standard output: {self.reason}"


def set_up() -> None:
    """Have no text fail: for what it looks like, or because there is nowhere to put it.

    A character that the terminal's encoding has not, and a byte of a file's name that is no text,
    are escaped. A stream that was closed by who started us is one to nowhere, lest a socket or a
    file take its number and be written to.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) < len(_STREAMS):
        os.set_inheritable(handle, True)
        if handle:
            setattr(sys, _STREAMS[handle], os.fdopen(handle, "w", encoding="utf-8", closefd=False))
    os.close(handle)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str = "") -> None:
    """Print *text*; a reader that has gone away, as ``head`` does, is no error.

    Raises:
        NotWritten: the disk is full, or the like.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        return
    except OSError as exc:
        # What is still in the buffer must not fail again when the interpreter ends.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise NotWritten((exc.strerror or str(exc)).lower()) from exc


def complain(text: str) -> None:
    """Print *text* to stderr; as a record of the log where that is for machines."""
    if speaks_json():
        logging.getLogger(__name__).error("%s", text)
    else:
        sys.stderr.write(text + "\n")
