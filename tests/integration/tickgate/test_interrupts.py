"""A command that is stopped from outside leaves nothing half done."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Eventually

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_nohup")]

WORKS_UNTIL_STOPPED = """
import asyncio, signal, sys
from tickgate.interrupts import ended_in_order

async def work():
    try:
        print("works", flush=True)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print("gave all back", flush=True)

for name in sys.argv[1:]:
    signal.signal(signal.Signals[name], signal.SIG_IGN)
with ended_in_order():
    asyncio.run(work())
"""


@pytest.mark.parametrize(
    ("signum", "ignored"),
    [
        (signal.SIGTERM, []),
        (signal.SIGHUP, []),
        (signal.SIGTERM, ["SIGINT"]),  # in the background of a script
        (signal.SIGTERM, ["SIGHUP"]),  # under nohup
    ],
)
def test_a_signal_has_a_command_clean_up_before_it_dies_of_it(
    signum: signal.Signals, ignored: list[str]
) -> None:
    command = [sys.executable, "-c", WORKS_UNTIL_STOPPED, *ignored]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if "SIGHUP" in ignored:
            process.send_signal(signal.SIGHUP)
        process.send_signal(signum)
        said, _ = process.communicate(timeout=20)

    assert said == "gave all back\n"
    assert process.returncode == -signum


async def test_an_export_that_is_terminated_leaves_no_part_of_a_file(
    tmp_path: Path, eventually: Eventually
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a database that never answers
        port = silent.getsockname()[1]
        span = ("--start", "2024-01-01", "--end", "2024-01-02", "--output", str(tmp_path / "a.csv"))
        url = f"postgresql://127.0.0.1:{port}/x"
        export = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tickgate", "export", "bars", "A", *span),
            *("--database-url", url),
            stderr=asyncio.subprocess.PIPE,
        )
        await eventually(lambda: os.listdir(tmp_path))
        export.terminate()
        _, complaint = await asyncio.wait_for(export.communicate(), 20)

    assert os.listdir(tmp_path) == []
    assert export.returncode == -signal.SIGTERM
    assert complaint == b""
