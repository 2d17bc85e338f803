"""Child processes that are restarted when they die, drained in order, and never left behind.

Each :class:`ChildProcess` is a service: :func:`core.runtime.supervisor.supervise` gives the order
of the drain. A child dies with its parent in two ways at once: Linux kills it (PDEATHSIG), and its
standard input is a pipe that only the parent holds open, watched by a thread of the child.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence

from core.market.errors import TickgateError
from core.runtime.ports import MonotonicClock
from core.runtime.witness import Crash, Nobody, Witness

log = logging.getLogger(__name__)

# Tells a child that its standard input is the parent's pipe. No setting: users never give it.
PARENT_PIPE = "_TICKGATE_PARENT_PIPE"
CONFIG_EXIT = 2  # the child says that a setting is wrong: starting it again cannot help
_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>
_KILL_WAIT_S = 5.0  # a SIGKILLed process is gone at once, unless the kernel holds it in a device


class ChildRefused(TickgateError):
    """A child ended because its settings are wrong, or failed although it may run only once."""

    def __init__(self, name: str, code: int) -> None:
        self.name, self.code = name, code
        super().__init__(name, code)

    def __str__(self) -> str:
        return f"{self.name} {describe_exit(self.code)}; its own message above says why"


class Backoff:
    """Waits between restarts: first doubling to a cap, with jitter, and anew after a stable run.

    Source of the jitter: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
    2015; "equal jitter", which keeps half of the wait, as one child does not compete with others.
    """

    def __init__(
        self,
        *,
        uniform: Callable[[float, float], float],
        first_s: float = 1.0,
        cap_s: float = 300.0,
        stable_s: float = 60.0,
        loop_after: int = 3,
        at_once: bool = False,
    ) -> None:
        """*uniform* draws from a range; a run of *stable_s* or longer forgets former failures.

        So many failures in a row as *loop_after* are a crash loop. With *at_once* the first
        failure is not waited for at all, the second as the first else.
        """
        self._uniform, self._free = uniform, 1 if at_once else 0
        self._first_s, self._cap_s, self._loop_after = first_s, cap_s, loop_after
        self.stable_s = stable_s
        self.failures = 0

    @property
    def is_loop(self) -> bool:
        """Did it fail so often in a row that something is wrong for good?"""
        return self.failures >= self._loop_after

    def forget(self) -> None:
        """A run has lasted: it stands for itself."""
        self.failures = 0

    def next_s(self, ran_s: float) -> float:
        """Seconds to wait after a run that lasted *ran_s*: at least half of the full wait."""
        self.failures = 1 if ran_s >= self.stable_s else self.failures + 1
        doublings = self.failures - 1 - self._free
        if doublings < 0:
            return 0.0
        full_s = min(self._cap_s, self._first_s * 2.0 ** min(doublings, 30))
        return self._uniform(0.5 * full_s, full_s)


class ChildProcess:
    """One child as a service: run() keeps it alive until begin_drain(), then until it has ended."""

    def __init__(  # noqa: PLR0913  one argument per property
        self,
        *,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        monotonic_ns: MonotonicClock,
        backoff: Backoff,
        may_end: bool = False,
        on_end: Callable[[], None] = lambda: None,
        witness: Witness | None = None,
    ) -> None:
        """Nothing starts before run(). A child that *may_end* is done with exit code 0.

        *on_end* is called whenever a run of the child has ended, before the next one starts;
        *witness* is told of each crash, and of the first run that lasts after some.
        """
        self._name, self._command = name, tuple(command)
        self._environ = {**environ, PARENT_PIPE: "1"}
        self._monotonic_ns, self._backoff, self._may_end = monotonic_ns, backoff, may_end
        self._on_end, self._witness = on_end, witness or Nobody()
        self._process: asyncio.subprocess.Process | None = None
        self._draining = asyncio.Event()

    @property
    def name(self) -> str:
        return self._name

    @property
    def pid(self) -> int | None:
        """Of the running child; None between two runs."""
        return self._process.pid if self._process is not None else None

    def begin_drain(self) -> None:
        """SIGTERM to the child; run() returns once it has ended."""
        self._draining.set()
        self._signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """SIGHUP to the child, if it runs; for one that is known to take it."""
        self._signal(signal.SIGHUP)

    async def run(self) -> None:
        """Start the child, and again whenever it dies, until drained or done.

        Raises:
            ChildRefused: its settings are wrong, so that another start would end the same way.
        """
        while not self._draining.is_set():
            started_ns = self._monotonic_ns()
            code = await self._run_once()
            if self._draining.is_set() or (code == 0 and self._may_end):
                return
            if code == CONFIG_EXIT:
                raise ChildRefused(self._name, code)
            await self._pause(code, ran_s=(self._monotonic_ns() - started_ns) / 1e9)

    async def _run_once(self) -> int:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            env=self._environ,
            process_group=0,  # Ctrl-C in the terminal is for the parent, which drains in order
        )
        log.debug("%s started, pid %d", self._name, process.pid)
        if self._draining.is_set():  # asked while the process was being made
            self._signal(signal.SIGTERM)
        stable_s = self._backoff.stable_s
        lasting = asyncio.get_running_loop().call_later(stable_s, self._lasted, stable_s)
        try:
            return await process.wait()
        finally:
            lasting.cancel()
            await self._make_sure(process)
            self._process = None
            self._on_end()

    async def _make_sure(self, process: asyncio.subprocess.Process) -> None:
        """Kill *process* if it still runs: run() was cancelled."""
        if process.returncode is None:
            if self._draining.is_set():  # else something else failed, and says so
                log.warning("%s (pid %d) did not end in time; killing it", self._name, process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _KILL_WAIT_S)
        if process.stdin is not None:
            process.stdin.close()

    async def _pause(self, code: int, *, ran_s: float) -> None:
        """Say loudly that the child died, then wait for the back-off or the drain."""
        backoff, how = self._backoff, describe_exit(code)
        wait_s = backoff.next_s(ran_s)
        log.error(
            "%s %s after %.1f s (failure %d in a row); starting it again in %.1f s",
            *(self._name, how, ran_s, backoff.failures, wait_s),
        )
        if backoff.is_loop:
            log.error(
                "CRASH LOOP: %s ended %d times in a row, each time within %g s of its start; "
                "the last time it %s; next try in %.1f s",
                *(self._name, backoff.failures, backoff.stable_s, how, wait_s),
            )
        self._witness.crashed(Crash(self._name, how, backoff.failures, wait_s, backoff.is_loop))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._draining.wait(), wait_s)

    def _lasted(self, stable_s: float) -> None:
        """This run is a healthy one: whatever comes next begins anew."""
        if self._backoff.is_loop:
            log.warning("%s has run for %g s: its crash loop is over", self._name, stable_s)
        if self._backoff.failures:
            self._backoff.forget()
            self._witness.lasted(self._name)

    def _signal(self, signum: signal.Signals) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signum)


def describe_exit(code: int) -> str:
    """How a process ended, for people: ``was killed by SIGTERM``, ``ended with exit code 1``."""
    if code == -signal.SIGKILL:  # by hand, or by the kernel: it leaves no other trace with us
        return "was killed by SIGKILL, perhaps because memory ran out"
    if code < 0:
        known = -code in {int(number) for number in signal.Signals}  # not all real-time ones are
        return f"was killed by {signal.Signals(-code).name if known else f'signal {-code}'}"
    return f"ended with exit code {code}"


def die_with_parent(environ: MutableMapping[str, str]) -> bool:
    """In a child, before anything else: make sure that it ends when its parent does, however.

    Returns False, and does nothing, in a process that no :class:`ChildProcess` started. The role is
    crash-only, so it is killed, not drained: what it would drain to has died with the parent too.
    """
    if not environ.pop(PARENT_PIPE, ""):  # popped: not for this child's own children
        return False
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(pipe,), name="parent-watch", daemon=True).start()
    return True


def _watch(pipe: int) -> None:
    while os.read(pipe, 64):  # nobody writes: this returns empty once the parent is gone
        pass
    os.kill(os.getpid(), signal.SIGKILL)
