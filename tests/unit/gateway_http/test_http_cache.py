"""One load for all who ask, whatever happens to the one who loads."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from gateway.http.cache import SingleFlight


class Source:
    """Something slow to load from: each load waits until it is let go."""

    def __init__(self) -> None:
        self.loads = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def load(self) -> int:
        self.loads += 1
        number = self.loads
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return number


class Times:
    """A monotonic clock that stands still until it is moved."""

    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def flight(
    clock: Times, on_lookup: Callable[[str], None] = lambda outcome: None, max_keys: int = 2
) -> SingleFlight[str, int]:
    return SingleFlight(ttl_ns=10, max_keys=max_keys, monotonic_ns=clock, on_lookup=on_lookup)


async def asking(group: asyncio.TaskGroup, cache: SingleFlight[str, int], source: Source, n: int):  # type: ignore[no-untyped-def]
    tasks = [group.create_task(cache.get("k", source.load)) for _ in range(n)]
    await asyncio.sleep(0)
    return tasks


async def test_all_who_ask_at_once_share_one_load() -> None:
    source, outcomes = Source(), Counter[str]()
    cache = flight(Times(), lambda outcome: outcomes.update([outcome]))

    async with asyncio.TaskGroup() as group:
        tasks = await asking(group, cache, source, 5)
        source.gate.set()

    assert [task.result() for task in tasks] == [1] * 5
    assert await cache.get("k", source.load) == 1
    assert outcomes == {"load": 1, "joined": 4, "hit": 1}


async def test_a_value_is_loaded_anew_once_it_is_old() -> None:
    source, clock = Source(), Times()
    cache = flight(clock)
    source.gate.set()

    first = await cache.get("k", source.load)
    clock.now_ns = 9
    kept = await cache.get("k", source.load)
    clock.now_ns = 10
    anew = await cache.get("k", source.load)

    assert (first, kept, anew) == (1, 1, 2)


async def test_the_oldest_key_makes_room_for_a_new_one() -> None:
    source = Source()
    cache = flight(Times())
    source.gate.set()

    for key in ("a", "b", "c"):
        await cache.get(key, source.load)

    assert await cache.get("b", source.load) == 2
    assert await cache.get("a", source.load) == 4


async def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    source = Source()
    cache = flight(Times())
    source.error = ValueError("away")

    async def ask() -> str:
        with pytest.raises(ValueError, match="away"):
            await cache.get("k", source.load)
        return "raised"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask()) for _ in range(3)]
        await asyncio.sleep(0)
        source.gate.set()
    source.error = None

    assert [task.result() for task in tasks] == ["raised"] * 3
    assert await cache.get("k", source.load) == 2


async def test_when_the_loading_caller_is_cancelled_another_takes_over() -> None:
    source = Source()
    cache = flight(Times())

    async with asyncio.TaskGroup() as group:
        tasks = await asking(group, cache, source, 3)
        tasks[0].cancel()
        await asyncio.sleep(0)
        source.gate.set()

    assert tasks[0].cancelled()
    assert [task.result() for task in tasks[1:]] == [2, 2]


async def test_a_waiting_caller_that_is_cancelled_disturbs_nobody() -> None:
    source = Source()
    cache = flight(Times())

    async with asyncio.TaskGroup() as group:
        tasks = await asking(group, cache, source, 3)
        tasks[1].cancel()
        await asyncio.sleep(0)
        source.gate.set()

    assert tasks[1].cancelled()
    assert (tasks[0].result(), tasks[2].result()) == (1, 1)
