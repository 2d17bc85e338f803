"""Bars, quarantine, the registry of feeds and the role board, against a real server."""

import asyncio
import math

import pytest

from core.market.bar import Bar, decode_bars
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from storage.bar_writer import BarWriter
from storage.errors import StaleOwner, StreamUnavailable
from storage.keys import StreamKeys
from storage.quarantine import QuarantineRecord, QuarantineWriter
from storage.redis import Redis, command, connect, mask_url
from storage.registry import FeedInfo, FeedRegistry
from storage.roles import FeedStatus, RoleBoard, RoleReport
from tests.contract.storage.conftest import HandClock

BAR = Bar(Symbol("SIM:A"), Timeframe.MIN_1, 60_000_000_000, 1.0, 2.0, 0.5, 1.5, 9.0, 3, 1.25)


@pytest.fixture
def keys(namespace: str) -> StreamKeys:
    return StreamKeys(namespace, 4)


async def published(redis: Redis, key: str) -> list[tuple[bytes, list[Bar]]]:
    found = await command(redis, "XRANGE", key, "-", "+")
    return [(entry_id, decode_bars(fields[1])) for entry_id, fields in found]


async def test_a_flush_is_published_once_however_often_it_is_repeated(
    redis: Redis, keys: StreamKeys
) -> None:
    writer = BarWriter(redis, keys)
    assert await writer.last_id(2) == (0, 0)

    for flush in (1, 1, 2, 1, 2):
        await writer.publish(2, token=7, flush=flush, bars=[BAR])

    assert await published(redis, keys.bars(2)) == [(b"7-1", [BAR]), (b"7-2", [BAR])]
    assert await writer.last_id(2) == (7, 2)


async def test_a_stale_owners_publication_is_refused(redis: Redis, keys: StreamKeys) -> None:
    writer = BarWriter(redis, keys)
    await writer.publish(0, token=8, flush=1, bars=[BAR])

    with pytest.raises(StaleOwner, match=r"shard 0 \(token 7, now 8\)") as caught:
        await writer.publish(0, token=7, flush=9, bars=[BAR])

    assert caught.value.stale == {0: (7, 8)}
    assert len(await published(redis, keys.bars(0))) == 1


async def test_what_a_server_lost_of_a_bar_stream_is_published_again_under_the_same_ids(
    redis: Redis, keys: StreamKeys
) -> None:
    writer = BarWriter(redis, keys)
    for flush in (1, 2, 3):
        await writer.publish(0, token=7, flush=flush, bars=[BAR])
        await writer.publish(1, token=7, flush=flush, bars=[BAR])
    await writer.confirm()
    assert writer.republished == 0

    for shard in (0, 1):
        await command(redis, "DEL", keys.bars(shard))  # on a master that never had them
    other = BarWriter(redis, keys)
    await other.publish(0, token=7, flush=1, bars=[BAR])
    await other.publish(0, token=7, flush=2, bars=[BAR])
    await writer.publish(0, token=7, flush=5, bars=[BAR])
    await writer.confirm()

    ids = [entry_id for entry_id, _ in await published(redis, keys.bars(0))]
    assert ids == [b"7-1", b"7-2", b"7-3", b"7-5"]
    ids = [entry_id for entry_id, _ in await published(redis, keys.bars(1))]
    assert ids == [b"7-1", b"7-2", b"7-3"]
    assert writer.republished == 4


async def test_shards_may_come_while_the_streams_are_looked_at(
    redis: Redis, keys: StreamKeys
) -> None:
    writer = BarWriter(redis, keys)
    await writer.publish(0, token=7, flush=1, bars=[BAR])
    async with asyncio.TaskGroup() as group:
        for flush in range(2, 30):
            group.create_task(writer.confirm())
            group.create_task(writer.publish(flush % 4, token=7, flush=flush, bars=[BAR]))

    assert sum([len(await published(redis, keys.bars(shard))) for shard in range(4)]) == 29
    assert writer.republished == 0


async def test_another_owners_publications_are_gone_on_from(redis: Redis, keys: StreamKeys) -> None:
    one, other = BarWriter(redis, keys), BarWriter(redis, keys)
    await one.publish(0, token=7, flush=1, bars=[BAR])
    await other.publish(0, token=8, flush=2, bars=[BAR])
    await one.confirm()
    await one.publish(0, token=9, flush=3, bars=[BAR])

    ids = [entry_id for entry_id, _ in await published(redis, keys.bars(0))]
    assert ids == [b"7-1", b"8-2", b"9-3"]
    assert one.republished == 0


async def test_running_bars_are_published_and_few_are_kept(redis: Redis, keys: StreamKeys) -> None:
    writer = BarWriter(redis, keys)
    for _ in range(450):
        await writer.publish_running(1, [BAR])

    entries = await published(redis, keys.running(1))
    assert 100 <= len(entries) <= 200
    assert entries[-1][1] == [BAR]


