import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from core.runtime.supervisor import ServiceExited, StopRequest, stop_on_signals, supervise

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.new_event_loop,
    uvloop.new_event_loop,
]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(main)

    return run


class Worker:
    def __init__(self, name: str, events: list[str], *, stubborn: bool = False) -> None:
        self.name, self.events, self.stubborn = name, events, stubborn
        self.started, self._drain = asyncio.Event(), asyncio.Event()

    def begin_drain(self) -> None:
        self.events.append(f"drain {self.name}")
        self._drain.set()

    async def run(self) -> None:
        self.started.set()
        try:
            await self._drain.wait()
            if self.stubborn:
                await asyncio.Event().wait()
            self.events.append(f"done {self.name}")
        except asyncio.CancelledError:
            self.events.append(f"cancelled {self.name}")
            raise


async def interrupted(*workers: Worker, signum: int, drain_s: float) -> None:
    async def interrupt() -> None:
        for worker in workers:
            await worker.started.wait()
        os.kill(os.getpid(), signum)

    async with asyncio.TaskGroup() as group:
        group.create_task(interrupt())
        await supervise(*workers, drain_s=drain_s)


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_drains_sources_before_sinks(
    run: Callable[[Coroutine[Any, Any, Any]], Any], signum: int
) -> None:
    events: list[str] = []

    async def main() -> None:
        sink, source = Worker("sink", events), Worker("source", events)
        await interrupted(sink, source, signum=signum, drain_s=5)

    run(main())

    assert events == ["drain source", "done source", "drain sink", "done sink"]


@pytest.mark.usefixtures("without_nohup")
def test_a_hangup_that_nohup_has_ignored_stays_ignored(
    run: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    async def main() -> object:
        with stop_on_signals(StopRequest()):
            return signal.getsignal(signal.SIGHUP)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    assert run(main()) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_service_that_does_not_drain_is_cancelled_and_the_others_still_drain(
    run: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    events: list[str] = []

    async def main() -> None:
        sink, source = Worker("sink", events), Worker("source", events, stubborn=True)
        await interrupted(sink, source, signum=signal.SIGTERM, drain_s=0.05)

    run(main())

    assert events[0] == "drain source"
    assert set(events[1:]) == {"cancelled source", "drain sink", "done sink"}


class Failing(Worker):
    async def run(self) -> None:
        raise ValueError(self.name)


def test_the_first_failure_cancels_the_others_and_leaves(
    run: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    events: list[str] = []

    async def main() -> None:
        await supervise(Worker("other", events), Failing("bad", events), drain_s=1)

    with pytest.raises(ExceptionGroup) as caught:
        run(main())

    assert caught.group_contains(ValueError, match="bad")
    assert events == ["cancelled other"]


class Returning(Worker):
    async def run(self) -> None:
        self.events.append(f"returned {self.name}")


def test_an_early_return_is_an_error(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    async def main() -> None:
        await supervise(Returning("early", []), drain_s=1)

    with pytest.raises(ExceptionGroup) as caught:
        run(main())

    assert caught.group_contains(ServiceExited, match="early returned before")


def test_services_that_may_end_end_the_whole_once_all_have(
    run: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    events: list[str] = []

    async def main() -> None:
        services = Worker("sink", events), Returning("a", events), Returning("b", events)
        await supervise(*services, drain_s=1, until=("a", "b"))

    run(main())

    assert events == ["returned a", "returned b", "drain sink", "done sink"]


def test_a_stop_of_the_callers_drains_too(
    run: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    events: list[str] = []

    async def main() -> None:
        stop = StopRequest()
        stop.set()
        await supervise(Worker("only", events), drain_s=1, stop=stop)

    run(main())

    assert events == ["drain only", "done only"]


PROGRAM = """
import asyncio, sys
from core.runtime.supervisor import supervise
import uvloop
class Stuck:
    name = "stuck"
    def begin_drain(self):
        print("draining", flush=True)
    async def run(self):
        print("running", flush=True)
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
with asyncio.Runner(loop_factory={loop}) as runner:
    runner.run(supervise(Stuck(), drain_s={drain_s}))
"""


def stuck_program(loop: str, drain_s: float) -> subprocess.Popen[str]:
    program = PROGRAM.format(loop=loop, drain_s=drain_s)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "draining\n"
    return process


@pytest.mark.parametrize("loop", ["asyncio.new_event_loop", "uvloop.new_event_loop"])
def test_the_second_signal_ends_at_once(loop: str) -> None:
    with stuck_program(loop, drain_s=60) as process:
        while process.poll() is None:  # an echo of the first signal is not yet the second
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue

    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("loop", ["asyncio.new_event_loop", "uvloop.new_event_loop"])
def test_a_service_that_resists_its_cancellation_does_not_hold_the_process(loop: str) -> None:
    with stuck_program(loop, drain_s=0.1) as process:
        _, errors = process.communicate(timeout=10)

    assert process.returncode == 70
    assert "stuck" in errors
