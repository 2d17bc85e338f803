"""Spans of venues' histories into bars: exact, and a second time changes nothing."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from core.market.symbol import Symbol, make_symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from core.runtime.ports import Clock
from ingest.backfill import Backfill, BackfillStreams, NobodyFolds, Outcome, count_refused
from ingest.errors import HistoryError
from ingest.flow import FlowLedger
from ingest.history import make_history
from ingest.limits import IngestLimits
from ingest.rest import VenueRest, open_session
from ingest.spec import VENUES
from ingest.venue_gate import VenueGate
from storage.quarantine import QuarantineWriter
from storage.roles import RoleBoard
from storage.tick_writer import TickWriter
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fakes.history import FakeHistory, fake_history
from tests.fakes.venue import FakeVenue, fake_venue
from tests.integration.aggregator.rig import SHARDS, Rig
from tests.property.aggregator.harness import oracle, plain

NAMES = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "BTC/USD"}
LIMITS = IngestLimits(history_retry_first_s=0.01, history_retry_cap_s=0.02, gap_fill_s=5.0)
STEP_NS = 9 * 10**9
QUARTER_NS = 15 * MINUTE_NS


@pytest.fixture
async def rig(redis_url: str, embedded_migrated_url: str, namespace: str) -> AsyncIterator[Rig]:
    rig = Rig(redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace)
    yield rig
    await rig.close()


@contextlib.asynccontextmanager
async def folding(rig: Rig) -> AsyncIterator[None]:
    async with rig.store() as store:
        service = rig.make_service(store)
        async with asyncio.TaskGroup() as group:
            group.create_task(service.run())
            yield
            service.begin_drain()


def past(minutes: int) -> int:
    """The start of the quarter of an hour that was so many minutes ago."""
    return (wall_ns() - minutes * MINUTE_NS) // QUARTER_NS * QUARTER_NS


def trades(venue: FakeVenue, start_ns: int, count: int, name: str = "") -> list[Tick]:
    """What took place at *venue* from *start_ns* on."""
    name = name or NAMES[venue.feed]
    symbol = make_symbol(venue.feed.upper(), name.replace("/", "-"))
    made = []
    for n in range(count):
        price, size, at_ns = 100 + n % 7 / 8, 0.25 + n % 3, start_ns + n * STEP_NS
        number = venue.trade(name, price=price, size=size, at_ns=at_ns, pushed=False)
        made.append(Tick(symbol, number, price, size, at_ns, seq=number))
    return made


async def backfill(
    rig: Rig,
    rest: FakeHistory,
    span: Sequence[Tick],
    *,
    names: Sequence[str] = (),
    limits: IngestLimits = LIMITS,
    patience_s: float = 20.0,
    now_ns: Clock = wall_ns,
) -> list[Outcome]:
    """From the first of *span* up to before the last."""
    history, feed = make_history(rest.venue.feed), f"backfill-{rest.venue.feed}"
    writer = await TickWriter.open(
        rig.redis, namespace=rig.namespace, feed=feed, bars_only=True, shards=SHARDS,
        retention_s=1800, max_bytes=1 << 28, now_ns=wall_ns,
    )  # fmt: skip
    streams = BackfillStreams(
        writer=writer,
        board=RoleBoard(rig.redis, rig.keys, now_ns=wall_ns),
        flow=FlowLedger([rig.keys.ticks(feed, shard) for shard in range(SHARDS)]),
        quarantine=QuarantineWriter(rig.redis, rig.keys),
        feed=feed,
        shards=SHARDS,
        limits=limits,
        patience_s=patience_s,
        now_ns=now_ns,
        monotonic_ns=time.monotonic_ns,
    )
    try:
        async with open_session(limits) as http:
            asker = VenueRest(
                history=history, url=rest.url, http=http, max_bytes=1 << 22, now_ns=wall_ns,
                gate=VenueGate("x", requests_per_s=10_000.0), monotonic_ns=time.monotonic_ns,
            )  # fmt: skip
            told: list[int] = []
            work = Backfill(
                rest=asker,
                streams=streams,
                start_ns=span[0].event_ns,
                end_ns=span[-1].event_ns,
                limits=limits,
                monotonic_ns=time.monotonic_ns,
                tell=lambda outcome: told.append(outcome.trades),
            )
            outcomes = await work.run(names or [NAMES[rest.venue.feed]])
            assert told == sorted(told) or names
            return outcomes
    finally:
        await writer.release()


async def bars_are(rig: Rig, ticks: Sequence[Tick]) -> dict[object, int]:
    """Bars are what *ticks* say, each counted once; the revisions."""
    stored = await rig.stored()
    assert {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in stored} == oracle(ticks)
    return {(b.symbol, b.timeframe, b.start_ns): b.rev for b in stored}


@pytest.mark.parametrize("feed", VENUES)
async def test_a_span_becomes_bars_and_a_second_time_changes_nothing(
    feed: str, rig: Rig, eventually: Eventually
) -> None:
    async with fake_venue(feed) as venue, fake_history(venue) as rest:
        made = trades(venue, past(2_000), 2_400)  # six hours: ids are forgotten meanwhile
        async with folding(rig):
            (outcome,) = await backfill(rig, rest, made[700:1_900])
            assert (outcome.trades, outcome.missing, outcome.refused) == (1_199, 0, 0)
            first = await eventually(lambda: bars_are(rig, made[700:1_899]))
            assert set(first.values()) == {0}

        async with folding(rig):  # another process, and the same span
            await backfill(rig, rest, made[700:1_900])
            await eventually(lambda: rig.counted("duplicates") == 1_199)
            assert await bars_are(rig, made[700:1_899]) == first

            await backfill(rig, rest, made)
            await eventually(lambda: bars_are(rig, made[:-1]))


async def test_several_symbols_each_have_a_time_of_their_own(
    rig: Rig, eventually: Eventually
) -> None:
    names = ["BTC-USD", "ETH-USD", "LTC-USD"]
    async with fake_venue("coinbase") as venue, fake_history(venue) as rest, folding(rig):
        start_ns = past(300)
        made = [trades(venue, start_ns, 400, name) for name in names]

        outcomes = await backfill(rig, rest, made[0], names=names)

        assert [outcome.trades for outcome in outcomes] == [399, 399, 399]
        revisions = await eventually(lambda: bars_are(rig, [t for some in made for t in some[:-1]]))
        assert set(revisions.values()) == {0}


async def test_what_a_live_feed_brought_is_not_counted_again(
    rig: Rig, eventually: Eventually
) -> None:
    async with fake_venue("binance") as venue, fake_history(venue) as rest, folding(rig):
        made = trades(venue, past(120), 600)
        await rig.write(made[200:300])
        await eventually(lambda: rig.counted("ticks") == 100)

        await backfill(rig, rest, made)
        await rig.write(made[250:], end=True)

        await eventually(lambda: bars_are(rig, made))


async def test_trades_of_bars_whose_ticks_were_not_kept_are_left_out_and_counted(
    rig: Rig, eventually: Eventually
) -> None:
    async with fake_venue("binance") as venue, fake_history(venue) as rest:
        made = trades(venue, past(900), 2_400)
        began_ns = wall_ns()
        rig.keeps_log = False
        async with folding(rig):
            await rig.write(made[40:80])
            await rig.write(made[2_000:])
            await eventually(lambda: rig.counted("ticks") == 440)
        rig.keeps_log = True
        other = Rig(
            redis_url=rig.redis_url, database_url=rig.database_url, namespace=rig.namespace,
            feed="later",
        )  # fmt: skip
        async with folding(rig):
            for hour in (2, 4, 6, 8):  # the ids of before are forgotten
                await other.write(trades(venue, made[-1].event_ns + hour * 60 * MINUTE_NS, 1))
            await eventually(lambda: rig.counted("ticks") == 4)

            await backfill(rig, rest, made[:200])

            symbol = made[0].symbol
            refused = QuarantineWriter(rig.redis, rig.keys)
            assert await eventually(lambda: count_refused(refused, "backfill-binance", began_ns))
            kept = oracle(made[40:80])
            keys = {(symbol, Timeframe.MIN_1, made[n].event_ns // MINUTE_NS * MINUTE_NS)
                    for n in range(40, 80)}  # fmt: skip
            found = {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in await rig.stored()}
            assert {key: found[key] for key in keys} == {key: kept[key] for key in keys}
        await other.close()


@pytest.mark.parametrize("fault", [503, (429, 0), "cut", "garbage"])
async def test_faults_of_the_history_are_waited_out(
    fault: int | tuple[int, int] | str, rig: Rig, eventually: Eventually
) -> None:
    async with fake_venue("coinbase") as venue, fake_history(venue) as rest, folding(rig):
        made = trades(venue, past(60), 100)
        rest.faults.extend([fault, fault])

        await backfill(rig, rest, made)

        await eventually(lambda: bars_are(rig, made[:-1]))


async def test_what_the_history_has_not_got_is_counted(rig: Rig) -> None:
    async with fake_venue("coinbase") as venue, fake_history(venue) as rest, folding(rig):
        made = trades(venue, past(60), 100)
        rest.forgotten = {("BTC-USD", 50), ("BTC-USD", 51)}

        (outcome,) = await backfill(rig, rest, made)

        assert (outcome.trades, outcome.missing) == (97, 2)
        at_ns = [tick.event_ns for tick in made]
        assert outcome.stretches == [(at_ns[0], at_ns[48]), (at_ns[51], at_ns[98])]


def test_where_trades_of_one_moment_are_missing_no_stretch_has_that_moment() -> None:
    outcome = Outcome("A")

    outcome.take([Tick(Symbol("X:A"), n, 1.0, 1.0, at) for n, at in ((4, 20), (1, 10), (2, 20))])
    outcome.take([Tick(Symbol("X:A"), n, 1.0, 1.0, at) for n, at in ((5, 30), (8, 40))])

    assert (outcome.missing, outcome.stretches) == (3, [(10, 19), (21, 30), (40, 40)])
    assert (outcome.first, outcome.last, outcome.trades) == (
        Tick(Symbol("X:A"), 1, 1.0, 1.0, 10), Tick(Symbol("X:A"), 8, 1.0, 1.0, 40), 5,
    )  # fmt: skip


def test_stretches_are_bounded() -> None:
    outcome = Outcome("A")

    outcome.take([Tick(Symbol("X:A"), 2 * n, 1.0, 1.0, n) for n in range(2_000)])
    outcome.take([Tick(Symbol("X:A"), 3_999, 1.0, 1.0, 2_000)])

    assert outcome.missing == 1_999
    assert len(outcome.stretches) == 1_001


@pytest.mark.parametrize("feed", ["coinbase", "kraken"])
async def test_a_span_without_trades_is_nothing(feed: str, rig: Rig) -> None:
    async with fake_venue(feed) as venue, fake_history(venue) as rest, folding(rig):
        nobody = [Tick(make_symbol("X", "X"), 1, 1.0, 1.0, past(60) + n) for n in (0, 1)]
        venue.made[NAMES[feed]] = []
        assert [outcome.trades for outcome in await backfill(rig, rest, nobody)] == [0]

        trades(venue, past(600), 10)  # before the span
        assert [outcome.trades for outcome in await backfill(rig, rest, nobody)] == [0]


async def test_it_ends_where_nobody_answers(rig: Rig) -> None:
    limits = replace(LIMITS, gap_fill_s=0.1)
    async with fake_venue("coinbase") as venue, fake_history(venue) as rest:
        made = trades(venue, past(60), 100)
        with pytest.raises(NobodyFolds, match="no aggregator took anything"):
            await backfill(rig, rest, made, patience_s=0.1)

        rest.fault = 500
        with pytest.raises(HistoryError, match="status 500"):
            await backfill(rig, rest, made, limits=limits)


async def test_a_window_that_is_not_over_is_left_to_the_live_trades(
    rig: Rig, eventually: Eventually
) -> None:
    async with fake_venue("binance") as venue, fake_history(venue) as rest, folding(rig):
        made = trades(venue, past(60), 140)  # 21 minutes
        now_ns = made[-1].event_ns + LIMITS.grace_ns + 1
        await backfill(rig, rest, made, now_ns=lambda: now_ns)

        over = [t for t in made if t.event_ns < made[-1].event_ns // MINUTE_NS * MINUTE_NS]
        minutes = {key: bar for key, bar in oracle(over).items() if key[1] is Timeframe.MIN_1}

        async def closed() -> dict[object, object]:
            bars = {(b.symbol, b.timeframe, b.start_ns): plain(b) for b in await rig.stored()}
            assert {key: bar for key, bar in bars.items() if key[1] is Timeframe.MIN_1} == minutes
            return bars

        bars = await eventually(closed)
        quarters = [start_ns for _, timeframe, start_ns in bars if timeframe is Timeframe.MIN_15]
        assert quarters == [made[0].event_ns]

        await rig.write(made[100:], end=True)
        await eventually(lambda: bars_are(rig, made))


async def test_what_is_refused_is_in_the_quarantine(rig: Rig, eventually: Eventually) -> None:
    async with fake_venue("binance") as venue, fake_history(venue) as rest, folding(rig):
        made = trades(venue, past(60), 20)
        wrong_ns = made[-1].event_ns + STEP_NS
        number = venue.trade(NAMES["binance"], price=1e120, size=1.0, at_ns=wrong_ns, pushed=False)
        last = trades(venue, wrong_ns + STEP_NS, 1)

        (outcome,) = await backfill(rig, rest, [*made, *last])

        assert (outcome.trades, outcome.refused) == (21, 1)
        quarantine = QuarantineWriter(rig.redis, rig.keys)
        (record,) = await quarantine.newest(10)
        assert (record.feed, record.reason) == ("backfill-binance", "out_of_range")
        assert (record.tick.trade_id, record.tick.price) == (number, 1e120)
        assert await count_refused(quarantine, "backfill-binance", 0) == 0  # by the aggregator
        await eventually(lambda: bars_are(rig, made))
