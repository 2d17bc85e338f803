"""A time limit that all requests share."""

import asyncio
import time

import pytest

from gateway.http.time_limit import OutOfTime, TimeLimit


async def slow() -> str:
    await asyncio.sleep(60)
    return "late"


async def quick() -> str:
    await asyncio.sleep(0)
    return "done"


async def test_what_is_in_time_is_not_disturbed_and_nothing_looks_on_for_ever() -> None:
    limit = TimeLimit(0.08, time.monotonic_ns)

    assert [await limit.within(quick()) for _ in range(3)] == ["done"] * 3

    await asyncio.sleep(0.1)
    assert not limit._looks
    assert await limit.within(quick()) == "done"


async def test_what_takes_too_long_is_ended_and_its_task_goes_on() -> None:
    limit = TimeLimit(0.08, time.monotonic_ns)

    for _ in range(2):
        began_s = time.monotonic()
        with pytest.raises(OutOfTime, match=r"no answer within 0\.08 s"):
            await limit.within(slow())
        assert 0.07 < time.monotonic() - began_s < 5

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_only_what_is_slow_is_ended() -> None:
    limit = TimeLimit(0.08, time.monotonic_ns)

    async def steady() -> list[str]:
        found = []
        for _ in range(20):
            found.append(await limit.within(quick()))
            await asyncio.sleep(0.01)
        return found

    async def late() -> None:
        with pytest.raises(OutOfTime):
            await limit.within(slow())

    async with asyncio.TaskGroup() as group:
        group.create_task(late())
        steadily = group.create_task(steady())

    assert steadily.result() == ["done"] * 20


async def test_who_else_ends_the_task_is_obeyed() -> None:
    limit = TimeLimit(60.0, time.monotonic_ns)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(limit.within(slow()))
        await asyncio.sleep(0)
        task.cancel()

    assert task.cancelled()


async def test_who_else_ends_the_task_at_that_moment_is_obeyed() -> None:
    limit = TimeLimit(0.04, lambda: now_ns)
    now_ns = 0

    async def ended_by_both() -> str:
        task = asyncio.current_task()
        assert task is not None
        try:
            return await slow()
        finally:
            task.cancel()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(limit.within(ended_by_both()))
        await asyncio.sleep(0)
        now_ns = 10**9

    assert task.cancelled()


async def test_errors_pass_also_those_of_time_outs_within() -> None:
    limit = TimeLimit(60.0, time.monotonic_ns)

    async def fails() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await limit.within(fails())


async def test_work_that_is_done_all_the_same_counts_as_done() -> None:
    limit = TimeLimit(0.04, time.monotonic_ns)

    async def stubborn() -> str:
        try:
            return await slow()
        except asyncio.CancelledError:
            return "done"

    assert await limit.within(stubborn()) == "done"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
