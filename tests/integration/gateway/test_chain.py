"""One tickgate is the feed of another: trades, and what is said of them, arrive as they were."""

import pytest

from tests.conftest import Eventually
from tests.integration.gateway.rig import Rig
from tests.integration.gateway.test_notices import BLOCKS, CANCEL, CORRECTION, A, tell, tick
from tests.integration.ingest.rig import Stored, running


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_a_gateway_feeds_another_tickgate(
    encoding: str, rig: Rig, redis_url: str, namespace: str, eventually: Eventually
) -> None:
    stored = Stored(redis_url, f"{namespace}-second")
    spec = f"alpaca:*?url={rig.url}&encoding={encoding}"
    await tell(rig, ([tick(0)], ()))
    async with running([spec], redis_url, stored.namespace):
        await eventually(lambda: rig.service.market.symbols())

        async def live() -> bool:
            return any(feed.state == "live" for feed in await stored.statuses())

        await eventually(live)

        await tell(rig, *BLOCKS)

        async def all_there() -> bool:
            blocks = [block for some in (await stored.blocks()).values() for block in some]
            said = [notice for block in blocks for notice in block.meta.notices]
            return len(await stored.ids(A)) == 5 and said == [CORRECTION, CANCEL]

        await eventually(all_there)
        found = [each for each in await stored.ticks() if each.symbol == A]
        await stored.redis.aclose()

    assert [(each.trade_id, each.price, each.event_ns) for each in found] == [
        (sent.trade_id, sent.price, sent.event_ns) for ticks, _ in BLOCKS for sent in ticks
    ]
