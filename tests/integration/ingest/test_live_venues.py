import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from core.market.tick import Side
from ingest.spec import VENUES
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fakes.venue import FakeVenue, fake_venue, trade_frame
from tests.integration.ingest.rig import Stored, running

NAMES = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "BTC/USD"}
SYMBOLS = {
    "coinbase": "COINBASE:BTC-USD", "binance": "BINANCE:BTCUSDT", "kraken": "KRAKEN:BTC-USD",
}  # fmt: skip


def spec(venue: FakeVenue, *, silence_s: float = 0.6) -> str:
    return f"{venue.feed}:{NAMES[venue.feed]}?url={venue.url}&silence={silence_s}"


@pytest.mark.parametrize("feed", VENUES)
async def test_live_trades_reach_the_stream_and_history_does_not(
    feed: str, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_venue(feed) as venue, running([spec(venue)], redis_url, namespace):
        await eventually(lambda: venue.subscribed)
        now_ns = wall_ns() // 10**6 * 10**6
        for n in range(3):
            venue.trade(NAMES[feed], price=10.5 + n, size=0.25, at_ns=now_ns + n * 10**6)

        async def all_there() -> bool:
            return len(await stored.ticks()) == 3

        await eventually(all_there)
        ticks = await stored.ticks()

        async def live() -> bool:
            return any(f.state == "live" and f.ticks == 3 for f in await stored.statuses())

        await eventually(live)
        history = (await stored.status()).history

    assert [(t.symbol, t.trade_id, t.price, t.size, t.event_ns, t.side) for t in ticks] == [
        (SYMBOLS[feed], n + 1, 10.5 + n, 0.25, now_ns + n * 10**6, Side.BUY) for n in range(3)
    ]
    assert history == (0 if feed == "binance" else 1)


async def hang_up(venue: FakeVenue) -> None:
    await venue.hang_up()


async def half_frame(venue: FakeVenue) -> None:
    venue.half_frame()


async def slow_drip(venue: FakeVenue) -> None:
    await venue.drip('{"type":"heartbeat"}' + " " * 80, pause_s=0.02)


async def broken_wire(venue: FakeVenue) -> None:
    venue.raw(b"\xff\xff\xff\xff nothing of the protocol")


async def oversized(venue: FakeVenue) -> None:
    venue.push('{"pad":"' + "x" * 5_000_000 + '"}')


async def shut_door(venue: FakeVenue) -> None:
    await venue.refuse()
    await venue.listen()


async def silence(venue: FakeVenue) -> None:
    venue.mute = True  # answers WebSocket pings only, until it has been left


@pytest.mark.parametrize(
    "misbehave",
    [hang_up, half_frame, slow_drip, broken_wire, oversized, shut_door, silence],
    ids=lambda misbehaviour: misbehaviour.__name__,
)
@pytest.mark.parametrize("feed", ["coinbase", "binance"])
async def test_a_venue_that_misbehaves_is_left_and_connected_to_again(
    feed: str,
    misbehave: Callable[[FakeVenue], Awaitable[None]],
    redis_url: str,
    namespace: str,
    stored: Stored,
    eventually: Eventually,
) -> None:
    async with fake_venue(feed) as venue, running([spec(venue)], redis_url, namespace):
        await eventually(lambda: venue.subscribed)
        venue.trade(NAMES[feed], at_ns=wall_ns())

        async def first_there() -> bool:
            return await stored.ids(SYMBOLS[feed]) == [1]

        await eventually(first_there)
        before = venue.connections

        await misbehave(venue)

        await eventually(lambda: venue.connections > before)
        venue.mute = False
        await eventually(lambda: venue.subscribed)
        venue.trade(NAMES[feed], at_ns=wall_ns())

        async def both_there() -> bool:
            return await stored.ids(SYMBOLS[feed]) == [1, 2]

        await eventually(both_there)

        async def counted() -> bool:
            return any(f.reconnects >= 1 for f in await stored.statuses())

        await eventually(counted)


async def test_a_quiet_venue_that_answers_the_probe_is_not_left(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_venue("binance") as venue, running([spec(venue)], redis_url, namespace):
        await eventually(lambda: len(venue.received) >= 5)  # the subscription and four probes

        assert venue.connections == 1
        assert {r["method"] for r in venue.received[1:]} == {"LIST_SUBSCRIPTIONS"}


async def test_a_trade_delivered_again_after_a_reconnection_counts_once(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_venue("coinbase") as venue, running([spec(venue)], redis_url, namespace):
        await eventually(lambda: venue.subscribed)
        now_ns = wall_ns()
        frames = [trade_frame("coinbase", "BTC-USD", n, at_ns=now_ns) for n in (1, 2, 3)]
        venue.push(*frames[:2])

        async def two_there() -> bool:
            return len(await stored.ids("COINBASE:BTC-USD")) == 2

        await eventually(two_there)
        await venue.hang_up()
        await eventually(lambda: venue.connections == 2 and venue.subscribed)
        venue.push(*frames)

        async def counted() -> bool:
            return any(f.duplicates == 2 for f in await stored.statuses())

        await eventually(counted)
        assert await stored.ids("COINBASE:BTC-USD") == [1, 2, 3]


async def test_bad_trades_and_garbage_are_kept_out_and_the_rest_comes_through(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_venue("coinbase") as venue, running([spec(venue)], redis_url, namespace):
        await eventually(lambda: venue.subscribed)
        now_ns = wall_ns()

        def frame(trade_id: int, *, price: float = 1.0, size: float = 1.0, ahead_s: int = 0) -> str:
            at_ns = now_ns + ahead_s * 10**9
            return trade_frame("coinbase", "BTC-USD", trade_id, price=price, size=size, at_ns=at_ns)

        venue.push(
            frame(1), "no JSON", b"\x00\xff", '{"type":"match"}', frame(2, price=float("nan")),
            frame(3, price=0.0), frame(4, size=-1.0), frame(5, ahead_s=60),
            frame(6, ahead_s=-90_000), frame(7),
        )  # fmt: skip

        async def kept_out() -> bool:
            return len(await stored.quarantined()) == 5

        await eventually(kept_out)
        reasons = [(r.tick.trade_id, r.reason) for r in await stored.quarantined()]

        async def good_there() -> bool:
            return await stored.ids("COINBASE:BTC-USD") == [1, 7]

        await eventually(good_there)
        assert venue.connections == 1
    assert reasons == [
        (2, "not_finite"), (3, "price_not_positive"), (4, "size_not_positive"), (5, "future"),
        (6, "late"),
    ]  # fmt: skip


@pytest.mark.parametrize("feed", ["coinbase", "kraken"])
async def test_a_refused_subscription_is_shown_in_the_venues_words(
    feed: str, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_venue(feed) as venue:
        venue.unknown.add(NAMES[feed])
        async with running([spec(venue, silence_s=30)], redis_url, namespace):

            async def shown() -> bool:
                return any(
                    f.state == "failed" and NAMES[feed] in f.detail for f in await stored.statuses()
                )

            await eventually(shown)


async def test_a_venue_that_is_not_there_is_tried_again_until_it_is(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_venue("kraken") as venue:
        await venue.refuse()
        async with running([spec(venue)], redis_url, namespace):

            async def tried() -> bool:
                return any(f.reconnects >= 2 for f in await stored.statuses())

            await eventually(tried)
            assert (await stored.status()).state == "connecting"
            await venue.listen()

            await eventually(lambda: venue.subscribed)


async def test_the_coinbase_capture_is_played_through_the_role(
    market_data: Path, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    with gzip.open(market_data / "captures" / "coinbase_exchange.jsonl.gz", "rt") as lines:
        frames = [json.loads(line)["message"] for line in lines]
    async with fake_venue("coinbase") as venue, running([spec(venue)], redis_url, namespace):
        await eventually(lambda: venue.subscribed)

        venue.push(*frames)

        async def all_there() -> bool:
            return len(await stored.ticks()) == 97

        await eventually(all_there)

        async def counted() -> bool:
            return any(f.history == 11 for f in await stored.statuses())  # 10 and the fake's own

        await eventually(counted)
