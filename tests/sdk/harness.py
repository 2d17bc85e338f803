"""Published SDKs as processes that are told what to do, and tell what they were given."""

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests import npm
from tests.node import find_node

_ANSWER_S = 60.0  # generous: the machine may be busy


class SdkError(Exception):
    """An error that the SDK raised: ``status`` of the answer, ``code`` and ``message`` in it."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.status, self.code, self.message = facts["status"], facts["code"], facts["message"]
        super().__init__(facts)


class Sdk:
    """One SDK in its process; ``events`` are all that its handlers were given, in order."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.events: list[dict[str, Any]] = []
        self._process = process
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def collect(self) -> None:
        """Read what it says to its end."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "id" not in said:
                self.events.append(said)
            elif "error" in said:
                self._answers.pop(said["id"]).set_exception(SdkError(said["error"]))
            else:
                self._answers.pop(said["id"]).set_result(said["found"])

    async def ask(self, do: str, **options: Any) -> Any:
        """Let it do something; what that gives.

        Raises:
            SdkError: that is what the SDK raised.
        """
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "do": do, **options}).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(_ANSWER_S):
            return await answer

    def given(self, stream: str, event: str) -> list[dict[str, Any]]:
        """The values of one kind that handlers of *stream* were given."""
        return [
            each["value"]
            for each in self.events
            if each.get("stream") == stream and each["event"] == event
        ]

    def complaints(self, stream: str) -> list[str]:
        """What it said of errors: alpaca-py logs them, the other one has an event for them."""
        logged = [each["value"] for each in self.events if each["event"] == "log"]
        return logged + [str(value) for value in self.given(stream, "error")]


@asynccontextmanager
async def running(name: str, command: Sequence[str]) -> AsyncIterator[Sdk]:
    """One SDK until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,  # a line may hold an answer of 12,000 bars
    )
    sdk = Sdk(name, process)
    async with asyncio.TaskGroup() as group:
        collecting = group.create_task(sdk.collect())
        try:
            yield sdk
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await collecting


def python_command() -> list[str]:
    """alpaca-py in this interpreter."""
    return [sys.executable, "-W", "ignore", "-m", "tests.sdk.python_client"]


def js_command() -> list[str]:
    """The JavaScript SDK; a skip without Node.js, in CI a failure."""
    npm.installed()
    return [find_node(), str(npm.FOLDER / "sdk.js")]
