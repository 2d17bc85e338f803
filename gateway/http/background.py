"""What goes on beside the requests while an application runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

from aiohttp import web


def in_background(
    run: Callable[[], Coroutine[Any, Any, None]], name: str
) -> Callable[[web.Application], AsyncIterator[None]]:
    """*run*, which goes on for ever, as a task called *name*; for an application's cleanup_ctx."""

    async def running(_app: web.Application) -> AsyncIterator[None]:
        # No TaskGroup could own it: what comes before and after the yield are two tasks in tests.
        task = asyncio.get_running_loop().create_task(run(), name=name)
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return running
