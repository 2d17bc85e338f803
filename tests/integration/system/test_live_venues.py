"""Three live venues at once through the whole system, and everything they do wrong."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from core.market.symbol import make_symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from ingest.spec import VENUES
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fakes.venue import FakeVenue, fake_venue, trade_frame
from tests.integration.system.dev import dev, get
from tests.integration.system.market import Bars, facts, history, ids_of, right_bars
from tests.integration.system.subscriber import subscribed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_NAMES = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "BTC/USD"}
_STEP_NS = 4 * 10**9  # less than the 5 s that a trade may be ahead of feed time
_TRADES = 100  # so many steps leave seven minutes and one span of five behind
_SILENCE_S = 1.0
_REFUSED = {"price_not_positive": 1, "size_not_positive": 1, "future": 1}
_QUARTER_NS = 15 * MINUTE_NS


@pytest.fixture
async def venues() -> AsyncIterator[dict[str, FakeVenue]]:
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(fake_venue(name)) for name in VENUES}


def good_trades(feed: str, start_ns: int) -> list[Tick]:
    symbol = make_symbol(feed.upper(), _NAMES[feed].replace("/", "-"))
    return [
        Tick(symbol, n, 100 + n % 7 / 8, 0.25 + n % 3, start_ns + n * _STEP_NS, seq=n)
        for n in range(10, 10 + _TRADES)  # the fakes' history has lower ids
    ]


def play(venue: FakeVenue, trades: Sequence[Tick]) -> None:
    """One frame each, so that feed time goes on from trade to trade."""
    name = _NAMES[venue.feed]
    venue.push(
        *(
            trade_frame(venue.feed, name, t.trade_id, price=t.price, size=t.size, at_ns=t.event_ns)
            for t in trades
        )
    )


def play_nonsense(venue: FakeVenue, at_ns: int) -> None:
    """Four trades that are none, and two frames that nobody can read."""
    name = _NAMES[venue.feed]
    venue.push(
        trade_frame(venue.feed, name, 9_001, price=0.0, at_ns=at_ns),
        trade_frame(venue.feed, name, 9_002, size=-1.0, at_ns=at_ns),
        trade_frame(venue.feed, name, 9_003, at_ns=at_ns + 60 * 10**9),
        trade_frame(venue.feed, name, 9_004, price=math.nan, at_ns=at_ns).replace(
            "Infinity", "1e999"
        ),
        "no JSON",
        b"\x00\xff",
    )


async def break_off(venue: FakeVenue) -> None:
    """Each in its own way."""
    match venue.feed:
        case "coinbase":
            venue.half_frame()
        case "binance":
            venue.raw(b"\xff\xff\xff\xff nothing of the protocol")
        case _:
            await venue.hang_up()


async def test_three_venues_at_once(
    venues: dict[str, FakeVenue], tmp_path: Path, eventually: Eventually
) -> None:
    start_ns = (wall_ns() - 20 * MINUTE_NS) // _QUARTER_NS * _QUARTER_NS
    good = {name: good_trades(name, start_ns) for name in VENUES}
    everything = [trade for name in VENUES for trade in good[name]]
    arguments = [
        part
        for name, venue in venues.items()
        for part in ("--feed", f"{name}:{_NAMES[name]}?url={venue.url}&silence={_SILENCE_S}")
    ]
    async with dev(*arguments, data_dir=tmp_path) as running:
        address = await running.address()
        async with subscribed(address, trades=["*"], bars=["*"], bars5Min=["*"]) as client:
            for venue in venues.values():
                await eventually(lambda venue=venue: venue.subscribed)
            half = _TRADES // 2
            for name, venue in venues.items():
                play(venue, good[name][:half])
                play_nonsense(venue, good[name][half - 1].event_ns)
            await eventually(lambda: len(client.of("t")) == half * len(VENUES))

            for venue in venues.values():
                await break_off(venue)
            for venue in venues.values():
                await eventually(lambda venue=venue: venue.connections == 2 and venue.subscribed)
            for name, venue in venues.items():
                play(venue, good[name])  # the first half a second time
            await eventually(lambda: len(client.of("t")) == len(everything))

            closed = closed_bars(everything)
            assert len(closed) == 24
            await eventually(lambda: history_is(address, closed), timeout_s=20)
            await eventually(lambda: counted(address, half))
            await eventually(lambda: len(client.of("b")) == len(closed))
        assert await running.stop() == 0, running.output()

    assert client.ids() == ids_of(everything)


def closed_bars(trades: Sequence[Tick]) -> Bars:
    """Those of windows that the newest trade has left behind by more than the grace."""
    over_ns = trades[-1].event_ns - 2 * 10**9
    return {
        (symbol, timeframe, start): right
        for (symbol, timeframe, start), right in right_bars(trades).items()
        if start + Timeframe(timeframe).ns <= over_ns
    }


async def history_is(address: str, bars: Bars) -> bool:
    found = await history(address, sorted({symbol for symbol, _, _ in bars}))
    assert {key: facts(bar) for key, bar in found.items()} == bars
    return True


async def counted(address: str, repeated: int) -> bool:
    """`/v1/status` shows what was kept out, and why."""
    feeds = {feed["feed"]: feed for feed in (await get(address + "/v1/status"))["feeds"]}
    assert feeds.keys() == set(VENUES)
    for name, feed in feeds.items():
        assert feed["state"] == "live"
        in_words = name != "kraken"  # which has numbers for prices, so that it cannot say "nan"
        not_finite = {"not_finite": 1} if in_words else {}
        assert feed["quarantined"] == _REFUSED | not_finite, name
        assert feed["unreadable"] == (2 if in_words else 3), name
        assert feed["duplicates"] == repeated, name
        assert feed["reconnects"] == 1, name
        assert feed["history"] == (0 if name == "binance" else 2), name
    return True
