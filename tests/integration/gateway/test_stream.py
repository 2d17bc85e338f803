"""The stream endpoint as a client of the `websockets` package sees it."""

import time
from typing import Any

import msgspec

from core.market.symbol import Symbol
from storage.rows import SymbolRow
from tests.conftest import Eventually
from tests.integration.gateway.rig import Rig, bar, gateway

SYMBOL, OTHER = "SIM:S001", "SIM:S002"


async def carried(rig: Rig, eventually: Eventually, *symbols: str) -> None:
    """One trade of each symbol has reached the gateway."""
    await rig.trade(*symbols, price=1.0)
    await eventually(lambda: set(symbols) <= set(rig.service.market.symbols()))


def ids(messages: list[dict[str, Any]]) -> list[int]:
    return [message["i"] for message in messages]


async def test_trades_arrive_in_order_and_once(rig: Rig, eventually: Eventually) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[SYMBOL])
        await carried(rig, eventually, SYMBOL)
        for _ in range(30):
            await rig.trade(SYMBOL, OTHER)

        received = await client.data(31)

    assert {message["S"] for message in received} == {SYMBOL}
    assert ids(received) == sorted(ids(received))


async def test_a_trade_has_the_published_shape(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[SYMBOL])

        await rig.trade(SYMBOL, price=101.25)

        assert await client.receive() == [
            {
                "T": "t",
                "S": SYMBOL,
                "p": 101.25,
                "s": 2.0,
                "t": "2023-11-14T22:13:20.001Z",
                "i": 1,
                "tks": "B",
            }
        ]


async def test_every_reply_is_the_entire_set_with_all_channels(rig: Rig) -> None:
    empty = {
        f"{kind}{size}": []
        for kind in ("bars", "updatedBars", "runningBars")
        for size in ("", "5Min", "15Min")
    }
    async with rig.client() as client:
        first = await client.ask(action="subscribe", trades=["BTC/USD"], quotes=["*"], lulds=None)
        again = await client.ask(action="subscribe", trades=["BTC/USD"], symbols=["ETH-USD"])
        less = await client.ask(action="unsubscribe", trades=["BTC/USD", "unknown"], quotes=["*"])

    def trades(*names: str) -> dict[str, list[str]]:
        return {key: [*names] for key in ("trades", "corrections", "cancelErrors")}

    assert first == {"T": "subscription", "quotes": ["*"]} | trades("BTC/USD") | empty
    assert again == first | trades("BTC/USD", "ETH-USD") | {"bars": ["ETH-USD"]}
    assert less == again | trades("ETH-USD") | {"quotes": []}


async def test_a_name_that_nobody_carries_waits_and_keeps_its_spelling(
    rig: Rig, eventually: Eventually
) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=["btc/usd"], bars=["BINANCE:BTC/USD"])

        await carried(rig, eventually, "COINBASE:BTC-USD", "BINANCE:BTC-USD")
        (trade,) = await client.receive()
        await rig.publish_bar(bar("BINANCE:BTC-USD"))
        (closed,) = await client.receive()

    assert (trade["T"], trade["S"]) == ("t", "btc/usd")
    assert (closed["T"], closed["S"]) == ("b", "BINANCE:BTC/USD")


async def test_an_ambiguous_name_is_refused_and_names_the_choices(
    rig: Rig, eventually: Eventually
) -> None:
    await carried(rig, eventually, "COINBASE:BTC-USD", "BINANCE:BTC-USD")
    async with rig.client() as client:
        refused = await client.ask(action="subscribe", trades=["BTC/USD"])
        accepted = await client.ask(action="subscribe", trades=["COINBASE:BTC/USD"])

    assert refused["code"] == 400
    assert "COINBASE:BTC-USD, BINANCE:BTC-USD" in refused["msg"] or (
        "BINANCE:BTC-USD, COINBASE:BTC-USD" in refused["msg"]
    )
    assert accepted["trades"] == ["COINBASE:BTC/USD"]


async def test_a_star_gets_every_symbol_and_a_named_one_only_as_named(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=["*", "S001"])

        await rig.trade(SYMBOL, OTHER)

        received = await client.data(2)
    assert sorted(message["S"] for message in received) == ["S001", OTHER]