async def test_bars_are_not_published_where_no_stream_can_be(
    redis: Redis, keys: StreamKeys
) -> None:
    await command(redis, "SET", keys.bars(0), "x")

    with pytest.raises(StreamUnavailable, match="WRONGTYPE"):
        await BarWriter(redis, keys).publish(0, token=1, flush=1, bars=[BAR])


async def test_the_quarantine_keeps_a_tick_as_it_came_and_why(
    redis: Redis, keys: StreamKeys
) -> None:
    tick = Tick(Symbol("SIM:A"), 1, math.nan, -math.inf, -5, Side.BUY, 3)
    writer = QuarantineWriter(redis, keys)

    await writer.put([QuarantineRecord("sim", "not finite", at, tick) for at in range(250)])
    await writer.put([])

    newest = await writer.newest(2)
    assert [record.at_ns for record in newest] == [249, 248]
    assert newest[0].reason == "not finite"
    assert math.isnan(newest[0].tick.price)
    assert newest[0].tick.size == -math.inf
    assert await command(redis, "XLEN", keys.quarantine) == 250


async def test_the_quarantine_is_bounded(redis: Redis, keys: StreamKeys) -> None:
    tick = Tick(Symbol("SIM:A"), 1, 0.0, 0.0, 0)
    record = QuarantineRecord("sim", "zero", 0, tick)

    await QuarantineWriter(redis, keys).put([record] * 10_500)

    assert 10_000 <= await command(redis, "XLEN", keys.quarantine) <= 10_200


async def test_a_refused_quarantine_record_is_told(redis: Redis, keys: StreamKeys) -> None:
    await command(redis, "SET", keys.quarantine, "x")
    record = QuarantineRecord("sim", "zero", 0, Tick(Symbol("SIM:A"), 1, 0.0, 0.0, 0))

    with pytest.raises(StreamUnavailable, match="WRONGTYPE"):
        await QuarantineWriter(redis, keys).put([record])


async def test_registered_feeds_are_found_by_name(redis: Redis, keys: StreamKeys) -> None:
    registry = FeedRegistry(redis, keys)
    sim, coinbase = FeedInfo("sim", "SIM", 4, 1), FeedInfo("coinbase", "COINBASE", 4, 2)
    assert await registry.feeds() == []

    for feed in (sim, coinbase, FeedInfo("sim", "SIM", 4, 0), sim):
        await registry.register(feed)

    assert await registry.feeds() == [coinbase, sim]


def report(role: str, name: str, reported_ms: int) -> RoleReport:
    return RoleReport(
        role=role,  # type: ignore[arg-type]  # a literal in each call
        name=name,
        pid=1,
        reported_ms=reported_ms,
        started_ms=0,
        consumed={"k": 5},
        feeds=[FeedStatus(feed="sim", venue="SIM", state="live", since_ms=1)],
    )


async def test_fresh_reports_are_read_and_old_ones_on_request(
    redis: Redis, keys: StreamKeys, clock: HandClock
) -> None:
    board = RoleBoard(redis, keys, now_ns=clock)
    now_ms = clock.now_ms
    fresh = report("gateway", "a:1", now_ms - 5_000)
    old = report("aggregator", "a:2", now_ms - 5_001)
    ahead = report("ingest", "a:3", now_ms + 60_000)
    for one in (fresh, old, ahead, fresh):
        await board.publish(one)

    assert await board.read() == [fresh, ahead]
    assert await board.read(max_age_ms=None) == [old, fresh, ahead]
    await board.withdraw("gateway", "a:1")
    assert await board.read() == [ahead]


async def test_reports_of_ended_processes_are_forgotten_but_not_the_aggregators_position(
    redis: Redis, keys: StreamKeys, clock: HandClock
) -> None:
    board = RoleBoard(redis, keys, now_ns=clock)
    aggregator = report("aggregator", "a:2", clock.now_ms)
    await board.publish(report("gateway", "a:1", clock.now_ms))
    await board.publish(aggregator)

    clock.now_ms += 3_600_001
    await board.read()

    assert await board.read(max_age_ms=None) == [aggregator]


async def test_a_report_of_another_version_is_left_out(
    redis: Redis, keys: StreamKeys, clock: HandClock
) -> None:
    board = RoleBoard(redis, keys, now_ns=clock)
    await command(redis, "HSET", keys.roles, "gateway/a:9", b"\x81\xa1x\x01")
    await board.publish(report("gateway", "a:1", clock.now_ms))

    assert [one.name for one in await board.read()] == ["a:1"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@h:1/0", "redis://:***@h:1/0"),
        ("rediss://user:secret@h:1/0", "rediss://user:***@h:1/0"),
    ],
)
def test_a_password_is_masked(url: str, shown: str) -> None:
    assert mask_url(url) == shown


async def test_an_error_names_the_server_without_its_password(free_port: int) -> None:
    redis = connect(f"redis://user:secret@127.0.0.1:{free_port}/3")

    with pytest.raises(StreamUnavailable) as caught:
        await command(redis, "PING")

    assert f"127.0.0.1:{free_port}/3" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_address_of_another_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of redis://"):
        connect("http://localhost")
