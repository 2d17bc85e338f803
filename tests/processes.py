"""Processes that tests start: what they are not to inherit, and which should be gone."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def unmeasured() -> dict[str, str]:
    """This process's environment without what makes coverage.py measure programs it starts.

    That slows them by a third: for programs of others, and for ours that run for minutes beside a
    browser that needs the processor, while other tests measure all that they do.
    """
    return {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")
    }


def gone(pid: int) -> bool:
    """Has *pid* ended? One that waits for its parent to collect it has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def working_in(folder: Path) -> dict[int, str]:
    """Pid and command of each process that runs in *folder*, or has it in arguments or settings."""
    needle = str(folder).encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and any(needle in text for text in _traces(entry)):
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:
                    found[int(entry.name)] = command
    return found


def _traces(entry: Path) -> Iterator[bytes]:
    for name in ("cmdline", "environ"):
        with suppress(OSError):
            yield (entry / name).read_bytes()
    with suppress(OSError):
        yield str((entry / "cwd").readlink()).encode()
