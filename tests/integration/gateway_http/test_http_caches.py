"""Answers that are kept, by one gateway and by several, while bars are closed and revised."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import Eventually
from tests.fix_servers import TcpProxy
from tests.integration.gateway_http.gateways import Place, Town, gateway, town
from tests.integration.gateway_http.rig import bar

BTC, ETH = "SIM:BTC-USD", "SIM:ETH-USD"
MORNING = {"symbols": BTC, "start": "2021-07-03", "end": "2021-07-03T10:00:00Z"}


@pytest.fixture
async def here(embedded_migrated_url: str, redis_url: str, namespace: str) -> AsyncIterator[Town]:
    async with town(embedded_migrated_url, redis_url, namespace) as found:
        await found.store(bar(BTC, 0), bar(ETH, 0))
        yield found


async def test_a_closed_range_is_read_once_until_a_bar_in_it_is_published(
    here: Town, eventually: Eventually
) -> None:
    async with gateway(here) as one:
        assert await one.closes("/v1/bars", **MORNING) == [100.5]
        revised = bar(BTC, 0, rev=1, close=100.25)
        await here.store(revised)

        assert await one.closes("/v1/bars", **MORNING) == [100.5]
        assert one.lookups("answers", "hit") == 1
        await here.publish(bar(ETH, 0, rev=1), bar(BTC, 601))  # of another symbol; after its end
        await eventually(lambda: one.changes.version > 3)
        assert await one.closes("/v1/bars", **MORNING) == [100.5]

        await here.publish(revised)

        async def is_new() -> bool:
            return await one.closes("/v1/bars", **MORNING) == [100.25]

        await eventually(is_new)
        await here.store(bar(BTC, 5))
        await here.publish(bar(BTC, 5))  # a window that had none

        async def has_both() -> bool:
            return await one.closes("/v1/bars", **MORNING) == [100.25, 105.5]

        await eventually(has_both)


async def test_who_polls_two_gateways_never_goes_back_to_what_was_revised(
    here: Town, eventually: Eventually
) -> None:
    async with gateway(here) as one, gateway(here) as two:
        seen: dict[int, list[float]] = {client: [] for client in range(4)}
        stop = asyncio.Event()

        async def poll(client: int, place: Place) -> None:
            while not stop.is_set():
                seen[client] += await place.closes("/v1/bars", **MORNING)

        async with asyncio.TaskGroup() as group:
            for client, place in enumerate((one, two, one, two)):
                group.create_task(poll(client, place), name="client that polls")
            for revision in range(1, 11):
                revised = bar(BTC, 0, rev=revision, close=100.5 + revision)
                await here.store(revised)
                await here.publish(revised)

                async def is_seen(close: float = 100.5 + revision) -> bool:
                    return all(values[-1:] == [close] for values in seen.values())

                await eventually(is_seen)
            stop.set()

        for values in seen.values():
            assert values == sorted(values)
        assert min(place.lookups("answers", "hit") for place in (one, two)) > 10


async def test_what_one_gateway_was_asked_for_twice_the_others_find_in_redis(
    here: Town, eventually: Eventually
) -> None:
    async with gateway(here) as one, gateway(here) as two:
        for _ in range(2):
            assert await one.closes("/v1/bars", **MORNING) == [100.5]
        assert one.lookups("shared", "load") == 1
        await here.store(bar(BTC, 0, rev=1, close=7.0))  # not told yet: shows who was asked

        async def is_found() -> bool:
            found = await two.closes("/v1/bars", **MORNING | {"limit": "7"})
            assert found == [7.0]  # another request, and so from the database
            return await two.closes("/v1/bars", **MORNING) == [100.5]

        await eventually(is_found)
        assert two.lookups("shared", "hit") == 1
        assert await two.closes("/v1/bars", **MORNING) == [100.5]

        await here.publish(bar(BTC, 0, rev=1, close=7.0))
        async with gateway(here) as late:
            assert await late.closes("/v1/bars", **MORNING) == [7.0]
            assert late.lookups("shared", "stale") == 1
        for place in (one, two):

            async def is_new(place: Place = place) -> bool:
                return await place.closes("/v1/bars", **MORNING) == [7.0]

            await eventually(is_new)


async def test_a_redis_that_is_away_costs_speed_and_no_answers(
    here: Town, eventually: Eventually, proxied: Any
) -> None:
    proxy: TcpProxy = await proxied(here.redis_url)
    async with gateway(here, answers_url=proxy.url) as one:
        assert await one.closes("/v1/bars", **MORNING) == [100.5]
        proxy.black_hole()

        for limit in range(1, 6):
            assert await one.closes("/v1/bars", **MORNING | {"limit": str(limit)}) == [100.5]

        assert one.lookups("shared", "away") == 1
        assert one.lookups("shared", "skipped") == 4


async def test_while_the_streams_cannot_be_read_nothing_is_kept_for_long(
    here: Town, eventually: Eventually, proxied: Any
) -> None:
    proxy: TcpProxy = await proxied(here.redis_url)
    async with gateway(here, redis_url=proxy.url, answers_url=here.redis_url) as one:
        for minute in (2, 3):
            one.market.apply_bar(bar(BTC, minute, final=False))
        longer = MORNING | {"timeframe": "2Min"}
        assert await one.closes("/v1/bars", **MORNING) == [100.5]
        assert await one.closes("/v1/bars", **longer) == [100.5]
        assert (await one.json("/v1/snapshots", symbols=BTC))["snapshots"][BTC]["dailyBar"]
        await proxy.refuse()
        await eventually(lambda: not one.changes.heard(time.monotonic_ns()))

        revised = bar(BTC, 0, rev=1, close=7.0)
        await here.store(revised, *(bar(BTC, minute) for minute in (2, 6, 7)))
        await here.publish(revised)

        async def are_there() -> bool:
            return await one.closes("/v1/bars", **longer) == [7.0, 102.5, 107.5]

        await eventually(are_there)
        assert await one.closes("/v1/bars", **MORNING) == [7.0, 102.5, 106.5, 107.5]
        flat = await one.closes("/v1/bars", **longer, fill="previous")
        assert flat == [7.0, 102.5, 102.5, 107.5]
        latest = (await one.json("/v1/bars/latest", symbols=BTC))["bars"][BTC]
        assert (latest["t"], latest["final"]) == ("2021-07-03T00:07:00Z", True)
        now = (await one.json("/v1/snapshots", symbols=BTC))["snapshots"][BTC]
        assert (now["minuteBar"]["t"], now["dailyBar"]["n"]) == ("2021-07-03T00:07:00Z", 4 * 3)
        chart = {"symbol": BTC, "resolution": "2", "to": "9999999999", "countback": "3"}
        assert (await one.json("/udf/history", **chart))["c"] == [7.0, 102.5, 107.5]
        await proxy.heal()


async def test_flat_bars_follow_a_revision_before_their_range_at_once(
    here: Town, eventually: Eventually
) -> None:
    await here.store(bar(BTC, 5))  # flat bars end with the last trade
    span = {"start": "2021-07-03T00:01:00Z", "end": "2021-07-03T00:02:00Z"}
    async with gateway(here) as one:
        asked_s = time.monotonic()
        assert await one.closes("/v1/bars", symbols=BTC, **span) == []
        assert await one.closes("/v1/bars", symbols=BTC, fill="previous", **span) == [100.5] * 2
        before, revised = one.changes.version, bar(BTC, 0, rev=1, close=100.25)
        await here.store(revised)
        await here.publish(revised)
        await eventually(lambda: one.changes.version > before)

        assert await one.closes("/v1/bars", symbols=BTC, fill="previous", **span) == [100.25] * 2
        assert time.monotonic() - asked_s < 1.0  # or it proves nothing


async def test_many_who_ask_at_once_are_answered_by_one_query(here: Town) -> None:
    async with gateway(here) as one:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one.closes("/v1/bars", **MORNING)) for _ in range(20)]

        assert [task.result() for task in tasks] == [[100.5]] * 20
        assert one.lookups("answers", "load") == 1
