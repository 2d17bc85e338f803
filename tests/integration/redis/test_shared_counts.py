"""The requests of a key, counted by all gateways together over Sentinels and over a Cluster.

By TLS, and as a user with the documented rights. A failover costs the sharing, not the answers.
"""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from limits.aio.strategies import FixedWindowRateLimiter

from gateway.access.rates import Allowance, Rates
from gateway.tally_memory import private
from storage.redis import connect
from storage.shared_counts import SharedCounts
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.redis_servers import Server, certify, clustered, documented_rights, watched

LIMIT = 1_000  # so that each request is counted at once
TIMEOUT_S = 0.25  # as gateways have it


class Gateways:
    """Two that count together."""

    def __init__(self, both: Sequence[Rates]) -> None:
        self._both = both

    async def ask(self, number: int) -> list[Allowance]:
        """So many requests, to one and the other in turn."""
        return [
            rates.take("caller", LIMIT) or await rates.ask("caller", LIMIT)
            for n in range(number)
            for rates in (self._both[n % 2],)
        ]

    async def share(self) -> bool:
        """Do both count in Redis?"""
        await self.ask(2)
        return not any(rates.is_local for rates in self._both)


def gateways(url: str, stack: AsyncExitStack) -> Gateways:
    both = []
    for _ in range(2):
        redis = connect(url, command_timeout_s=TIMEOUT_S)
        stack.push_async_callback(redis.aclose)
        shared = SharedCounts(redis, namespace="test", now_s=lambda: wall_ns() / 1e9)
        both.append(
            Rates(
                FixedWindowRateLimiter(shared),
                private(),
                now_ns=wall_ns,
                monotonic_ns=time.monotonic_ns,
            )
        )
    return Gateways(both)


async def admit(servers: Sequence[Server]) -> str:
    """Make a user that has no more rights than operators are told of; name and password."""
    for server in servers:
        await server.ask("ACL", "SETUSER", "tickgate", "on", ">pw", *documented_rights("test"))
    return "tickgate:pw"


async def holder(masters: Sequence[Server]) -> Server:
    """The one that has the count."""
    for server in masters:
        if await server.ask("DBSIZE"):
            return server
    raise AssertionError("no count")


def remaining(found: Sequence[Allowance]) -> list[int]:
    return [each.remaining for each in found]


async def check(
    url: str, masters: Sequence[Server], caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    """Count together, lose the server that counts, and count together again."""
    async with AsyncExitStack() as stack:
        both = gateways(url, stack)
        before = await both.ask(20)
        (await holder(masters)).kill()
        took = []
        for _ in range(20):
            started_s = time.monotonic()
            assert (await both.ask(1))[0].allowed
            took.append(time.monotonic() - started_s)
        is_shared = await both.share()
        await eventually(both.share, timeout_s=20)
        after = await both.ask(20)

    assert remaining(before) == list(range(LIMIT - 1, LIMIT - 21, -1))
    assert sum(each > TIMEOUT_S / 2 for each in took) <= 2, took  # the first of each, at most
    assert max(took) < 2.0
    assert not is_shared
    first = after[0].remaining
    assert first < LIMIT - 20  # what was counted before the failover still is
    assert remaining(after) == list(range(first, first - 20, -1))
    assert caplog.text.count("counted by this gateway alone") == 2


async def test_over_sentinels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    await certify(tmp_path)
    async with watched("redis", tmp_path, tls=tmp_path) as servers:
        user = await admit(servers.servers)
        await check(servers.url_as(user), servers.servers[:1], caplog, eventually)


async def test_over_a_cluster(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    await certify(tmp_path)
    async with clustered("redis", tmp_path, tls=tmp_path) as servers:
        user = await admit(servers.servers)
        await check(servers.url_as(user), servers.servers[:3], caplog, eventually)


async def test_a_user_without_the_rights_costs_no_answer_and_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server("valkey", tmp_path)
    await server.start()
    try:
        rights = [right for right in documented_rights("test") if right != "+incrby"]
        await server.ask("ACL", "SETUSER", "tickgate", "on", ">pw", *rights)
        async with AsyncExitStack() as stack:
            both = gateways(f"redis://tickgate:pw@127.0.0.1:{server.port}", stack)
            found = await both.ask(4)
    finally:
        server.kill()

    assert remaining(found) == [LIMIT - 1, LIMIT - 1, LIMIT - 2, LIMIT - 2]
    assert "counted by this gateway alone: Redis at 127.0.0.1" in caplog.text
    assert "no permissions to run the 'incrby' command" in caplog.text
