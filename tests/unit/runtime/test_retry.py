"""Waiting for a dependency: what readiness says meanwhile."""

import asyncio
import logging

import pytest

from core.market.errors import TickgateError
from core.runtime.readiness import Readiness
from core.runtime.retry import wait_out
from tests.conftest import Eventually


class Away(TickgateError):
    """Not there."""


def readiness() -> Readiness:
    return Readiness(lambda: 0, "database")


async def test_a_call_that_hangs_shows_in_readiness_until_it_returns(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    answer, told = asyncio.Event(), readiness()
    told.up("database")

    async with asyncio.TaskGroup() as group:
        group.create_task(
            wait_out(
                answer.wait,
                dependency="database",
                readiness=told,
                away=Away,
                stop=asyncio.Event(),
                patience_s=0.001,
            )
        )
        await eventually(lambda: not told.ready)
        reason = told.states()["database"].reason
        answer.set()

    assert reason == "no answer for 0.001 s to what is asked of the database; still waiting"
    assert told.ready
    told_of = [each for each in caplog.records if each.name == "core.runtime.retry"]
    assert len([each for each in told_of if each.levelno == logging.WARNING]) == 1


async def test_the_last_answer_of_a_server_that_is_gone_does_not_bring_it_back(
    eventually: Eventually,
) -> None:
    told, answer = readiness(), asyncio.Event()
    told.up("database")

    async with asyncio.TaskGroup() as group:
        asked = group.create_task(
            wait_out(
                answer.wait, dependency="database", readiness=told, away=Away, stop=asyncio.Event()
            )
        )
        await asyncio.sleep(0)
        told.down("database", "refused")
        answer.set()
        await asked
        gone = told.ready
        await wait_out(
            answer.wait, dependency="database", readiness=told, away=Away, stop=asyncio.Event()
        )

    assert not gone
    assert told.ready


async def test_a_call_that_returns_in_time_is_not_news(caplog: pytest.LogCaptureFixture) -> None:
    told = readiness()
    told.up("database")

    async def call() -> int:
        return 7

    found = await wait_out(
        call, dependency="database", readiness=told, away=Away, stop=asyncio.Event()
    )

    assert found == 7
    assert not caplog.records


async def test_once_stopped_the_next_failure_is_the_last() -> None:
    told, stop = readiness(), asyncio.Event()
    stop.set()

    async def call() -> None:
        raise Away("gone")

    with pytest.raises(Away):
        await wait_out(call, dependency="database", readiness=told, away=Away, stop=stop)
