"""Blocks that are gone before the gateway reads them: live clients are told, in their place."""

from collections.abc import Sequence
from typing import Any

from core.market.block import BlockMeta, encode_block
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from gateway.service import GatewaySettings
from storage.embedded import ValkeyServer
from storage.redis import Command, command, exchange
from storage.streams import shard_of
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.integration.gateway.rig import SHARDS, START_NS, Client, Limits, Rig, gateway

A, B = "SIM:A", "SIM:D"  # of two shards


async def received(client: Client, *, until: int, spelling: str = A) -> list[dict[str, Any]]:
    """All messages up to the trade *until*."""
    found: list[dict[str, Any]] = []
    while not found or not any(m.get("i") == until and m["S"] == spelling for m in found):
        found += await client.receive()
    return found


def story(messages: Sequence[dict[str, Any]], spelling: str) -> list[Any]:
    """Trade ids of a symbol, and the states of its gaps, in order."""
    return [
        message["i"] if message["T"] == "t" else message["state"]
        for message in messages
        if message["S"] == spelling
    ]


async def append(rig: Rig, blocks: Sequence[tuple[int, int]], *, broken: int = -1) -> None:
    """Blocks of A, each a number and a trade id, all in one moment; body *broken* is cut short."""
    shard = shard_of(A, SHARDS)
    epoch = (await rig.open("sim")).epoch
    commands: list[Command] = [("MULTI",)]
    for number, trade_id in blocks:
        meta = BlockMeta(number=number, watermark_ns=0, feed_time_ns=0, sealed_ns=wall_ns(),
                         epoch=epoch)  # fmt: skip
        tick = Tick(Symbol(A), trade_id, 1.0, 2.0, START_NS + trade_id, Side.BUY)
        payload = encode_block(meta, [tick])
        payload = payload[:-30] if number == broken else payload
        commands.append(("XADD", rig.keys.ticks("sim", shard), "*", "b", payload))
    await exchange(rig.redis, [*commands, ("EXEC",)])


async def test_a_gap_stands_between_the_trades_around_a_hole(
    rig: Rig, eventually: Eventually
) -> None:
    assert shard_of(A, SHARDS) != shard_of(B, SHARDS)
    await rig.trade(A, B)
    await eventually(lambda: len(rig.service.market.symbols()) == 2)
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=["*"])
        async with rig.client("?encoding=msgpack") as other:
            await other.ask(action="subscribe", trades=["a", "d"])
            await append(rig, [(2, 102), (3, 103), (6, 106), (7, 107)])

            for one, spelling in ((client, A), (other, "a")):
                messages = await received(one, until=107, spelling=spelling)
                assert story(messages, spelling) == [102, 103, "lost", 106, 107]
                (gap,) = [message for message in messages if message["T"] == "gap"]
                assert gap["channels"] == ["trades"]
                assert gap["from"] <= gap["to"]

    assert rig.metric("gateway_missing_blocks_total") == 2


async def test_ticks_of_a_block_that_cannot_be_read_are_told_as_lost(
    rig: Rig, eventually: Eventually
) -> None:
    await rig.trade(A)
    await eventually(lambda: rig.service.market.symbols())
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[A])
        await append(rig, [(2, 102), (3, 103), (4, 104)], broken=3)

        assert story(await received(client, until=104), A) == [102, "lost", 104]

    assert rig.metric("gateway_missing_blocks_total") == 0


async def test_a_gateway_that_fell_behind_at_the_cap_tells_its_clients_what_they_miss(
    valkey: ValkeyServer, namespace: str, proxied: Any, eventually: Eventually
) -> None:
    proxy = await proxied(valkey.url)
    settings = GatewaySettings(port=0, limits=Limits(slow_client_bytes=1 << 24))
    async with gateway(valkey.url, namespace, settings=settings, reader_url=proxy.url) as rig:
        writer = await rig.open("sim")
        await rig.trade(A, B)
        await eventually(lambda: len(rig.service.market.symbols()) == 2)
        async with rig.client() as client:
            await client.ask(action="subscribe", trades=["*"])
            proxy.black_hole()
            info = await command(rig.redis, "INFO", "memory")
            used = int(info.split(b"used_memory:")[1].split()[0])
            await command(rig.redis, "CONFIG", "SET", "maxmemory", used + 2_000_000)
            while writer.given_up < 1_000_000:
                ticks = [Tick(Symbol(name), n, 1.0, 2.0, START_NS + n)
                         for n in range(500) for name in (A, B)]  # fmt: skip
                await rig.publish(ticks)
            await proxy.heal()
            await rig.publish([Tick(Symbol(name), 5000, 1.0, 2.0, START_NS) for name in (A, B)])

            messages = []
            while [m.get("i") for m in messages].count(5000) < 2:
                messages += await client.receive()

    missing = rig.metric("gateway_missing_blocks_total")
    assert missing > 0
    for symbol in (A, B):
        assert "lost" in story(messages, symbol)
    blocks = sum(writer.next_number(shard) - 1 for shard in range(SHARDS))
    trades = sum(m["T"] == "t" for m in messages)
    assert trades == (blocks - missing - 4) * 500 + 2  # nothing else is missing
