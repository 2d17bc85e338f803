"""Clients whose token waits for its key to be looked for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import session
from gateway.access.grant import Caller
from gateway.access.guard import Unsure
from gateway.deadlines import Deadlines
from gateway.latecomers import Latecomers, LookFor
from tests.conftest import Eventually

BEFORE = Caller(key_id="bob", by_token=True)
AFTER = Caller(key_id="bob", by_token=True, expires_ns=5)


class Guard:
    """Knows the token's key once it was looked for."""

    def __init__(self) -> None:
        self.is_known, self.failures = False, 0

    def judge(self, shown: object, address: str, *, is_in: bool) -> Caller | Unsure:
        return AFTER if self.is_known else Unsure("key of tomorrow")

    def count_failure(self, address: str) -> None:
        self.failures += 1


class Client:
    """As much of a connection as is asked for."""

    def __init__(self, shared: Any, *, authenticated: bool) -> None:
        self.shared, self.authenticated, self.caller = shared, authenticated, BEFORE
        self.address, self.over, self.group = "", False, None
        self.replies: list[dict[str, Any]] = []
        self.closed: int | None = None

    def reply(self, message: dict[str, Any]) -> None:
        self.replies.append(message)

    def refuse(self, code: int, reason: str) -> None:
        self.reply({"T": "error", "code": code})

    def close(self, code: int, why: str, *, error: tuple[int, str]) -> None:
        self.refuse(*error)
        self.closed = code


@asynccontextmanager
async def asking(guard: Guard, look_for: LookFor, *, authenticated: bool) -> AsyncIterator[Any]:
    """A client whose token is judged once its key was looked for."""
    late = Latecomers(look_for)
    roster = SimpleNamespace(
        auth=Deadlines[Any](10 * 10**9), expire_at=lambda *_: None, let_in=lambda *_: 0
    )
    limits = SimpleNamespace(max_connections_per_key=0)
    shared = SimpleNamespace(
        guard=guard, late=late, roster=roster, limits=limits, monotonic_ns=lambda: 0
    )
    client: Any = Client(shared, authenticated=authenticated)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(late.run())
        session.authenticate(client, session.shown_as("oauth", "a.b.c"))
        yield client
        running.cancel()


@pytest.mark.parametrize("authenticated", [True, False])
async def test_a_token_is_renewed_by_a_key_that_must_be_fetched_and_no_time_runs_out(
    authenticated: bool, eventually: Eventually
) -> None:
    guard = Guard()

    async def look_for(key_id: str) -> bool:
        guard.is_known = True
        return True

    async with asking(guard, look_for, authenticated=authenticated) as client:
        deadlines = client.shared.roster.auth
        waits = client in deadlines
        await eventually(lambda: client.replies)

    assert waits is not authenticated
    assert client.replies == [{"T": "success", "msg": "authenticated"}]
    assert client.caller == AFTER
    assert deadlines.due(11 * 10**9) == []


async def test_of_a_crowd_whose_key_is_fetched_nobody_is_taken_for_a_stranger() -> None:
    guard, looked = Guard(), asyncio.Event()

    async def look_for(key_id: str) -> bool:
        await looked.wait()
        return True

    async with asking(guard, look_for, authenticated=False) as client:
        crowd: list[Any] = [Client(client.shared, authenticated=False) for _ in range(1_000)]
        for one in crowd:
            session.authenticate(one, session.shown_as("oauth", "a.b.c"))

    assert [one.closed for one in crowd] == [None] * 999 + [1013]
    assert guard.failures == 0


@pytest.mark.parametrize(("authenticated", "closed"), [(True, None), (False, 1013)])
async def test_while_keys_cannot_be_had_a_token_is_no_wrong_attempt_and_one_before_holds(
    authenticated: bool, closed: int | None, eventually: Eventually
) -> None:
    guard = Guard()

    async def look_for(key_id: str) -> bool:
        return False

    async with asking(guard, look_for, authenticated=authenticated) as client:
        await eventually(lambda: client.replies)

    assert client.replies == [{"T": "error", "code": 500}]
    assert (client.closed, guard.failures) == (closed, 0)
    assert client.caller == BEFORE
