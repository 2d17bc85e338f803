"""What clients of all kinds are sent is exactly what there was, and what ends in the history."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Eventually
from tests.integration.system.market import (
    SYMBOLS,
    assert_bars,
    facts,
    history,
    ids_of,
    make_trades,
    start_ns,
    write_replay,
)
from tests.integration.system.roles import Deployment, alive, is_ready
from tests.integration.system.subscriber import Message, Subscriber, subscribed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_CHANNELS = ("bars", "updatedBars", "runningBars")
_ALL_BARS = {channel + tf: ["*"] for channel in _CHANNELS for tf in ("", "5Min", "15Min")}
_BTC, _ETH, _XRP, _DOGE = (f"REPLAY:{name}" for name in SYMBOLS)

Key = tuple[str, str, int]


def key_of(bar: Message) -> Key:
    return (bar["S"], bar.get("tf", "1Min"), start_ns(dict(bar)))


def continuation(ids: Sequence[int], last: int) -> bool:
    """Does *ids* end with *last*, each one more than the one before?"""
    return bool(ids) and list(ids) == list(range(ids[0], last + 1))


async def test_every_client_is_sent_exactly_what_there_was(
    redis_url: str,
    embedded_migrated_url: str,
    namespace: str,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    trades = make_trades(minutes=180, count=12_000, seed=3)
    ids = ids_of(trades)
    feed = f"replay:{write_replay(tmp_path / 'trades.csv', trades)}?speed=3000"
    system = Deployment(
        redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace
    )
    async with AsyncExitStack() as stack:
        start = stack.enter_async_context
        gateway, aggregate = await start(system.gateway()), await start(system.aggregate())
        for role in (gateway, aggregate):
            await alive(role)
            await is_ready(role, eventually)

        async def join(**subscription: Any) -> Subscriber:
            return await start(subscribed(gateway.url, **subscription))

        everything = await join(trades=["*"], **_ALL_BARS)
        packed = await join(trades=["*"], encoding="msgpack", **_ALL_BARS)
        spelled = await join(trades=["btc/usd", "BTC-USD", "replay:btc-usd", "doge"])
        mixed = await join(trades=["*", "ETH/USD"], encoding="msgpack")
        short = await join(symbols=["xrp/eth", "REPLAY:DOGE"])
        await start(system.ingest(feed))

        await eventually(lambda: len(everything.of("t")) > 3_000, timeout_s=20)
        late = await join(trades=["*"], encoding="msgpack")
        asked = {"REPLAY:BTC-USD": _BTC, "doge": _DOGE}
        caught = await join(trades=list(asked), snapshot=True)

        await eventually(lambda: assert_bars(gateway.url, trades), timeout_s=30)
        stored = await history(gateway.url, list(ids))
        await eventually(lambda: sum(map(len, late.ids().values())) > 0)
        assert await gateway.stop() == 0, gateway.output()

    assert everything.ids() == packed.ids() == ids
    assert [m for m in everything.messages if m["T"] in "bu"] == [
        m for m in packed.messages if m["T"] in "bu"
    ]
    assert spelled.ids() == {
        "btc/usd": ids[_BTC], "BTC-USD": ids[_BTC], "replay:btc-usd": ids[_BTC], "doge": ids[_DOGE],
    }  # fmt: skip
    assert mixed.ids() == {"ETH/USD" if s == _ETH else s: ids[s] for s in ids}
    assert short.ids() == {"xrp/eth": ids[_XRP], _DOGE: ids[_DOGE]}
    assert {bar["S"] for bar in short.of("b")} == {"xrp/eth", _DOGE}
    for symbol, seen in late.ids().items():
        assert seen[0] > 1, symbol
        assert continuation(seen, ids[symbol][-1]), symbol
    events = {(trade.symbol, trade.trade_id): trade.event_ns for trade in trades}
    for name, (shown, *seen) in caught.ids().items():  # the newest trade, then all that came
        symbol = asked[name]
        assert shown > 1, name
        assert continuation(seen, ids[symbol][-1]), name
        came_late = range(shown + 1, seen[0])  # before the snapshot, and older than its trade
        assert all(events[symbol, i] < events[symbol, shown] for i in came_late), name
    assert [(m["T"], m["S"]) for m in caught.messages[1:3]] == [("t", name) for name in asked]
    assert_bars_of(everything, stored)
    assert_running_bars_of(everything, stored)


def assert_bars_of(client: Subscriber, stored: dict[Key, Any]) -> None:
    """Each bar closed once; revisions grow; the newest of each is what is stored."""
    closed = Counter(key_of(bar) for bar in client.of("b"))
    assert set(closed.values()) == {1}
    assert closed.keys() == stored.keys()
    newest: dict[Key, Message] = {}
    for bar in client.messages:
        if bar["T"] in ("b", "u"):
            key = key_of(bar)
            before = newest.get(key)
            assert (bar["T"] == "b") == (before is None), key  # b first, then u
            assert before is None or bar["rev"] > before.get("rev", 0), key
            newest[key] = bar
    assert {k: (facts(dict(b)), b.get("rev", 0)) for k, b in newest.items()} == {
        k: (facts(b), b["rev"]) for k, b in stored.items()
    }
    assert len(client.of("u")) > 10  # the market has late trades; a flush may revise many at once


def assert_running_bars_of(client: Subscriber, stored: dict[Key, Any]) -> None:
    """An open bar grows towards the one that is stored, and is not sent once it has closed."""
    trades: dict[Key, int] = {}
    closed: set[Key] = set()
    for bar in client.messages:
        if bar["T"] == "b":
            closed.add(key_of(bar))
        if bar["T"] == "r":
            key = key_of(bar)
            assert bar["final"] is False
            assert key not in closed, key
            assert trades.get(key, 0) <= bar["n"] <= stored[key]["n"], key
            trades[key] = bar["n"]
    assert {timeframe for _, timeframe, _ in trades} == {"1Min", "5Min", "15Min"}
