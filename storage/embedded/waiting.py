"""Waiting for what can only be looked at: files of a server, the end of a process."""

import asyncio
from collections.abc import Callable

_POLL_S = 0.005  # starts and ends take tens of ms


async def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until *condition* holds; False when it still does not after *timeout_s*.

    What *condition* raises ends the wait.
    """
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        if asyncio.get_running_loop().time() >= deadline_s:
            return False
        await asyncio.sleep(_POLL_S)
    return True
