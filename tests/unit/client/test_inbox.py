"""What waits for the reader of a stream."""

import asyncio

import pytest

from tickgate.client.inbox import Inbox
from tickgate.client.messages import Trade

TRADES = [Trade("A", 1.0, 2.0, number) for number in range(6)]


async def test_a_full_inbox_takes_no_further_batch_until_there_is_room() -> None:
    inbox = Inbox(2)
    await inbox.put(TRADES[:3], "c1")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(inbox.put(TRADES[3:], "c2"))
        await asyncio.sleep(0)
        assert len(inbox) == 3

        first = [await inbox.get(), await inbox.get()]
        await waiting
        rest = [await inbox.get() for _ in range(4)]

    assert first + rest == TRADES


async def test_the_cursor_moves_with_the_last_message_of_its_batch() -> None:
    inbox = Inbox(10)
    await inbox.put(TRADES[:2], "c1")
    await inbox.put([], "c2")
    await inbox.put(TRADES[2:3], "")
    cursors = []
    for _ in range(3):
        await inbox.get()
        cursors.append(inbox.cursor)
    await inbox.put([], "c3")

    assert cursors == ["", "c2", "c2"]
    assert inbox.cursor == "c3"


async def test_whoever_waits_for_an_answer_lets_everything_in() -> None:
    inbox = Inbox(1)
    await inbox.put(TRADES[:1], "")
    with inbox.hurried():
        async with asyncio.timeout(1):
            await inbox.put(TRADES[1:], "")

    assert len(inbox) == 6


async def test_a_closed_inbox_is_emptied_and_then_over() -> None:
    inbox = Inbox(1)
    await inbox.put(TRADES[:1], "")

    inbox.close()

    assert [await inbox.get(), await inbox.get()] == [TRADES[0], None]


def test_an_inbox_without_room_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="max_queued: expected at least 1, was 0"):
        Inbox(0)
