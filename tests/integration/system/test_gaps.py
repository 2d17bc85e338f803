"""A venue that leaves trades out, through the whole system: exact bars, or bars that say so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.market.symbol import make_symbol
from core.market.tick import Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fakes.history import fake_history
from tests.fakes.venue import FakeVenue, fake_venue
from tests.integration.system.dev import dev
from tests.integration.system.market import facts, history, right_bars
from tests.integration.system.subscriber import Subscriber, subscribed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_NAME = "BTC-USD"
_SYMBOL = make_symbol("COINBASE", _NAME)
_STEP_NS = 4 * 10**9
_TRADES = 120  # eight minutes
_DROPPED = range(30, 40)  # in the third and fourth minute
_PARTED = range(42, 58)  # in the third and fourth, of which one is lost
_LOST_OF_IT = 52
_FORGOTTEN = range(75, 77)  # in the sixth
_GONE = {_LOST_OF_IT, *_FORGOTTEN}
_QUARTER_NS = 15 * MINUTE_NS


def play(venue: FakeVenue, start_ns: int) -> list[Tick]:
    """All that took place; of some of it nobody is told."""
    trades = []
    for n in range(1, _TRADES + 1):
        price, size, at_ns = 100 + n % 7 / 8, 0.25 + n % 3, start_ns + n * _STEP_NS
        pushed = not any(n in some for some in (_DROPPED, _PARTED, _FORGOTTEN))
        assert venue.trade(_NAME, price=price, size=size, at_ns=at_ns, pushed=pushed) == n
        trades.append(Tick(_SYMBOL, n, price, size, at_ns, seq=n))
    return trades


def touched(timeframe: str, start_ns: int, gaps: Sequence[tuple[int, int]]) -> bool:
    end_ns = start_ns + Timeframe(timeframe).ns
    return any(start_ns <= to_ns and from_ns < end_ns for from_ns, to_ns in gaps)


def story(client: Subscriber) -> list[Any]:
    """Trades and gaps in the order of their coming."""
    return [
        (message["state"], message["first"]) if message["T"] == "gap" else message["i"]
        for message in client.messages
        if message["T"] in ("t", "gap")
    ]


async def test_bars_are_exact_after_the_fill_and_marked_where_trades_are_lost(
    tmp_path: Path, eventually: Eventually
) -> None:
    start_ns = (wall_ns() - 30 * MINUTE_NS) // _QUARTER_NS * _QUARTER_NS
    async with fake_venue("coinbase") as venue, fake_history(venue) as rest:
        rest.forgotten = {(_NAME, n) for n in _GONE}
        spec = f"coinbase:{_NAME}?url={venue.url}&rest_url={rest.url}&silence=5"
        flags = ("--feed", spec, "--gap-settle-ms", "50", "--max-future-ms", "600000")
        async with dev(*flags, data_dir=tmp_path) as running:
            address = await running.address()
            await eventually(lambda: venue.subscribed)
            async with (
                subscribed(
                    address, trades=[_SYMBOL], bars=[_SYMBOL], updatedBars=[_SYMBOL]
                ) as client,
                subscribed(address, encoding="msgpack", trades=[_SYMBOL]) as other,
            ):
                trades = play(venue, start_ns)
                had = [trade for trade in trades if trade.trade_id not in _GONE]
                await eventually(lambda: len(client.of("t")) == len(had), timeout_s=30)
                right = {
                    key: bar for key, bar in right_bars(had).items()
                    if key[2] + Timeframe(key[1]).ns < trades[-1].event_ns
                }  # fmt: skip
                lost = [
                    (trades[first - 2].event_ns, trades[last].event_ns)
                    for first, last in ((_LOST_OF_IT, _LOST_OF_IT), (_FORGOTTEN[0], _FORGOTTEN[-1]))
                ]

                async def settled() -> bool:
                    found = await history(address, [_SYMBOL])
                    assert {key: facts(bar) for key, bar in found.items()} == right
                    for (_, timeframe, at_ns), bar in found.items():
                        assert bar.get("gap", False) == touched(timeframe, at_ns, lost), bar
                    return True

                await eventually(settled, timeout_s=30)
                for each in (client, other):
                    await eventually(lambda each=each: len(each.of("gap")) == 8)
            assert await running.stop() == 0, running.output()

        assert any(bar.get("gap") for bar in (*client.of("b"), *client.of("u")))
        assert sorted(client.ids()[_SYMBOL]) == [trade.trade_id for trade in had]
        told = story(client)
        assert story(other) == told
        for n, state in ((_DROPPED[0], "filled"), (_FORGOTTEN[0], "lost")):
            assert told.index(("open", n)) < told.index((state, n))
        parted = [part for part in told if isinstance(part, tuple) and part[1] in _PARTED]
        assert parted == [
            ("open", _PARTED[0]), ("filled", _PARTED[0]), ("lost", _LOST_OF_IT),
            ("filled", _LOST_OF_IT + 1),
        ]  # fmt: skip
        filled, opened = told.index(("filled", _DROPPED[0])), told.index(("open", _DROPPED[0]))
        assert {told.index(n) for n in _DROPPED} <= set(range(opened + 1, filled))
