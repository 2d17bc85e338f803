"""What goes wrong while a window is served ends the role; it does not go on in silence."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from gateway.fanout import Fanout
from gateway.metrics import GatewayMetrics
from gateway.wire import PlainWire
from tests.clocks import wall_ns
from tests.unit.gateway.listeners import Desk, Listener


class Broken(PlainWire):
    """Fails from the second batch on."""

    def __init__(self) -> None:
        self.batches = 0

    def one_to_all(self, framed: bytes, clients: object) -> None:
        self.batches += 1
        if self.batches > 1:
            raise OSError(9, "nothing can be sent")


@pytest.mark.parametrize("clients", [1, 600], ids=["at the window's end", "between two slices"])
async def test_the_watcher_of_the_fan_out_raises_it(clients: int) -> None:
    desk = Desk("X:A-USD")
    fanout = Fanout(
        hub=desk.hub,
        metrics=GatewayMetrics(CollectorRegistry()),
        now_ns=wall_ns,
        monotonic_ns=wall_ns,
    )
    fanout.wire = Broken()
    for _ in range(clients):
        desk.subscribe(Listener(), "X:A-USD")

    async with asyncio.timeout(5):
        desk.trade("X:A-USD")
        fanout.published()  # at once, as they were sent nothing so far
        desk.trade("X:A-USD")
        fanout.published()
        with pytest.raises(OSError, match="nothing can be sent"):
            await fanout.watch()
