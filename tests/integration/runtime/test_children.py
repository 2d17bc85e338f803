import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic_ns

import pytest

from core.runtime.children import PARENT_PIPE, Backoff, ChildProcess, ChildRefused, describe_exit
from core.runtime.supervisor import StopRequest, supervise
from core.runtime.witness import Crash
from tests.conftest import Eventually
from tests.processes import gone

IDLE = "import time; print('up', flush=True); time.sleep(600)"
DEAF = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); open(F, 'w').close(); time.sleep(600)"
)


def child(
    program: str, *, name: str = "child", may_end: bool = False, first_s: float = 0.001
) -> ChildProcess:
    return ChildProcess(
        name=name,
        command=(sys.executable, "-c", program),
        environ=os.environ,
        monotonic_ns=monotonic_ns,
        backoff=Backoff(uniform=lambda low, high: high, first_s=first_s, cap_s=first_s * 4),
        may_end=may_end,
    )


def test_the_wait_doubles_to_its_cap_and_a_stable_run_forgets() -> None:
    backoff = Backoff(uniform=lambda low, high: high, first_s=1, cap_s=300, stable_s=60)

    waits = [backoff.next_s(ran_s=1) for _ in range(11)]

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert backoff.failures == 11
    assert backoff.next_s(ran_s=60) == 1


def test_half_of_the_wait_is_left_to_chance() -> None:
    backoff = Backoff(uniform=lambda low, high: low)

    assert [backoff.next_s(ran_s=0) for _ in range(3)] == [0.5, 1, 2]


def test_so_many_failures_in_a_row_are_a_crash_loop_until_a_run_lasts() -> None:
    backoff = Backoff(uniform=lambda low, high: high, stable_s=60, loop_after=3)
    loops = []
    for ran_s in (1, 1, 59, 60, 1):
        backoff.next_s(ran_s=ran_s)
        loops.append(backoff.is_loop)
    backoff.next_s(ran_s=1)
    backoff.forget()

    assert loops == [False, False, True, False, False]
    assert not backoff.is_loop
    assert backoff.next_s(ran_s=1) == 1


def test_the_first_restart_may_come_at_once() -> None:
    backoff = Backoff(uniform=lambda low, high: high, stable_s=10, at_once=True)

    assert [backoff.next_s(ran_s=1) for _ in range(4)] == [0, 1, 2, 4]
    assert backoff.next_s(ran_s=10) == 0


async def test_what_a_child_leaves_is_cleared_away_before_the_next_start(
    eventually: Eventually,
) -> None:
    seen: list[int | None] = []
    running = ChildProcess(
        name="child",
        command=(sys.executable, "-c", IDLE),
        environ=os.environ,
        monotonic_ns=monotonic_ns,
        backoff=Backoff(uniform=lambda low, high: high, at_once=True),
        on_end=lambda: seen.append(running.pid),
    )

    async with asyncio.TaskGroup() as group:
        group.create_task(running.run())
        first = await eventually(lambda: running.pid)
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: running.pid not in (None, first))
        running.begin_drain()

    assert seen == [None, None]


async def test_a_child_that_dies_is_started_again(eventually: Eventually) -> None:
    running = child(IDLE)

    async with asyncio.TaskGroup() as group:
        group.create_task(running.run())
        first = await eventually(lambda: running.pid)
        os.kill(first, signal.SIGKILL)
        second = await eventually(lambda: running.pid if running.pid != first else None)
        running.begin_drain()

    assert first != second
    assert gone(second)


class Diary:
    """A witness that writes all down."""

    def __init__(self) -> None:
        self.crashes: list[Crash] = []
        self.lasting: list[str] = []

    def crashed(self, crash: Crash) -> None:
        self.crashes.append(crash)

    def lasted(self, name: str) -> None:
        self.lasting.append(name)


def watched(program: str, diary: Diary, *, stable_s: float) -> ChildProcess:
    return ChildProcess(
        name="role",
        command=(sys.executable, "-c", program),
        environ=os.environ,
        monotonic_ns=monotonic_ns,
        backoff=Backoff(
            uniform=lambda low, high: high, first_s=0.001, cap_s=0.002, stable_s=stable_s
        ),
        witness=diary,
    )


