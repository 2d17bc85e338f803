"""A server that goes silent, without any connection ending: noticed, waited out, nothing lost."""

from typing import Any

from storage.keys import StreamKeys
from tests.conftest import Eventually
from tests.integration.redis.traffic import SHARDS, Traffic, now_s

NOTICED_S = 3.0
RESUMED_S = 2.0


async def test_a_silent_server_is_noticed_by_writer_and_reader_within_three_seconds(
    redis_url: str, namespace: str, proxied: Any, eventually: Eventually
) -> None:
    proxy = await proxied(redis_url)
    traffic = Traffic(proxy.url, StreamKeys(namespace, SHARDS))
    async with traffic.flowing() as writer:
        await eventually(lambda: len(traffic.stored_at) > 20)
        proxy.black_hole()
        await eventually(lambda: traffic.failed_at and traffic.missed_at, timeout_s=NOTICED_S)

        await proxy.heal()
        at_s = now_s()
        await eventually(lambda: traffic.resumed(at_s), timeout_s=RESUMED_S)

    traffic.check(writer)
