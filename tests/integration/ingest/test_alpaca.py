import pytest

from core.market.notice import Cancel, Correction, Notice
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fakes.alpaca import KEY, SECRET, FakeAlpaca, cancel, correction, fake_alpaca, trade
from tests.integration.ingest.rig import Stored, running


def spec(venue: FakeAlpaca, options: str = "") -> str:
    login = f"key={KEY}&secret={SECRET}"
    return f"alpaca:AAPL,BTC/USD?url={venue.url}&silence=0.6&{login}{options}"


async def notices(stored: Stored) -> list[Notice]:
    """Of all streams, in order of their times."""
    found = [
        notice
        for blocks in (await stored.blocks()).values()
        for block in blocks
        for notice in block.meta.notices
    ]
    return sorted(found, key=lambda notice: getattr(notice, "event_ns", 0))


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_trades_and_what_is_said_about_them_later_reach_the_stream_in_order(
    encoding: str, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_alpaca() as venue:
        wanted = spec(venue, f"&encoding={encoding}")
        async with running([wanted], redis_url, namespace):
            await eventually(lambda: venue.subscribed)
            now_ns = wall_ns() // 10**6 * 10**6
            await venue.push(
                trade("AAPL", 1, price=10.0, size=2, at_ns=now_ns),
                trade("AAPL", 2, price=11.0, size=1, at_ns=now_ns + 10**6),
                correction("AAPL", (1, 10.0, 2), (3, 10.5, 2), at_ns=now_ns + 2 * 10**6),
            )
            await venue.push(cancel("AAPL", 2, price=11.0, size=1, at_ns=now_ns + 3 * 10**6))

            async def all_there() -> bool:
                return len(await notices(stored)) == 2

            await eventually(all_there)
            ticks = await stored.ids("ALPACA:AAPL")
            first, second = await notices(stored)

    assert ticks == [1, 2]
    assert isinstance(first, Correction)
    assert (first.trade_id, first.new_id, first.new_price) == (1, 3, 10.5)
    assert isinstance(second, Cancel)
    assert (second.symbol, second.trade_id, second.event_ns) == (
        "ALPACA:AAPL", 2, now_ns + 3 * 10**6,
    )  # fmt: skip


async def test_a_quiet_venue_is_probed_and_one_that_hangs_up_is_logged_into_again(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_alpaca() as venue, running([spec(venue)], redis_url, namespace):
        await eventually(lambda: [r["action"] for r in venue.received].count("subscribe") >= 3)
        assert venue.connections == 1

        await venue.hang_up()

        await eventually(lambda: venue.connections == 2 and venue.subscribed)
        assert [r["action"] for r in venue.received].count("auth") == 2


async def test_a_refused_key_is_shown(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_alpaca() as venue:
        wanted = f"alpaca:AAPL?url={venue.url}&key={KEY}&secret=wrong&silence=30"
        async with running([wanted], redis_url, namespace):

            async def shown() -> bool:
                found = await stored.statuses()
                return any(f.state == "failed" and "auth failed" in f.detail for f in found)

            await eventually(shown)
