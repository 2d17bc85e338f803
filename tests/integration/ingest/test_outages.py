import json
from collections.abc import Awaitable, Callable
from typing import Any

from ingest.limits import IngestLimits
from storage.embedded import ValkeyServer
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fakes.venue import fake_venue, trade_frame
from tests.integration.ingest.rig import Stored, running


async def test_ticks_wait_while_redis_is_away_and_none_is_lost(
    valkey: ValkeyServer, namespace: str, eventually: Eventually
) -> None:
    stored = Stored(valkey.url, namespace)
    async with fake_venue("coinbase") as venue:
        spec = f"coinbase:BTC-USD?url={venue.url}&silence=5"
        async with running([spec], valkey.url, namespace) as service:
            await eventually(lambda: venue.subscribed)
            venue.trade("BTC-USD", at_ns=wall_ns())

            async def first_there() -> bool:
                return await stored.ids("COINBASE:BTC-USD") == [1]

            await eventually(first_there)
            await valkey.stop()
            for _ in range(50):
                venue.trade("BTC-USD", at_ns=wall_ns())
            await eventually(lambda: not service.readiness.ready)
            assert service.readiness.states()["redis"].reason

            await valkey.start()

            async def all_there() -> bool:
                return await stored.ids("COINBASE:BTC-USD") == list(range(1, 52))

            await eventually(all_there, timeout_s=20)
            await eventually(lambda: service.readiness.ready)
    await stored.redis.aclose()


async def test_the_role_waits_for_a_redis_that_is_away_at_its_start_and_drains_without_it(
    valkey: ValkeyServer, namespace: str, eventually: Eventually
) -> None:
    await valkey.stop()

    async with running(["sim:?rate=10"], valkey.url, namespace) as service:
        await eventually(lambda: service.readiness.states()["redis"].reason not in ("", "starting"))
    # leaving the block drained it

    async with running(["sim:?rate=10"], valkey.url, namespace) as service:
        await valkey.start()
        await eventually(lambda: service.readiness.ready)


async def test_a_sim_goes_on_after_a_restart_with_the_next_id_of_each_symbol(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    for least in (200, 400):
        async with running(["sim:?symbols=5&rate=2000"], redis_url, namespace):

            async def enough(count: int = least) -> bool:
                return len(await stored.ticks()) >= count

            await eventually(enough)

    for n in range(1, 6):
        ids = await stored.ids(f"SIM:S00{n}")
        assert ids == list(range(1, len(ids) + 1))


async def test_a_redis_that_goes_black_is_noticed_and_survived(
    valkey: ValkeyServer,
    proxied: Callable[[str], Awaitable[Any]],
    namespace: str,
    eventually: Eventually,
) -> None:
    proxy = await proxied(valkey.url)
    stored = Stored(valkey.url, namespace)

    async with running(["sim:?symbols=3&rate=500"], proxy.url, namespace) as service:
        await eventually(lambda: service.readiness.ready)
        proxy.black_hole()
        await eventually(lambda: not service.readiness.ready, timeout_s=3)
        await proxy.cut()
        await proxy.heal()
        await eventually(lambda: service.readiness.ready)

    for n in range(1, 4):
        ids = await stored.ids(f"SIM:S00{n}")
        assert ids == list(range(1, len(ids) + 1))
    await stored.redis.aclose()


async def test_a_feed_waits_for_a_full_hand_over_and_loses_nothing(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    limits = IngestLimits(hand_over_ticks=1)

    async with running(["sim:?symbols=2&rate=50000"], redis_url, namespace, limits=limits):

        async def enough() -> bool:
            return len(await stored.ticks()) > 5_000

        await eventually(enough)

    for n in (1, 2):
        ids = await stored.ids(f"SIM:S00{n}")
        assert ids == list(range(1, len(ids) + 1))


async def test_a_feed_without_ticks_still_moves_every_shard(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with running(["sim:?rate=0", "sim:?rate=0&seed=2"], redis_url, namespace):

        async def beating() -> bool:
            found = await stored.blocks()
            return len(found) == 8 and all(len(blocks) >= 3 for blocks in found.values())

        await eventually(beating)
        assert sorted(f.feed for f in await stored.statuses()) == ["sim", "sim-2"]


async def test_a_frame_of_many_trades_is_taken_in_whole(
    redis_url: str, namespace: str, stored: Stored, eventually: Eventually
) -> None:
    async with fake_venue("kraken") as venue:
        spec = f"kraken:BTC/USD?url={venue.url}"
        async with running([spec], redis_url, namespace):
            await eventually(lambda: venue.subscribed)
            trades = [
                json.loads(trade_frame("kraken", "BTC/USD", n, at_ns=wall_ns()))["data"][0]
                for n in range(1, 1_201)
            ]
            venue.push(json.dumps({"channel": "trade", "type": "update", "data": trades}))

            async def all_there() -> bool:
                return await stored.ids("KRAKEN:BTC-USD") == list(range(1, 1_201))

            await eventually(all_there)
