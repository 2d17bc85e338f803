"""What the Python servers share: their argument, their schedule, and the batch of each client.

A server is started with the path of the subscriptions (a line per client: symbols, separated by
commas; client 17 asks for the path /17), prints "ready PORT", and plays the script that a line on
its standard input names.
"""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench.fanout.script import Window, read_in_process

_SECOND_NS = 1_000_000_000


def subscriptions() -> list[list[int]]:
    """By client number."""
    lines = Path(sys.argv[1]).read_text().splitlines()
    return [[int(word) for word in line.split(",")] for line in lines]


def number_of(path: str) -> int:
    """The client's number, from the path of its request."""
    return int(path.removeprefix("/"))


async def windows(port: int) -> AsyncIterator[Window]:
    """Say that the server is ready, wait for the script, then each window when it is due."""
    print(f"ready {port}", flush=True)
    loop = asyncio.get_running_loop()
    script = await loop.run_in_executor(None, _script)
    gc.collect()
    gc.freeze()  # the script is none of the server's garbage
    for window in script:
        delay_ns = window.due_ns - time.time_ns()  # noqa: TID251 - the schedule is in wall time
        await asyncio.sleep(max(0, delay_ns) / _SECOND_NS)
        yield window
    await loop.run_in_executor(None, sys.stdin.readline)


def _script() -> list[Window]:
    path = sys.stdin.readline().strip()
    return read_in_process(Path(path).read_bytes())[1] if path else []


def message_for_all(window: Window, asked: Sequence[Sequence[int]]) -> bytes | None:
    """The one message of a window whose clients all get the same."""
    return window.messages[0][0] if len(asked[0]) == 1 else None


def batches(window: Window, asked: Sequence[Sequence[int]]) -> Iterator[tuple[int, bytes]]:
    """The numbers of clients, and the window's messages of their symbols in one array."""
    messages: Mapping[int, Sequence[bytes]] = window.messages
    for number, symbols in enumerate(asked):
        texts: list[bytes] = []
        for symbol in symbols:
            texts += messages.get(symbol, ())
        if texts:
            yield number, b"[" + b",".join(texts) + b"]"
