"""Real role processes that are started again when they end, as an init system would do."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLAIN = ("-m", "tickgate")
_AGAIN_S = 0.1  # between an end and the next start
_DRAIN_S = 20.0


@dataclass(eq=False)
class Role:
    """One process, and its successors; what they say goes into a file."""

    name: str
    words: Sequence[str]
    log_path: Path
    module: Sequence[str] = PLAIN
    environ: Mapping[str, str] = field(default_factory=dict)
    killed: int = 0
    faults: list[str] = field(default_factory=list)
    """What it did that no role should: end by itself, not end when it was told to."""
    _process: asyncio.subprocess.Process | None = None
    _stopping: bool = False
    _started: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    async def run(self) -> None:
        """Keep it running until :meth:`stop`."""
        try:
            while not self._stopping:
                await self._run_once()
                if not self._stopping:
                    await asyncio.sleep(_AGAIN_S)
        finally:
            await self._end()

    async def started(self) -> None:
        """Wait until there is a process, after a kill: another one."""
        await self._started.wait()

    def kill(self) -> None:
        """SIGKILL; it is started again."""
        self.killed += 1
        self._started.clear()
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """A signal to the process, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def stop(self) -> None:
        """SIGTERM, and wait for the end: in order, or a fault."""
        self._stopping = True
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if self._process is None:
            return
        try:
            code = await asyncio.wait_for(self._process.wait(), _DRAIN_S)
        except TimeoutError:
            self.faults.append(f"{self.name} did not end within {_DRAIN_S:g} s of SIGTERM")
            await self._end()
        else:
            if code not in (0, -signal.SIGTERM):  # that: it had not begun yet
                self.faults.append(f"{self.name} drained with exit code {code}")

    async def _run_once(self) -> None:
        killed = self.killed
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "setpriv", "--pdeathsig", "KILL", sys.executable, *self.module, *self.words,
                cwd=ROOT,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )  # fmt: skip
        self._started.set()
        code = await self._process.wait()
        if not self._stopping and self.killed == killed:
            self.faults.append(f"{self.name} ended by itself with exit code {code}")

    async def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _environment(self) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith("TICKGATE_")}
        return {**kept, "PYTHONPATH": str(ROOT), **self.environ}
