from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from core.market.notice import Gap, GapState, Notice
from ingest.service import IngestService
from ingest.spec import VENUES
from storage.gap_memory import GapMemory
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fakes.history import FakeHistory, fake_history
from tests.fakes.venue import FakeVenue, fake_venue
from tests.integration.ingest.rig import FAST, Stored, running

NAMES = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "BTC/USD"}
SYMBOLS = {
    "coinbase": "COINBASE:BTC-USD", "binance": "BINANCE:BTCUSDT", "kraken": "KRAKEN:BTC-USD",
}  # fmt: skip
QUICK = replace(
    FAST,
    gap_settle_ns=20_000_000,
    history_retry_first_s=0.01,
    history_retry_cap_s=0.02,
    history_probe_s=0.2,
    max_future_ns=120 * 10**9,  # a test plays half a minute in a moment
)
S = 10**9
OPEN, FILLED, LOST = GapState.OPEN, GapState.FILLED, GapState.LOST


@asynccontextmanager
async def market(
    feed: str, redis_url: str, namespace: str, eventually: Eventually, limits=QUICK, page=1_000
) -> AsyncIterator[tuple[FakeVenue, FakeHistory, IngestService]]:
    """A venue with a history, and a feed that follows it."""
    async with (
        fake_venue(feed) as venue,
        fake_history(venue, page=page) as history,
        running([spec(venue, history)], redis_url, namespace, limits=limits) as ingest,
    ):
        await eventually(lambda: venue.subscribed)
        yield venue, history, ingest


def spec(venue: FakeVenue, history: FakeHistory) -> str:
    return f"{venue.feed}:{NAMES[venue.feed]}?url={venue.url}&rest_url={history.url}&silence=2"


