"""Clients whose token waits for its key to be looked for."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import session
from gateway.access.grant import Caller
from gateway.access.guard import Unsure
from gateway.deadlines import Deadlines
from gateway.latecomers import Latecomers
from tests.conftest import Eventually

BEFORE = Caller(key_id="bob", by_token=True)
AFTER = Caller(key_id="bob", by_token=True, expires_ns=5)


class Guard:
    """Knows the token's key once it was looked for."""

    def __init__(self) -> None:
        self.is_known = False

    def judge(self, shown: object, address: str) -> Caller | Unsure:
        return AFTER if self.is_known else Unsure("key of tomorrow")


class Client:
    """As much of a connection as is asked for."""

    def __init__(self, shared: Any, *, authenticated: bool) -> None:
        self.shared, self.authenticated, self.caller = shared, authenticated, BEFORE
        self.address, self.over, self.group = "", False, None
        self.replies: list[dict[str, Any]] = []

    def reply(self, message: dict[str, Any]) -> None:
        self.replies.append(message)


@pytest.mark.parametrize("authenticated", [True, False])
async def test_a_token_is_renewed_by_a_key_that_must_be_fetched_and_no_time_runs_out(
    authenticated: bool, eventually: Eventually
) -> None:
    guard, deadlines = Guard(), Deadlines[Any](10 * 10**9)

    async def look_for(key_id: str) -> None:
        guard.is_known = True

    late = Latecomers(look_for)
    roster = SimpleNamespace(auth=deadlines, expire_at=lambda *_: None, let_in=lambda *_: 0)
    limits = SimpleNamespace(max_connections_per_key=0)
    client: Any = Client(
        SimpleNamespace(
            guard=guard, late=late, roster=roster, limits=limits, monotonic_ns=lambda: 0
        ),
        authenticated=authenticated,
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(late.run())
        session.authenticate(client, session.shown_as("oauth", "a.b.c"))
        waits = client in deadlines
        await eventually(lambda: client.replies)
        running.cancel()

    assert waits is not authenticated
    assert client.replies == [{"T": "success", "msg": "authenticated"}]
    assert client.caller == AFTER
    assert deadlines.due(11 * 10**9) == []
