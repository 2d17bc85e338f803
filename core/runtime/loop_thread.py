"""LoopThread: an event loop in a thread of its own, for work that shall not hold up this one."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_START_S: Final = 5.0
_STOP_S: Final = 5.0


class LoopThread:
    """Runs coroutines elsewhere. What they use of asyncio must have been made there, too."""

    def __init__(self, name: str) -> None:
        """*name* is that of the thread, which :meth:`start` starts."""
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    def start(self) -> None:
        """Start the thread, and wait until its loop runs, at most 5 s."""
        self._thread.start()
        self._started.wait(_START_S)

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do *work* there; raises what it raises. A cancellation here is one there.

        Raises:
            RuntimeError: the thread does not run.
        """
        if self._loop is None:
            raise RuntimeError(f"thread {self._thread.name} does not run")
        future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Cancel what runs there and wait for the thread's end, at most 5 s."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(self._stop.set)
            await asyncio.to_thread(self._thread.join, _STOP_S)

    def _main(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started.set()
        await self._stop.wait()
