"""A master dies or hangs under load; three Sentinels promote its replica."""

from pathlib import Path
from typing import Any

import pytest

from storage.errors import StreamUnavailable
from storage.redis import command, connect
from tests.conftest import Eventually
from tests.integration.redis.traffic import Traffic, now_s
from tests.redis_servers import MAKES, Watched, watched

RESUMED_S = 2.0
NOTICED_S = 3.0


async def promoted(servers: Watched, eventually: Eventually) -> float:
    """Wait for the new master; when that was."""
    port = servers.servers[1].port

    async def changed() -> bool:
        return await servers.master_port() == port

    await eventually(changed, timeout_s=15)
    return now_s()


@pytest.mark.parametrize("make", MAKES)
async def test_a_killed_master_that_had_not_replicated_all_loses_no_block(
    make: str, tmp_path: Path, proxied: Any, eventually: Eventually
) -> None:
    async with watched(make, tmp_path, proxied=proxied) as servers:
        traffic = Traffic(servers.url)
        async with traffic.flowing() as writer:
            await eventually(lambda: len(traffic.stored_at) > 50)
            servers.link.black_hole()  # what is acknowledged from now on is on the master alone
            count = len(traffic.stored_at)
            await eventually(lambda: len(traffic.stored_at) > count + 20)
            servers.servers[0].kill()

            at_s = await promoted(servers, eventually)
            await eventually(lambda: traffic.resumed(at_s), timeout_s=RESUMED_S)

    traffic.check(writer)
    assert writer.replayed > 0
    assert writer.lost == 0


async def test_a_hanging_master_is_noticed_and_cannot_come_back_between(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with watched("redis", tmp_path) as servers:
        traffic = Traffic(servers.url)
        async with traffic.flowing() as writer:
            await eventually(lambda: len(traffic.stored_at) > 50)
            servers.servers[0].pause()
            paused_s = now_s()
            noticed = (traffic.failed_at, traffic.missed_at)
            await eventually(lambda: all(noticed) or traffic.resumed(paused_s), timeout_s=NOTICED_S)

            at_s = await promoted(servers, eventually)
            await eventually(lambda: traffic.resumed(at_s), timeout_s=RESUMED_S)
            servers.servers[0].resume()
            since_s = now_s() + 1.0
            await eventually(lambda: traffic.resumed(since_s), timeout_s=5)

    traffic.check(writer)


async def test_what_sentinels_do_not_know_is_told(tmp_path: Path) -> None:
    async with watched("valkey", tmp_path) as servers:
        redis = connect(servers.url.replace("/market", "/nobody"))
        with pytest.raises(StreamUnavailable, match="no Sentinel knows the master 'nobody'"):
            await command(redis, "PING")
        await redis.aclose()

        for sentinel in servers.sentinels[:2]:
            sentinel.kill()
        redis = connect(servers.url)
        assert await command(redis, "PING") == b"PONG"
        await redis.aclose()