async def test_a_child_that_is_killed_again_and_again_is_a_crash_loop_and_loud(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    diary = Diary()
    running = watched(IDLE, diary, stable_s=60)

    async with asyncio.TaskGroup() as group:
        group.create_task(running.run())
        for number in range(1, 4):
            os.kill(await eventually(lambda: running.pid), signal.SIGKILL)
            await eventually(lambda number=number: len(diary.crashes) == number)
        running.begin_drain()

    how = "was killed by SIGKILL, perhaps because memory ran out"
    assert diary.crashes == [
        ("role", how, 1, 0.001, False),
        ("role", how, 2, 0.002, False),
        ("role", how, 3, 0.002, True),
    ]
    loud = [record for record in caplog.records if "CRASH LOOP: role ended 3" in record.message]
    assert [record.levelname for record in loud] == ["ERROR"]
    assert how in loud[0].message
    assert diary.lasting == []


async def test_a_crash_loop_is_over_once_a_run_lasts(
    eventually: Eventually, tmp_path: Path
) -> None:
    diary = Diary()
    left = tmp_path / "crashes"
    left.write_text("xxx")
    program = (
        f"import pathlib, time; p = pathlib.Path({str(left)!r}); n = p.read_text()\n"
        "if n: p.write_text(n[1:]); raise SystemExit(7)\n"
        "time.sleep(600)"
    )
    running = watched(program, diary, stable_s=3)  # a busy machine starts a Python in 1 s

    async with asyncio.TaskGroup() as group:
        group.create_task(running.run())
        await eventually(lambda: diary.lasting)
        running.begin_drain()

    assert [crash.exit for crash in diary.crashes] == ["ended with exit code 7"] * 3
    assert diary.crashes[-1].is_loop
    assert diary.lasting == ["role"]


async def test_a_drain_in_the_back_off_ends_at_once(eventually: Eventually) -> None:
    running = child(IDLE, first_s=600)

    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        group.create_task(running.run())
        pid = await eventually(lambda: running.pid)
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: running.pid is None)
        running.begin_drain()

    assert gone(pid)


async def test_a_child_that_may_end_is_done_with_exit_code_0() -> None:
    await asyncio.wait_for(child("pass", may_end=True).run(), 10)


async def test_wrong_settings_are_not_tried_again() -> None:
    with pytest.raises(ChildRefused, match="ended with exit code 2"):
        await asyncio.wait_for(child("raise SystemExit(2)").run(), 10)


async def test_a_child_that_ignores_the_drain_is_killed_in_the_end(
    eventually: Eventually, tmp_path: Path
) -> None:
    flag = tmp_path / "deaf"
    deaf = child(f"F = {str(flag)!r}; {DEAF}")
    stop = StopRequest()

    async with asyncio.TaskGroup() as group, asyncio.timeout(20):
        group.create_task(supervise(deaf, drain_s=0.1, stop=stop))
        await eventually(flag.exists)
        pid = deaf.pid
        stop.set()

    assert pid is not None
    assert gone(pid)


def test_exits_are_told_in_words() -> None:
    assert describe_exit(-9) == "was killed by SIGKILL, perhaps because memory ran out"
    assert describe_exit(-15) == "was killed by SIGTERM"
    assert describe_exit(-40) == "was killed by signal 40"
    assert describe_exit(3) == "ended with exit code 3"


PARENT = """
import asyncio, os, sys, time
from core.runtime.children import Backoff, ChildProcess
async def main():
    grandchild = ChildProcess(
        name="c", command=(sys.executable, "-c", sys.argv[1]), environ=os.environ,
        monotonic_ns=time.monotonic_ns, backoff=Backoff(uniform=lambda a, b: b))
    await grandchild.run()
asyncio.run(main())
"""
CHILD = """
import os, time
from core.runtime import children
if {pipe_only}:
    children.sys.platform = "other"
assert children.die_with_parent(os.environ)
assert children.PARENT_PIPE not in os.environ
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("pipe_only", [False, True], ids=["both", "pipe only"])
async def test_no_child_outlives_a_killed_parent(eventually: Eventually, pipe_only: bool) -> None:
    parent = await asyncio.create_subprocess_exec(
        *_python(PARENT, CHILD.format(pipe_only=pipe_only)), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 10))

    parent.kill()
    await parent.wait()

    await eventually(lambda: gone(pid))


async def test_a_process_of_its_own_is_not_tied_to_anybody() -> None:
    program = "import os; from core.runtime.children import die_with_parent as d; print(d({}))"
    process = await asyncio.create_subprocess_exec(
        *_python(program), stdout=asyncio.subprocess.PIPE, env=_environ()
    )

    out, _ = await process.communicate()

    assert out == b"False\n"


def _python(program: str, *arguments: str) -> Sequence[str]:
    return (sys.executable, "-c", program, *arguments)


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != PARENT_PIPE}
