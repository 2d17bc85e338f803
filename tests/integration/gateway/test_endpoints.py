"""The endpoints of the published protocol, byte by byte where typed clients depend on the bytes."""

import struct
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from gateway.service import GatewaySettings
from tests.conftest import Eventually
from tests.integration.gateway.raw import (
    BINARY,
    CONT,
    RawClient,
    client_frame,
    raw_client,
    upgrade_request,
)
from tests.integration.gateway.rig import START_NS, Client, Rig, bar, gateway

STOCKS, CRYPTO = "/v2/iex", "/v1beta3/crypto/us"
STOCK, COIN = Symbol("ALP:AAPL"), Symbol("SIM:BTC-USD")
MSGPACK = {"Content_Type": "application/msgpack"}
WELCOME = bytes.fromhex("9182a154a773756363657373a36d7367a9636f6e6e6563746564")


@pytest.fixture
async def market(redis_url: str, namespace: str, eventually: Eventually) -> AsyncIterator[Rig]:
    """A gateway with a feed of stocks, and one of none; each has had a trade."""
    settings = GatewaySettings(port=0, max_symbols=9_000)
    async with gateway(redis_url, namespace, settings=settings, stocks=["alp"]) as rig:
        await rig.publish([tick(STOCK, ident=0)], feed="alp")
        await rig.publish([tick(COIN, ident=0)])
        await eventually(lambda: len(rig.service.market.symbols()) == 2)
        yield rig


def tick(symbol: Symbol, *, ident: int, size: float = 100.0, at_ns: int = 0) -> Tick:
    return Tick(symbol, ident, 126.55, size, START_NS + (at_ns or ident * 1_000), Side.BUY, ident)


async def packed(client: RawClient, path: str) -> None:
    """Open *path* for msgpack; the welcome has the published bytes."""
    client.writer.write(upgrade_request(path, **MSGPACK))
    status, _ = await client.head()
    assert status == 101
    assert await client.frame() == (BINARY, WELCOME)


async def ask(client: RawClient, **message: Any) -> Any:
    client.writer.write(client_frame(BINARY, msgspec.msgpack.encode(message)))
    return await client.message()


async def test_a_stock_trade_has_the_bytes_that_typed_clients_read(market: Rig) -> None:
    async with raw_client(market.service.port) as client:
        await packed(client, STOCKS)
        await ask(client, action="subscribe", trades=["AAPL"])

        await market.publish([tick(STOCK, ident=96_921, at_ns=1_000_000_000)], feed="alp")
        _, payload = await client.frame()
        await market.publish([tick(STOCK, ident=96_922, at_ns=1_000_000_001)], feed="alp")
        _, later = await client.frame()

    second = START_NS // 10**9 + 1
    assert payload == b"".join(
        (
            b"\x91\x89",
            b"\xa1T\xa1t\xa1S\xa4AAPL",
            b"\xa1i\xce" + struct.pack(">I", 96_921),
            b"\xa1x\xa1E\xa1p\xcb" + struct.pack(">d", 126.55),
            b"\xa1s\x64\xa1c\x90\xa1z\xa1O",
            b"\xa1t\xd6\xff" + struct.pack(">I", second),
        )
    )
    assert later.endswith(b"\xa1t\xd7\xff" + struct.pack(">Q", 1 << 34 | second))