async def test_bars_go_to_their_channels(rig: Rig) -> None:
    channels = [
        f"{kind}{size}"
        for kind in ("bars", "updatedBars", "runningBars")
        for size in ("", "5Min", "15Min")
    ]
    async with rig.client() as client:
        await client.ask(action="subscribe", **{channel: [SYMBOL] for channel in channels})
        received = []
        for minutes in (1, 5, 15):
            for fields in ({}, {"rev": 2, "gap": True}, {"final": False}):
                await rig.publish_bar(bar(SYMBOL, minutes=minutes, **fields))
                received += await client.data(1)

    shapes = [(m["T"], m.get("tf"), m.get("rev"), m.get("final"), m.get("gap")) for m in received]
    assert shapes == [
        ("b", None, None, None, None),
        ("u", None, 2, None, True),
        ("r", "1Min", None, False, None),
        ("b", "5Min", None, None, None),
        ("u", "5Min", 2, None, True),
        ("r", "5Min", None, False, None),
        ("b", "15Min", None, None, None),
        ("u", "15Min", 2, None, True),
        ("r", "15Min", None, False, None),
    ]
    assert received[0] == {
        "T": "b",
        "S": SYMBOL,
        "o": 1.0,
        "h": 3.0,
        "l": 0.5,
        "c": 2.0,
        "v": 4.0,
        "t": "2023-11-14T22:13:00Z",
        "n": 5,
        "vw": 1.5,
    }


async def test_a_snapshot_comes_between_the_reply_and_the_live_messages(
    rig: Rig, eventually: Eventually
) -> None:
    await carried(rig, eventually, SYMBOL)
    await rig.publish_bar(bar(SYMBOL, final=False))
    await eventually(lambda: rig.service.market.running_bar(Symbol(SYMBOL), "1Min"))
    async with rig.client() as client:
        reply = await client.ask(action="subscribe", symbols=["S001"], snapshot=True)
        await rig.trade(SYMBOL, price=7.0)
        received = await client.data(3)

    assert reply["T"] == "subscription"
    assert [(m["T"], m["S"]) for m in received] == [("t", "S001"), ("r", "S001"), ("t", "S001")]
    assert [m["p"] for m in received if m["T"] == "t"] == [1.0, 7.0]


async def test_msgpack_by_header_or_by_query(rig: Rig) -> None:
    for options in (
        {"additional_headers": {"Content-Type": "application/msgpack"}},
        {"path": "?encoding=msgpack"},
    ):
        async with rig.client(**options) as client:  # type: ignore[arg-type]
            await client.connection.send(
                msgspec.msgpack.encode({"action": "subscribe", "trades": [SYMBOL]})
            )
            (reply,) = await client.receive()
            await rig.trade(SYMBOL)
            (trade,) = await client.receive()

        assert reply["trades"] == [SYMBOL]
        assert next(iter(trade)) == "T"
        assert trade["t"].timestamp() == 1_700_000_000 + trade["i"] / 1000


async def test_the_first_update_of_a_quiet_client_does_not_wait_for_the_window(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[SYMBOL, OTHER])
        delays = []
        for _ in range(5):
            time_to_boundary_ns = 100_000_000 - time.monotonic_ns() % 100_000_000
            began = time.monotonic()
            await rig.trade(SYMBOL)
            await client.data(1)
            delays.append((time.monotonic() - began, time_to_boundary_ns / 1e9))
            await rig.trade(OTHER)  # the next one waits for the boundary
            await rig.trade(OTHER)
            began_ns = time.monotonic_ns()
            assert len(await client.receive()) in (1, 2)
            assert (time.monotonic_ns() - began_ns) < 150_000_000
            # A whole window of silence.
            while True:
                try:
                    await client.receive(timeout_s=0.25)
                except TimeoutError:
                    break

    assert sorted(delay for delay, _ in delays)[2] < 0.03


async def test_a_busy_client_gets_one_batch_a_window(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[SYMBOL])
        began = time.monotonic()
        sent = 0
        while time.monotonic() - began < 0.65:
            await rig.trade(SYMBOL)
            sent += 1
        await client.data(sent)
        took = time.monotonic() - began

    assert rig.metric("gateway_deliveries_total") == sent
    assert rig.metric("gateway_batches_total") <= took / 0.1 + 3


async def test_symbols_of_the_database_are_known_with_their_last_trades(
    redis_url: str, namespace: str, rig: Rig
) -> None:
    ticks = await rig.trade("DB:AAA")
    rows = [SymbolRow(Symbol("DB:AAA"), ticks[0]), SymbolRow(Symbol("DB:BBB"))]
    async with (
        gateway(redis_url, namespace + "-2", symbols=rows) as other,
        other.client() as client,
    ):
        await client.ask(action="subscribe", trades=["*"], snapshot=True)
        (last,) = await client.receive()

    assert (last["S"], last["i"]) == ("DB:AAA", ticks[0].trade_id)
