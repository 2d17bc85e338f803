"""A Cluster of three masters and three replicas: a master dies, hangs, or gives slots away."""

from pathlib import Path

import pytest

from storage.keys import slot_of
from storage.redis import command, connect
from storage.stream_ranges import StreamRanges
from tests.conftest import Eventually
from tests.integration.redis.traffic import SHARDS, Traffic, now_s
from tests.redis_servers import MAKES, Clustered, Server, clustered

RESUMED_S = 2.0


async def promoted(replica: Server, eventually: Eventually) -> float:
    """Wait until *replica* is a master; when that was."""

    async def is_master() -> bool:
        return (await replica.ask("ROLE"))[0] == b"master"

    await eventually(is_master, timeout_s=15)
    return now_s()


@pytest.mark.parametrize("make", MAKES)
async def test_a_killed_master_of_a_cluster_loses_no_block(
    make: str, tmp_path: Path, eventually: Eventually
) -> None:
    async with clustered(make, tmp_path) as servers:
        traffic = Traffic(servers.url)
        async with traffic.flowing() as writer:
            await eventually(lambda: len(traffic.stored_at) > 50)
            servers.servers[0].kill()

            at_s = await promoted(servers.servers[3], eventually)
            await eventually(lambda: traffic.resumed(at_s), timeout_s=RESUMED_S)

        redis = connect(servers.url)
        newest = await StreamRanges(redis).newest(list(traffic.read))
        await redis.aclose()
    traffic.check(writer)
    assert len(newest) == SHARDS
    assert writer.lost == 0


async def test_a_hanging_master_is_replaced_and_slots_may_move_under_load(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with clustered("valkey", tmp_path) as servers:
        traffic = Traffic(servers.url)
        async with traffic.flowing() as writer:
            await eventually(lambda: len(traffic.stored_at) > 50)
            await move_slot(servers, traffic.keys.ticks("sim", 0))
            moved_s = now_s()
            await eventually(lambda: traffic.resumed(moved_s), timeout_s=RESUMED_S)

            servers.servers[2].pause()
            at_s = await promoted(servers.servers[5], eventually)
            await eventually(lambda: traffic.resumed(at_s), timeout_s=RESUMED_S)
            servers.servers[2].resume()
            since_s = now_s() + 0.5
            await eventually(lambda: traffic.resumed(since_s), timeout_s=5)

    traffic.check(writer)


async def test_the_streams_are_spread_over_all_masters(tmp_path: Path) -> None:
    keys = Traffic("").keys
    slots = [slot_of(keys.ticks("sim", shard)) for shard in range(SHARDS)]

    counts = [sum(slot * 3 // 16_384 == n for slot in slots) for n in range(3)]

    assert min(counts) >= SHARDS // 3
    assert all(slot_of(keys.fence("sim", n)) == slots[n] for n in range(SHARDS))


async def move_slot(servers: Clustered, key: str) -> None:
    """Give the slot of *key* from the first master to the second, as resharding does."""
    slot = slot_of(key)
    source, target = servers.servers[:2]
    names = [(await server.ask("CLUSTER", "MYID")).decode() for server in (source, target)]
    await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
    await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
    redis = connect(source.url)
    while found := await command(redis, "CLUSTER", "GETKEYSINSLOT", slot, 10):
        await command(redis, "MIGRATE", "127.0.0.1", target.port, "", 0, 1000, "KEYS", *found)
    await redis.aclose()
    for server in (target, source):
        await server.ask("CLUSTER", "SETSLOT", slot, "NODE", names[1])
