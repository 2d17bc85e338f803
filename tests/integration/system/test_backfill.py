"""The command `tickgate backfill`, as it is run beside an aggregator."""

import asyncio
from datetime import UTC, datetime

import pytest

from core.market.timeframe import MINUTE_NS
from tests.clocks import wall_ns
from tests.fakes.history import FakeHistory, fake_history
from tests.fakes.venue import FakeVenue, fake_venue
from tests.integration.system.programs import running
from tests.integration.system.roles import Deployment, alive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def backfill(
    system: Deployment, rest: FakeHistory, start_ns: int, end_ns: int
) -> tuple[int, str]:
    """Exit code and output of the program."""
    arguments = (
        "--redis-url", system.redis_url, "--namespace", system.namespace,
        "--feed", f"coinbase:BTC-USD?rest_url={rest.url}",
        "--start", stamp(start_ns), "--end", stamp(end_ns), "--gap-fill-s", "0.5",
    )  # fmt: skip
    async with running("backfill", *arguments) as program, asyncio.timeout(60):
        return await program.exit_code(), program.output()


def stamp(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def trade(venue: FakeVenue, start_ns: int, count: int) -> None:
    for n in range(count):
        venue.trade("BTC-USD", at_ns=start_ns + n * 10**9, pushed=False)


async def test_it_says_what_it_brought_what_is_missing_and_who_does_not_answer(
    redis_url: str, embedded_migrated_url: str, namespace: str
) -> None:
    system = Deployment(
        redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace
    )
    start_ns = (wall_ns() - 60 * MINUTE_NS) // MINUTE_NS * MINUTE_NS
    async with (
        fake_venue("coinbase") as venue,
        fake_history(venue) as rest,
        system.aggregate() as aggregate,
    ):
        trade(venue, start_ns, 100)
        await alive(aggregate)

        code, said = await backfill(system, rest, start_ns, start_ns + 90 * 10**9)
        first, last = stamp(start_ns), stamp(start_ns + 89 * 10**9)
        assert f"coinbase BTC-USD: 90 trades from {first} to {last}" in said
        assert code == 0, said

        rest.forgotten = {("BTC-USD", 50), ("BTC-USD", 51)}
        code, said = await backfill(system, rest, start_ns, wall_ns())
        assert "2 trades between them are not in the venue's history" in said
        assert code == 1, said

        rest.fault = 500
        code, said = await backfill(system, rest, start_ns, wall_ns())
        assert "the trade history of coinbase" in said
        assert "status 500" in said
        assert code == 1, said