def trade(venue: FakeVenue, *, seconds_ago: int = 30, pushed: bool = True) -> int:
    return venue.trade(NAMES[venue.feed], at_ns=wall_ns() // S * S - seconds_ago * S, pushed=pushed)


async def story(stored: Stored) -> list[int | Notice]:
    """What the stream of the only symbol says, in order: trade ids and notices."""
    told: list[int | Notice] = []
    for blocks in (await stored.blocks()).values():
        for block in blocks:
            told += [tick.trade_id for tick in block.ticks()]
            told += block.meta.notices
    return told


def states(told: Sequence[int | Notice]) -> list[int | GapState]:
    return [part.state if isinstance(part, Gap) else part for part in told]  # type: ignore[misc]


async def ends(stored: Stored, eventually: Eventually, state: GapState) -> list[int | Notice]:
    async def ended() -> list[int | Notice] | None:
        told = await story(stored)
        return told if state in states(told) else None

    found: list[int | Notice] = await eventually(ended)
    return found


@pytest.mark.parametrize("feed", VENUES)
async def test_what_a_venue_did_not_deliver_comes_from_its_history_between_two_notices(
    feed: str, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with market(feed, redis_url, namespace, eventually, page=2) as (venue, _, ingest):
        trade(venue, seconds_ago=30)
        for seconds_ago in (20, 19, 18, 17, 16) if feed != "coinbase" else (20, 19):
            last = trade(venue, seconds_ago=seconds_ago, pushed=False)
        newest = trade(venue, seconds_ago=10)

        told = await ends(stored, eventually, FILLED)

        assert states(told) == [1, newest, OPEN, *range(2, last + 1), FILLED]
        gap, filled = (part for part in told if isinstance(part, Gap))
        assert (gap.symbol, gap.first_id, gap.last_id) == (SYMBOLS[feed], 2, last)
        at_ns = {made.trade_id: made.at_ns for made in venue.made[NAMES[feed]]}
        assert (gap.from_ns, gap.to_ns) == (at_ns[1], at_ns[newest])
        assert (filled.from_ns, filled.first_id) == (gap.from_ns, gap.first_id)
        ticks = {tick.trade_id: tick.event_ns for tick in await stored.ticks()}
        assert ticks == at_ns
        assert [tick.trade_id for tick in await stored.ticks()] == [
            part for part in told if not isinstance(part, Gap)
        ]
        await eventually(lambda: metric(ingest, "ingest_gaps_filled_total") == 1)
        assert metric(ingest, "ingest_filled_trades_total") == last - 1


def metric(ingest: IngestService, name: str) -> float:
    (feed,) = ingest._feeds
    return getattr(feed.journal, name.removeprefix("ingest_").removesuffix("_total"))


@pytest.mark.parametrize("feed", VENUES)
async def test_trades_of_an_outage_come_when_the_connection_is_back(
    feed: str, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with market(feed, redis_url, namespace, eventually) as (venue, history, _):
        trade(venue)
        await eventually(lambda: stored.ids(SYMBOLS[feed]))
        await venue.hang_up()
        trade(venue, seconds_ago=20, pushed=False)
        await eventually(lambda: venue.connections == 2 and venue.subscribed)
        if feed != "coinbase":  # which names the newest trade when it is subscribed to
            trade(venue, seconds_ago=10)

        told = await ends(stored, eventually, FILLED)

        assert states(told)[-3:] == [OPEN, 2, FILLED]
        assert len(history.requests) == 1


async def test_trades_of_the_time_between_two_processes_come_and_none_comes_twice(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_venue("binance") as venue, fake_history(venue) as history:
        async with running([spec(venue, history)], redis_url, namespace, limits=QUICK):
            await eventually(lambda: venue.subscribed)
            for seconds_ago in (30, 29, 28):
                trade(venue, seconds_ago=seconds_ago)
            await eventually(lambda: stored.ids(SYMBOLS["binance"]))
        for seconds_ago in (20, 19):
            trade(venue, seconds_ago=seconds_ago, pushed=False)
        async with running([spec(venue, history)], redis_url, namespace, limits=QUICK):
            await eventually(lambda: venue.subscribed)
            trade(venue, seconds_ago=10)

            told = await ends(stored, eventually, FILLED)

        assert states(told) == [1, 2, 3, 6, OPEN, 4, 5, FILLED]


async def test_a_gap_that_was_open_when_its_process_died_is_filled_by_the_next(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_venue("binance") as venue, fake_history(venue) as history:
        history.fault = 500
        async with running([spec(venue, history)], redis_url, namespace, limits=QUICK):
            await eventually(lambda: venue.subscribed)
            trade(venue)
            trade(venue, pushed=False)
            trade(venue)
            await ends(stored, eventually, OPEN)
        history.fault = None
        async with running([spec(venue, history)], redis_url, namespace, limits=QUICK):
            told = await ends(stored, eventually, FILLED)

        assert states(told) == [1, 3, OPEN, OPEN, 2, FILLED]


@pytest.mark.parametrize("feed", VENUES)
async def test_faults_of_a_history_are_waited_out(
    feed: str, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    limits = replace(QUICK, poll_read_s=0.1, poll_total_s=0.15)
    async with market(feed, redis_url, namespace, eventually, limits) as (venue, history, _):
        slow_venue = feed == "kraken"  # one question in 1.25 s is allowed
        history.faults.extend(["slow"] if slow_venue else [500, "slow", "cut", "garbage"])
        trade(venue)
        trade(venue, pushed=False)
        trade(venue)

        told = await ends(stored, eventually, FILLED)

        assert states(told) == [1, 3, OPEN, 2, FILLED]
        assert len(history.requests) == 2 if slow_venue else 5


@pytest.mark.parametrize("status", [429, 418])
async def test_a_venue_that_is_asked_too_often_is_left_alone_as_long_as_it_says(
    status: int, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with market("binance", redis_url, namespace, eventually) as (venue, history, _):
        history.faults.append((status, 1))
        trade(venue)
        trade(venue, pushed=False)
        trade(venue)

        await ends(stored, eventually, FILLED)

        first, second = history.times_s
        assert second - first >= 1


async def test_all_feeds_of_a_venue_stop_asking_a_history_that_is_down_but_for_a_probe(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    limits = replace(QUICK, history_probe_s=0.5)
    async with fake_venue("coinbase") as venue, fake_history(venue) as history:
        history.fault = 503
        specs = [spec(venue, history), spec(venue, history).replace("BTC-USD", "ETH-USD")]
        async with running(specs, redis_url, namespace, limits=limits) as ingest:
            await eventually(lambda: venue.subscribed == 2)
            for name in ("BTC-USD", "ETH-USD"):
                for pushed in (True, False, True):
                    venue.trade(name, at_ns=wall_ns() - S, pushed=pushed)
            registry = ingest.metrics
            await eventually(lambda: len(history.requests) == 5)
            await eventually(lambda: breaker(registry) == 2)
            history.fault = None
            since_s = history.times_s[-1]

            await eventually(lambda: breaker(registry) == 0)
            await eventually(lambda: len(history.requests) >= 7)

            assert history.times_s[5] - since_s >= 0.45


def breaker(metrics) -> float | None:
    for family in metrics.collect():
        if family.name == "ingest_history_breaker" and family.samples:
            return family.samples[0].value
    return None


@pytest.mark.parametrize("feed", ["coinbase", "binance"])
async def test_what_the_venue_lost_is_lost_and_the_rest_is_filled(
    feed: str, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with market(feed, redis_url, namespace, eventually) as (venue, history, ingest):
        history.forgotten.add((NAMES[feed], 3))
        for n, pushed in enumerate((True, False, False, False, True, True)):
            trade(venue, seconds_ago=30 - n, pushed=pushed)

        told = await ends(stored, eventually, LOST)

        parts = [FILLED, LOST, FILLED]
        assert states(told)[2:] in ([6, OPEN, 2, 4, *parts], [OPEN, 6, 2, 4, *parts])
        at_ns = {made.trade_id: made.at_ns for made in venue.made[NAMES[feed]]}
        assert [
            (gap.from_ns, gap.first_id, gap.last_id, gap.to_ns)
            for gap in told[-3:]
            if isinstance(gap, Gap)
        ] == [(at_ns[1], 2, 2, at_ns[2]), (at_ns[2], 3, 3, at_ns[4]), (at_ns[4], 4, 4, at_ns[5])]
        await eventually(lambda: metric(ingest, "ingest_gaps_lost_total") == 1)
        assert metric(ingest, "ingest_filled_trades_total") == 2


async def test_a_gap_that_was_filled_in_part_when_its_process_died_is_told_the_same_by_the_next(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_venue("binance") as venue, fake_history(venue) as history:
        history.forgotten.add((NAMES["binance"], 3))
        limits = replace(QUICK, history_retry_first_s=60.0, history_retry_cap_s=60.0)
        async with running([spec(venue, history)], redis_url, namespace, limits=limits):
            await eventually(lambda: venue.subscribed)
            for n, pushed in enumerate((True, False, False, False, True)):
                trade(venue, seconds_ago=30 - n, pushed=pushed)
            await eventually(lambda: at_rest(stored, [1, 5, OPEN, 2, 4]))
        async with running([spec(venue, history)], redis_url, namespace, limits=QUICK):
            told = await ends(stored, eventually, LOST)

        assert states(told) == [1, 5, OPEN, 2, 4, OPEN, FILLED, LOST, FILLED]
        at_ns = {made.trade_id: made.at_ns for made in venue.made[NAMES["binance"]]}
        lost = told[-2]
        assert isinstance(lost, Gap)
        assert (lost.from_ns, lost.first_id, lost.last_id, lost.to_ns) == (at_ns[2], 3, 3, at_ns[4])


async def test_a_gap_whose_trades_came_just_before_its_process_died_is_closed_by_the_next(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    memory = GapMemory(stored.redis, stored.keys, "binance")
    async with fake_venue("binance") as venue, fake_history(venue) as history:
        history.fault = 500
        limits = replace(QUICK, history_retry_first_s=60.0, history_retry_cap_s=60.0)
        async with running([spec(venue, history)], redis_url, namespace, limits=limits):
            await eventually(lambda: venue.subscribed)
            trade(venue)
            await eventually(memory.load)
            at_first = await memory.load()
            trade(venue, pushed=False)
            trade(venue)
            await ends(stored, eventually, OPEN)
            venue.again(NAMES["binance"], 2)
            await eventually(lambda: at_rest(stored, [1, 3, OPEN, 2]))
        await memory.put(at_first)  # it was killed: what it knew last was not kept
        async with running([spec(venue, history)], redis_url, namespace, limits=QUICK):
            told = await ends(stored, eventually, FILLED)

        assert states(told) == [1, 3, OPEN, 2, OPEN, FILLED]


async def at_rest(stored: Stored, wanted: Sequence[int | GapState]) -> bool:
    return states(await story(stored)) == wanted


async def test_trades_that_are_too_old_are_lost(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    limits = replace(QUICK, max_lateness_ns=10 * S)
    async with market("binance", redis_url, namespace, eventually, limits) as (venue, _, _):
        trade(venue, seconds_ago=60)
        trade(venue, seconds_ago=60, pushed=False)
        trade(venue, seconds_ago=1)

        told = await ends(stored, eventually, LOST)

        assert states(told) == [1, 3, OPEN, LOST]
        assert [record.reason for record in await stored.quarantined()] == ["late"]


async def test_of_a_gap_that_begins_too_early_the_rest_is_filled(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    limits = replace(QUICK, max_lateness_ns=10 * S)
    async with market("binance", redis_url, namespace, eventually, limits) as (venue, _, _):
        trade(venue, seconds_ago=60)
        for seconds_ago in (59, 58, 5, 4):
            trade(venue, seconds_ago=seconds_ago, pushed=False)
        trade(venue, seconds_ago=1)

        told = await ends(stored, eventually, FILLED)

        assert states(told) == [1, 6, OPEN, 4, 5, LOST, FILLED]
        lost, filled = told[-2:]
        assert isinstance(lost, Gap)
        assert isinstance(filled, Gap)
        assert (lost.first_id, lost.last_id, filled.first_id, filled.last_id) == (2, 3, 4, 5)
        assert lost.to_ns == lost.from_ns + 2 * S


async def test_trades_from_before_the_horizon_of_known_ids_are_filled_too(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    limits = replace(QUICK, dedup_horizon_ns=10 * S)
    async with market("binance", redis_url, namespace, eventually, limits) as (venue, _, _):
        trade(venue, seconds_ago=60)
        trade(venue, seconds_ago=60, pushed=False)
        trade(venue, seconds_ago=1)

        told = await ends(stored, eventually, FILLED)

        assert states(told) == [1, 3, OPEN, 2, FILLED]


@pytest.mark.parametrize("case", ["no history", "no such symbol", "too many", "too late"])
async def test_a_gap_that_cannot_be_filled_does_not_stay_open(
    case: str, redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    limits = replace(
        QUICK,
        gap_max_trades=1 if case == "too many" else 100,
        gap_fill_s=0.3 if case == "too late" else 60.0,
    )
    async with fake_venue("coinbase") as venue, fake_history(venue) as history:
        history.fault = {"no such symbol": 404, "too late": 500}.get(case)
        text = spec(venue, history)
        if case == "no history":
            text = text.replace(f"&rest_url={history.url}", "")
        async with running([text], redis_url, namespace, limits=limits):
            await eventually(lambda: venue.subscribed)
            for pushed in (True, False, False, True):
                trade(venue, pushed=pushed)

            told = await ends(stored, eventually, LOST)

        assert states(told) == [1, 4, OPEN, LOST]


async def test_trades_that_were_kept_out_are_no_gap(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with market("coinbase", redis_url, namespace, eventually) as (venue, _, _):
        trade(venue)
        venue.trade("BTC-USD", price=-1.0, at_ns=wall_ns())
        trade(venue)
        trade(venue, pushed=False)
        trade(venue)

        told = await ends(stored, eventually, FILLED)

        assert states(told) == [1, 3, 5, OPEN, 4, FILLED]


async def test_a_history_that_gives_little_at_a_time_is_asked_for_as_long_as_it_gives(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with market("coinbase", redis_url, namespace, eventually, page=2) as (venue, _, _):
        trade(venue)
        for _ in range(15):
            last = trade(venue, seconds_ago=20, pushed=False)
        newest = trade(venue, seconds_ago=10)

        told = await ends(stored, eventually, FILLED)

    assert sorted(part for part in states(told) if isinstance(part, int)) == [*range(1, newest + 1)]
    assert last == newest - 1


async def test_two_and_a_half_thousand_trades_are_filled_page_by_page(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with market("coinbase", redis_url, namespace, eventually) as (venue, history, _):
        trade(venue)
        for _ in range(2_500):
            trade(venue, pushed=False)
        trade(venue)

        told = await ends(stored, eventually, FILLED)

        assert states(told) == [1, 2_502, OPEN, *range(2, 2_502), FILLED]
        assert len(history.requests) == 3
