"""Programs of the product as processes of their own, with what they say."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

START_S = 40.0  # generous: the machine may be busy


class Program:
    """One process and its output, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = asyncio.Event()

    async def collect(self) -> None:
        """Read the output to its end."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            self._news.set()
        self._news.set()

    async def said(self, pattern: str, *, timeout_s: float = START_S) -> re.Match[str]:
        """The first line that *pattern* is found in, now or later."""
        looked_at = 0
        async with asyncio.timeout(timeout_s):
            while True:
                for line in self.lines[looked_at:]:
                    if found := re.search(pattern, line):
                        return found
                looked_at = len(self.lines)
                if self.process.returncode is not None:
                    raise AssertionError(f"ended without {pattern!r}:\n{self.output()}")
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 0.5)

    def output(self) -> str:
        return "\n".join(self.lines[-80:])

    async def stop(self, *, number: int = signal.SIGTERM, timeout_s: float = 30) -> int:
        """Send a signal and wait for the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.exit_code(timeout_s=timeout_s)

    async def exit_code(self, *, timeout_s: float = 90) -> int:
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def running(
    *arguments: str,
    program: type[Program] = Program,
    command: Sequence[str] = (sys.executable, "-m", "tickgate"),
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """Run `tickgate` with *arguments* as a *program*; it is ended with the block.

    A test that fails inside shows what the program said.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        env=os.environ if environ is None else environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **{"stdin": asyncio.subprocess.DEVNULL, **options},
    )
    one = program(process)
    async with asyncio.TaskGroup() as group:
        group.create_task(one.collect())
        try:
            yield one
        except BaseException:
            print(f"--- {' '.join(arguments)}\n{one.output()}")
            raise
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()
