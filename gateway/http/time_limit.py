"""A time limit for very many requests: one timer for all, where each once had several."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from core.market.errors import TickgateError
from core.market.timeframe import SECOND_NS
from core.runtime.ports import MonotonicClock
from gateway.deadlines import Deadlines

T = TypeVar("T")
_LONGEST_STEP_S: Final = 1.0


class OutOfTime(TickgateError):
    """It took longer than it may."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(seconds)

    def __str__(self) -> str:
        return f"no answer within {self.seconds:g} s"


class TimeLimit:
    """Ends what takes longer than ``seconds``, a second (or a quarter of the limit) late at most.

    For one event loop. A timer of the loop and what is beside it cost 2 % of an answer out of the
    database; so one looks at all that are under way, while there are any.
    """

    def __init__(self, seconds: float, monotonic_ns: MonotonicClock) -> None:
        self.seconds = seconds
        self._monotonic_ns = monotonic_ns
        self._step_s = min(_LONGEST_STEP_S, seconds / 4)
        self._deadlines: Deadlines[asyncio.Task[Any]] = Deadlines(int(seconds * SECOND_NS))
        self._over: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looks = False

    async def within(self, work: Awaitable[T]) -> T:
        """Await *work*, as a part of the task that asks; one such at a time in each task.

        Raises:
            OutOfTime: it took too long, and was cancelled.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(self._loop)
        assert task is not None, "a coroutine is run by a task"
        cancelled_before = task.cancelling()
        self._deadlines.start(task, self._monotonic_ns())
        if not self._looks:
            self._looks = True
            self._loop.call_later(self._step_s, self._look, self._loop)
        try:
            return await work
        except asyncio.CancelledError:
            if task in self._over and task.cancelling() - 1 <= cancelled_before:
                raise OutOfTime(self.seconds) from None
            raise  # others want its end
        finally:
            self._deadlines.stop(task)
            if task in self._over:
                self._over.discard(task)
                task.uncancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        for task in self._deadlines.due(self._monotonic_ns()):
            self._over.add(task)
            task.cancel()
        self._looks = len(self._deadlines) > 0
        if self._looks:
            loop.call_later(self._step_s, self._look, loop)
