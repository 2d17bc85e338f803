from collections.abc import Awaitable, Callable
from typing import Any

from storage.embedded import ValkeyServer
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fakes.venue import fake_venue
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