async def test_a_crypto_trade_has_floats_a_taker_and_an_integer_id(market: Rig) -> None:
    async with raw_client(market.service.port) as client:
        await packed(client, CRYPTO)
        await ask(client, action="subscribe", trades=["BTC/USD"])

        await market.publish([tick(COIN, ident=96_921, size=2.0, at_ns=1)])
        _, payload = await client.frame()

    assert payload == b"".join(
        (
            b"\x91\x87",
            b"\xa1T\xa1t\xa1S\xa7BTC/USD",
            b"\xa1p\xcb" + struct.pack(">d", 126.55),
            b"\xa1s\xcb" + struct.pack(">d", 2.0),
            b"\xa1t\xd7\xff" + struct.pack(">Q", 1 << 34 | START_NS // 10**9),
            b"\xa1i\xd3" + struct.pack(">q", 96_921),
            b"\xa3tks\xa1B",
        )
    )


@pytest.mark.parametrize(
    ("path", "name", "symbol", "volume"),
    [
        (STOCKS, "AAPL", STOCK, b"\xcd" + struct.pack(">H", 49_378)),
        (CRYPTO, "BTC/USD", COIN, b"\xcb" + struct.pack(">d", 49_378.0)),
    ],
    ids=["stocks", "crypto"],
)
async def test_a_bar_has_n_and_vw_and_a_volume_of_its_kind(
    market: Rig, path: str, name: str, symbol: Symbol, volume: bytes
) -> None:
    async with raw_client(market.service.port) as client:
        await packed(client, path)
        await ask(client, action="subscribe", bars=[name])

        await market.publish_bar(bar(symbol, volume=49_378.0))
        _, payload = await client.frame()

    (found,) = msgspec.msgpack.decode(payload)
    assert payload.startswith(b"\x91\x8a\xa1T\xa1b\xa1S")
    assert b"\xa1v" + volume + b"\xa1t\xd6\xff" in payload
    assert (found["n"], found["vw"]) == (5, 1.5)


async def test_a_subscription_of_81_kilobytes_in_fragments_is_taken_whole(market: Rig) -> None:
    names = [f"S{n:06d}" for n in range(9_000)]
    message = msgspec.msgpack.encode({"trades": names, "action": "subscribe"})
    async with raw_client(market.service.port) as client:
        await packed(client, STOCKS)

        client.writer.write(client_frame(BINARY, message[:32_768], fin=False))
        for at in range(32_768, len(message), 32_768):
            client.writer.write(client_frame(CONT, message[at : at + 32_768], fin=False))
        client.writer.write(client_frame(CONT, b""))
        (reply,) = await client.message()
        (refused,) = await ask(client, action="subscribe", bars=["ONE/MORE"])
        (again,) = await ask(client, action="subscribe", trades=names)

    assert len(message) > 72_000
    assert reply["trades"] == reply["corrections"] == names
    assert refused["code"] == 405
    assert again == reply


async def test_control_messages_are_alone_in_their_arrays_under_load(market: Rig) -> None:
    async with market.client(path=STOCKS) as client:
        await client.connection.send('{"action":"subscribe","trades":["*"]}')
        found = [await client.receive()]
        for ident in range(1, 200):
            await market.publish([tick(STOCK, ident=ident)], feed="alp")
            if ident % 20 == 0:
                await client.connection.send('{"action":"subscribe","bars":["*"]}')
        while sum(message["T"] == "t" for batch in found for message in batch) < 199:
            found.append(await client.receive())

    kinds = [[message["T"] for message in batch] for batch in found]
    assert sum(batch == ["subscription"] for batch in kinds) == 10
    assert all(set(batch) == {"t"} for batch in kinds if batch != ["subscription"])


async def test_what_is_no_stock_is_410_and_nothing_else_is_subscribed(market: Rig) -> None:
    async with market.client(path=STOCKS) as client:
        await client.ask(action="subscribe", trades=["AAPL"])
        refused = await client.ask(action="subscribe", trades=["MSFT", "BTC/USD"])
        channel = await client.ask(action="subscribe", orderbooks=["AAPL"])
        after = await client.ask(action="subscribe")

    assert refused["code"] == 410
    assert "SIM:BTC-USD is no stock: no feed declares SIM with class=stock" in refused["msg"]
    assert channel["code"] == 410
    assert after["trades"] == ["AAPL"]


async def test_a_feed_may_declare_stocks_later(market: Rig) -> None:
    async with market.client(path=STOCKS) as client:
        await client.ask(action="subscribe", trades=["NEW:X", "*"])
        await market.open("new", stocks=True)
        await market.publish([tick(Symbol("NEW:X"), ident=1)], feed="new")

        (trade,) = await client.receive()

    assert (trade["S"], trade["s"]) == ("NEW:X", 100)


async def test_who_comes_back_to_a_star_gets_the_names_that_it_had(market: Rig) -> None:
    async with market.client(path=STOCKS) as client:
        await client.ask(action="subscribe", trades=["*"], cursor=True)
        await market.publish([tick(STOCK, ident=1)], feed="alp")
        had, cursor = await until_a_trade(client)
    await market.publish([tick(STOCK, ident=2)], feed="alp")
    async with market.client(path=STOCKS) as client:
        await client.ask(action="subscribe", trades=["*"], cursor=True, resume=cursor["c"])
        missed, *_ = await until_a_trade(client)

    assert [(trade["S"], trade["i"]) for trade in (had, missed)] == [("AAPL", 1), ("AAPL", 2)]


async def until_a_trade(client: Client) -> list[dict[str, Any]]:
    """The message that begins with the next trade; cursors may come by themselves before it."""
    found = await client.receive()
    while found[0]["T"] != "t":
        found = await client.receive()
    return found


async def test_a_pooled_client_may_upgrade_on_any_of_the_paths(market: Rig) -> None:
    async with raw_client(market.service.port) as client:
        client.writer.write(b"GET /v2/iex HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, head = await client.head()
        refused = await client.body(head)

        await client.upgrade(STOCKS)
        await client.say(action="subscribe", statuses=["AAPL"])
        (reply,) = await client.message()

    assert (status, refused["code"]) == (426, 426)
    assert reply["statuses"] == ["AAPL"]
