"""Corrections and cancels through a real gateway: stream order, both codecs, after a comeback."""

from core.market.block import BlockMeta, encode_block
from core.market.notice import Cancel, Correction, Notice
from core.market.symbol import Symbol
from core.market.tick import Tick
from storage.streams import shard_of
from tests.clocks import wall_ns
from tests.integration.gateway.rig import SHARDS, START_NS, Rig

A = Symbol("SIM:S001")


async def tell(rig: Rig, *blocks: tuple[list[Tick], tuple[Notice, ...]]) -> None:
    """Append blocks of A, all at once, so that the gateway reads them together."""
    writer = await rig.open("sim")
    shard = shard_of(A, SHARDS)
    first, payloads = writer.next_number(shard), []
    for number, (ticks, notices) in enumerate(blocks, first):
        meta = BlockMeta(
            number=number, watermark_ns=START_NS, feed_time_ns=START_NS, sealed_ns=wall_ns(),
            epoch=writer.epoch, notices=notices,
        )  # fmt: skip
        payloads.append((shard, encode_block(meta, ticks)))
    await writer.append(payloads)


def tick(ident: int) -> Tick:
    return Tick(A, ident, 10.0 + ident, 1.0, START_NS + ident * 10**6, seq=ident)


CORRECTION = Correction(A, START_NS, 2, 12.0, 1.0, 9, 12.5, 1.0)
CANCEL = Cancel(A, START_NS, 4, 14.0, 1.0)
WANTED = [("t", 1), ("t", 2), ("c", 2), ("t", 3), ("t", 4), ("x", 4), ("t", 5)]
BLOCKS = (
    ([tick(1)], ()),
    ([tick(2)], (CORRECTION,)),
    ([tick(3)], ()),
    ([tick(4)], (CANCEL,)),
    ([tick(5)], ()),
)


async def test_both_codecs_get_them_in_stream_order_and_one_who_comes_back_too(rig: Rig) -> None:
    headers = {"Content-Type": "application/msgpack"}
    await tell(rig, ([tick(0)], ()))
    async with rig.client() as early:
        await early.ask(action="subscribe", trades=[A], cursor=True)
        (cursor,) = [m["c"] for m in await early.receive() if m["T"] == "cursor"]
    async with rig.client() as client, rig.client(additional_headers=headers) as packed:
        for each in (client, packed):
            reply = await each.ask(action="subscribe", trades=[A], corrections=[A])
            assert reply["corrections"] == reply["cancelErrors"] == [A]

        await tell(rig, *BLOCKS)

        for each in (client, packed):
            found = await each.data(len(WANTED))
            assert [(m["T"], m.get("i", m.get("oi"))) for m in found] == WANTED
    async with rig.client() as late:
        await late.ask(action="subscribe", trades=[A], resume=cursor)
        found = await late.data(len(WANTED))
        missed = [(m["T"], m.get("i", m.get("oi"))) for m in found if m["T"] != "cursor"]
        assert missed[-len(WANTED) :] == WANTED
    last = rig.service.market.last_trade(A)
    assert last is not None
    assert last.trade_id == 5


async def test_a_corrected_and_then_cancelled_last_trade_is_no_last_trade(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[A])
        await tell(rig, ([tick(1), tick(2)], (CORRECTION,)))
        await client.data(3)
        last = rig.service.market.last_trade(A)
        assert last is not None
        assert (last.trade_id, last.price) == (9, 12.5)

        await tell(rig, ([], (Cancel(A, START_NS, 9, 12.5, 1.0),)))
        await client.data(1)

        assert rig.service.market.last_trade(A) is None
