"""What comes out of a socket is cut to size, too."""

import msgspec
import pytest

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from gateway.service import GatewaySettings
from tests.integration.gateway.rig import START_NS, gateway

NAMES = [f"V{number:015d}:" + "T" * 40 for number in range(40)]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_no_data_message_is_larger_than_1_kib_where_that_is_the_bound(
    redis_url: str, namespace: str, encoding: str
) -> None:
    settings = GatewaySettings(port=0, max_message_bytes=1_024)
    ticks = [
        Tick(Symbol(name), number, 0.1 + 0.2, 1 / 3, START_NS + number, Side.BUY)
        for number in range(20)
        for name in NAMES
    ]
    async with (
        gateway(redis_url, namespace, settings=settings) as rig,
        rig.client(f"?encoding={encoding}") as client,
    ):
        await client.ask(action="subscribe", trades=NAMES)
        await rig.publish(ticks)
        found, sizes = [], []
        while len(found) < len(ticks):
            received = await client.connection.recv()
            sizes.append(len(received))
            decode = msgspec.msgpack.decode if encoding == "msgpack" else msgspec.json.decode
            found += decode(received)

    assert max(sizes) <= 1_024
    assert {(item["S"], item["i"]) for item in found} == {(t.symbol, t.trade_id) for t in ticks}
