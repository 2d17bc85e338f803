"""`tickgate backfill` against fake histories: exact bars, and a second time changes nothing."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from core.market.symbol import make_symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS
from ingest.spec import VENUES
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fakes.history import FakeHistory, fake_history
from tests.fakes.venue import FakeVenue, fake_venue
from tests.integration.system.market import Bars, facts, history, right_bars
from tests.integration.system.programs import running
from tests.integration.system.roles import Deployment, Role, alive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_NAMES = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "BTC/USD"}
_STEP_NS = 1_500_000_000
_QUARTER_NS = 15 * MINUTE_NS


@pytest.fixture
def system(redis_url: str, embedded_migrated_url: str, namespace: str) -> Deployment:
    return Deployment(redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace)


def past(minutes: int) -> int:
    """The start of the quarter of an hour that was so many minutes ago."""
    return (wall_ns() - minutes * MINUTE_NS) // _QUARTER_NS * _QUARTER_NS


def trade(venue: FakeVenue, start_ns: int, count: int, *, pushed: bool = False) -> list[Tick]:
    """Trades from *start_ns* on that only the history knows, unless they are *pushed*."""
    name = _NAMES[venue.feed]
    symbol = make_symbol(venue.feed.upper(), name.replace("/", "-"))
    trades = []
    for n in range(count):
        price, size, at_ns = 100 + n % 7 / 8, 0.25 + n % 3, start_ns + n * _STEP_NS
        number = venue.trade(name, price=price, size=size, at_ns=at_ns, pushed=pushed)
        trades.append(Tick(symbol, number, price, size, at_ns, seq=number))
    return trades


async def backfill(
    system: Deployment, rest: FakeHistory, start_ns: int, end_ns: int, *flags: str
) -> tuple[int, str]:
    """Exit code and output of the program."""
    spec = f"{rest.venue.feed}:{_NAMES[rest.venue.feed]}?rest_url={rest.url}"
    arguments = (
        "--redis-url", system.redis_url, "--namespace", system.namespace, "--feed", spec,
        "--start", stamp(start_ns), "--end", stamp(end_ns), *flags,
    )  # fmt: skip
    async with running("backfill", *arguments) as program, asyncio.timeout(60):
        code = await program.process.wait()
        return code, program.output()


def stamp(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 10**9, UTC).isoformat().replace("+00:00", "Z")


async def stored(gateway: Role, trades: Sequence[Tick]) -> dict[tuple[str, str, int], int]:
    """Check that the history is what *trades* say; the revisions."""
    found = await history(gateway.url, [trades[0].symbol])
    right: Bars = right_bars(trades)
    assert {key: facts(bar) for key, bar in found.items()} == right
    return {key: bar["rev"] for key, bar in found.items()}


@pytest.mark.parametrize("feed", VENUES)
async def test_a_span_of_history_becomes_bars_and_a_second_time_changes_nothing(
    feed: str, system: Deployment, eventually: Eventually
) -> None:
    start_ns = past(600)
    async with (
        fake_venue(feed) as venue,
        fake_history(venue) as rest,
        system.aggregate() as aggregate,
        system.gateway() as gateway,
    ):
        trades = trade(venue, start_ns, 2_400)  # an hour
        inside = trades[400:2_000]
        span = inside[0].event_ns, trades[2_000].event_ns
        await alive(aggregate)
        await alive(gateway)

        code, said = await backfill(system, rest, *span)
        assert code == 0, said
        assert f"{_NAMES[feed]}: 1600 trades from" in said
        first = await eventually(lambda: stored(gateway, inside), timeout_s=20)
        assert set(first.values()) == {0}

        code, said = await backfill(system, rest, *span)
        assert code == 0, said
        assert await stored(gateway, inside) == first

        code, said = await backfill(system, rest, start_ns, trades[-1].event_ns + 1)
        assert code == 0, said
        await eventually(lambda: stored(gateway, trades), timeout_s=20)


async def test_trades_of_a_live_feed_are_not_counted_twice_and_it_goes_on(
    system: Deployment, eventually: Eventually
) -> None:
    async with (
        fake_venue("coinbase") as venue,
        fake_history(venue) as rest,
        system.ingest(f"coinbase:BTC-USD?url={venue.url}&rest_url={rest.url}&silence=5") as ingest,
        system.aggregate() as aggregate,
        system.gateway() as gateway,
    ):
        for role in (ingest, aggregate, gateway):
            await alive(role)
        await eventually(lambda: venue.subscribed)
        start_ns = past(60)
        trades = trade(venue, start_ns, 600)
        trades += trade(venue, start_ns + 20 * MINUTE_NS, 100, pushed=True)

        code, said = await backfill(system, rest, start_ns, wall_ns())
        assert code == 0, said
        trades += trade(venue, start_ns + 20 * MINUTE_NS + 100 * _STEP_NS, 600, pushed=True)

        closed = [t for t in trades if t.event_ns < trades[-1].event_ns - 5 * 10**9]

        async def exact() -> bool:
            found = await history(gateway.url, [trades[0].symbol])
            right = {
                key: bar for key, bar in right_bars(trades).items()
                if key[2] + {"1Min": 1, "5Min": 5, "15Min": 15}[key[1]] * MINUTE_NS
                <= closed[-1].event_ns
            }  # fmt: skip
            assert {key: facts(bar) for key, bar in found.items()} == right
            return True

        await eventually(exact, timeout_s=20)


async def test_what_the_venue_has_not_got_is_said(
    system: Deployment, eventually: Eventually
) -> None:
    async with (
        fake_venue("binance") as venue,
        fake_history(venue) as rest,
        system.aggregate() as aggregate,
    ):
        await alive(aggregate)
        start_ns = past(60)
        trade(venue, start_ns, 100)
        rest.forgotten = {("BTCUSDT", 50), ("BTCUSDT", 51)}

        code, said = await backfill(system, rest, start_ns, wall_ns())

        assert code == 1
        assert "98 trades from" in said
        assert "2 trades between them are not in the venue's history" in said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--start", "yesterday"), "--start: expected a time such as"),
        (("--end", "1990-01-01"), "--end: expected a time after --start"),
        (("--start", "2200-01-01", "--end", "2200-01-02"), "--start: expected a time in the past"),
        (("--feed", "sim:"), "accepted: coinbase, binance or kraken"),
        (("--strat", "2024-01-01"), "did you mean --start"),
    ],
)
async def test_what_is_wrong_is_said_in_words(
    flags: tuple[str, ...], words: str, system: Deployment
) -> None:
    async with fake_history(FakeVenue("binance")) as rest:
        code, said = await backfill(system, rest, past(60), past(30), *flags)

    assert code == 2
    assert words in said


async def test_a_venue_that_does_not_answer_ends_it_and_so_does_a_system_without_aggregator(
    system: Deployment,
) -> None:
    async with fake_venue("binance") as venue, fake_history(venue) as rest:
        rest.fault = 500
        code, said = await backfill(system, rest, past(60), past(30), "--gap-fill-s", "0.3")

        assert code == 1
        assert "the trade history of binance" in said
        assert "status 500" in said
