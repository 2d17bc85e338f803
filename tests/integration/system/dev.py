"""Runs the real program, ``tickgate dev``, as a user does, and talks to it from outside."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson

START_S = 40.0  # generous: the machine may be busy
_ADDRESS = re.compile(r"open +(http://127\.0\.0\.1:\d+)/")


class Dev:
    """One ``tickgate dev`` process and its output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def collect(self) -> None:
        """Read the output to its end; the first address in it is the page's."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip()
            self.lines.append(text)
            found = _ADDRESS.search(text)
            if found and not self._address.done():
                self._address.set_result(found[1])

    async def address(self) -> str:
        done = asyncio.Event()

        async with asyncio.timeout(START_S):
            while not self._address.done():
                if self.process.returncode is not None:
                    raise AssertionError("ended before it was ready:\n" + self.output())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), 0.05)
        return await self._address

    def output(self) -> str:
        return "\n".join(self.lines[-80:])

    async def stop(self, *, number: int = signal.SIGTERM, timeout_s: float = 30) -> int:
        """Send a signal and wait for the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()

    async def exit_code(self, *, timeout_s: float = 90) -> int:
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def dev(*arguments: str, data_dir: Path, **environment: str) -> AsyncIterator[Dev]:
    """Start it on a free port; it is ended with the block."""
    command = [sys.executable, "-m", "tickgate", "dev", "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--data-dir",
        str(data_dir),
        *arguments,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Dev(process)
    async with asyncio.TaskGroup() as group:
        group.create_task(running.collect())
        try:
            yield running
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(20):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()


async def get(url: str, **parameters: object) -> Any:
    """A JSON answer, whatever its status."""
    texts = {name: str(value) for name, value in parameters.items()}
    async with aiohttp.ClientSession() as session, session.get(url, params=texts) as answer:
        return orjson.loads(await answer.read())


async def all_bars(address: str, symbols: Sequence[str], timeframe: str, limit: int) -> list[Any]:
    """Every bar, page by page, as (symbol, bar)."""
    found: list[Any] = []
    query: dict[str, object] = {
        "symbols": ",".join(symbols),
        "timeframe": timeframe,
        "start": "2015-01-01",
        "end": "2030-01-01",
        "limit": limit,
    }
    while True:
        page = await get(f"{address}/v1/bars", **query)
        assert "bars" in page, page
        found += [(symbol, bar) for symbol, bars in page["bars"].items() for bar in bars]
        if page["next_page_token"] is None:
            return found
        query["page_token"] = page["next_page_token"]
