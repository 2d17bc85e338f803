"""Work on the loop of another thread: done there, its errors and cancellations come across."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from core.runtime.loop_thread import LoopThread


@pytest.fixture
async def thread() -> AsyncIterator[LoopThread]:
    thread = LoopThread("other")
    thread.start()
    yield thread
    await thread.close()


async def test_work_is_done_in_the_other_thread(thread: LoopThread) -> None:
    async def name() -> str:
        return threading.current_thread().name

    assert await thread.run(name) == "other"


async def test_an_error_comes_across(thread: LoopThread) -> None:
    async def fail() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await thread.run(fail)


async def test_a_cancellation_goes_across(thread: LoopThread) -> None:
    began, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.timeout(10):
        task = asyncio.ensure_future(thread.run(wait))  # noqa: TID251 - it is cancelled below
        assert await asyncio.to_thread(began.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 5)


async def test_the_end_cancels_what_runs() -> None:
    thread, began, ended = LoopThread("brief"), threading.Event(), threading.Event()
    thread.start()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(thread.run(wait))
        assert await asyncio.to_thread(began.wait, 5)
        await thread.close()
        assert ended.is_set()
        waiting.cancel()

    with pytest.raises(RuntimeError, match="thread brief does not run"):
        await thread.run(wait)
