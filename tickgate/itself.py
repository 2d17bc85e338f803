"""How this program starts itself anew: its roles and workers are children of the same program."""

import os
import sys


def command_of(name: str) -> tuple[str, ...]:
    """The command line of the sub-command *name*, by this interpreter.

    `python -m` looks for modules in the working directory first: a folder `core` or a `select.py`
    of whoever works there would go before ours. So a child looks there only where this process
    does, as in a checkout.
    """
    unsafe = {"", _working_directory()} & set(sys.path)
    return (sys.executable, *(() if unsafe else ("-P",)), "-m", "tickgate", name)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""
