"""No data message is larger than `max_message_bytes`, and nothing gets lost where one is cut."""

import struct
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from gateway.channels import CHANNELS, Codec, Mode
from gateway.frames import Fragment, frame_batch
from gateway.hub import Hub
from gateway.market import MarketState
from gateway.messages import Options
from gateway.routes import Group, Send, Style
from tests.unit.gateway.listeners import block_of

MIN_BYTES = 1_024  # the smallest max_message_bytes that the settings accept
LONGEST = "V" * 16 + ":" + "T" * 40  # the longest name of a symbol, hence the longest spelling
NAMES = (LONGEST, "V" * 16 + ":" + "U" * 40, "A:B", "A:C-D", *(f"N:{n}" for n in range(20)))
NUMBERS = (1.0, 71_856.14, 0.1 + 0.2, -sys.float_info.max, 2.2250738585072014e-308)
IDENTS = (1, 2**63 - 1, -(2**63))
TIMES_NS = (1_700_000_000_000_000_000, 1_700_000_000_123_456_789)

bounds = st.sampled_from([MIN_BYTES, MIN_BYTES + 1, 1_500, 4_096]) | st.integers(MIN_BYTES, 20_000)
codecs = st.sampled_from(list(Codec))
numbers = st.sampled_from(NUMBERS)


def messages_in(framed: bytes) -> Iterator[bytes]:
    """The payloads of whole frames."""
    while framed:
        size, at = framed[1], 2
        if size == 126:
            (size,), at = struct.unpack(">H", framed[2:4]), 4
        elif size == 127:
            (size,), at = struct.unpack(">Q", framed[2:10]), 10
        assert len(framed) >= at + size
        yield framed[at : at + size]
        framed = framed[at + size :]


def decoded(payload: bytes, codec: Codec) -> list[dict[str, Any]]:
    found = (msgspec.json if codec.is_text else msgspec.msgpack).decode(payload)
    assert isinstance(found, list)
    assert found
    return found


class Reader:
    """Takes batches apart, and holds each message to the bound."""

    def __init__(self, style: Style, bound: int) -> None:
        self.style, self.bound = style, bound
        self.group: Group | None = None
        self.items: list[dict[str, Any]] = []

    def deliver(self, framed: bytes) -> None:
        for payload in messages_in(framed):
            assert len(payload) <= self.bound
            self.items += decoded(payload, self.style.codec)

    def send(self, framed: bytes) -> int:
        self.deliver(framed)
        return len(framed)

    def write(self, piece: bytes) -> None:
        raise AssertionError("send() has taken all")

    def stuck(self, piece: bytes, error: OSError) -> None:
        raise AssertionError("send() has raised nothing")

    def offer(self, send: Send) -> None:
        self.deliver(send.framed())


@given(
    sizes=st.lists(
        st.lists(st.sampled_from([1, 2, 50, 250, 254, 255, 256, 260, 500, 1_000]), max_size=30),
        min_size=1,
        max_size=12,
    ),
    bound=bounds,
    codec=codecs,
)
def test_a_batch_is_cut_into_messages_within_the_bound(
    sizes: list[list[int]], bound: int, codec: Codec
) -> None:
    encode = msgspec.json.encode if codec.is_text else msgspec.msgpack.encode
    fragments = [[encode("x" * size) for size in part] for part in sizes if part]
    if not fragments:
        return

    framed = frame_batch([Fragment.of(part, codec) for part in fragments], codec, bound)

    payloads = list(messages_in(framed))
    assert max(map(len, payloads)) <= bound
    decode = msgspec.json.decode if codec.is_text else msgspec.msgpack.decode
    found = [len(text) for payload in payloads for text in decode(payload)]
    assert found == [size for part in sizes for size in part]


class Exchange:
    """Publishes to a hub, and counts what it has published under which name."""

    def __init__(self, bound: int, cursor: str) -> None:
        self.market = MarketState()
        self.hub = Hub(
            market=self.market,
            interval_ms=100,
            max_message_bytes=bound,
            max_symbols=100,
            cursor=lambda: cursor,
        )
        self.market.declare({name.partition(":")[0]: True for name in NAMES})
        self.hub.carry(self.market.add_symbols(Symbol(name) for name in NAMES))
        self.published: Counter[tuple[str, str]] = Counter()

    def trade(self, names: list[str], number: float, ident: int, time_ns: int) -> None:
        ticks = [Tick(Symbol(n), ident, number, number, time_ns, Side.BUY) for n in names]
        self.hub.publish_ticks(block_of(ticks))
        self.published.update(("t", name) for name in names)
        for tick in ticks:
            self.market.apply_trade(tick)

    def bar(self, names: list[str], number: float, ident: int, time_ns: int) -> None:
        rev = ident if ident > 0 else 0
        self._publish_bars(names, number, time_ns, trades=abs(ident), rev=rev)
        self.published.update(("u" if rev else "b", name) for name in names)

    def running(self, names: list[str], number: float, ident: int, time_ns: int) -> None:
        self._publish_bars(names, number, time_ns, trades=abs(ident), final=False)

    def _publish_bars(
        self, names: list[str], number: float, time_ns: int, **fields: int | bool
    ) -> None:
        start_ns = Timeframe.MIN_15.floor_ns(time_ns)
        prices = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), number)
        for name in names:
            values: dict[str, Any] = {"start_ns": start_ns, "gap": True, **prices, **fields}
            bar = Bar(Symbol(name), Timeframe.MIN_15, **values)
            self.market.apply_bar(bar)
            self.hub.publish_bar(bar)


steps = st.tuples(
    st.sampled_from(["trade", "bar", "running"]),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=40),
    numbers,
    st.sampled_from(IDENTS),
    st.sampled_from(TIMES_NS),
)


@settings(max_examples=150)
@given(
    script=st.lists(st.lists(steps, max_size=6), min_size=1, max_size=3),
    bound=bounds,
    codec=codecs,
    named=st.booleans(),
    mode=st.sampled_from(list(Mode)),
    cursor=st.sampled_from([None, "c" * 150, "c" * 900]),
)
def test_through_the_hub(
    script: list[list[tuple[str, list[str], float, int, int]]],
    bound: int,
    codec: Codec,
    named: bool,
    mode: Mode,
    cursor: str | None,
) -> None:
    exchange = Exchange(bound, cursor or "")
    reader = Reader(exchange.hub.style(codec), bound)
    spellings = NAMES if named else ("*",)
    names = [(channel, name) for channel in CHANNELS for name in spellings]
    options = Options(mode=mode, cursor=cursor is not None)
    exchange.hub.subscribe(reader, names, 0, options)

    for number, window in enumerate(script):
        for kind, *rest in window:
            getattr(exchange, kind)(*rest)
        for send in exchange.hub.flush((number + 1) * 100_000_000):
            send.write(send.clients)

    published = exchange.published
    resolve = exchange.market.resolve
    seen = Counter((item["T"], resolve(item["S"])) for item in reader.items if item["T"] in "tbu")
    if mode is Mode.ALL:
        assert seen == published
    else:
        assert set(seen) == set(published)
    reader.items.clear()
    for send in exchange.hub.snapshot(reader, names):
        send.write(send.clients)
    trades = [resolve(item["S"]) for item in reader.items if item["T"] == "t"]
    assert sorted(map(str, trades)) == sorted(name for kind, name in published if kind == "t")


@pytest.mark.parametrize(("codec", "longest"), [(Codec.JSON, 351), (Codec.MSGPACK, 180)])
def test_the_longest_item_is_far_below_the_smallest_bound(codec: Codec, longest: int) -> None:
    exchange = Exchange(MIN_BYTES, "")
    reader = Reader(exchange.hub.style(codec), MIN_BYTES)
    exchange.hub.subscribe(reader, [(channel, LONGEST) for channel in CHANNELS], 0)
    sizes = [0]

    for kind in (exchange.trade, exchange.bar, exchange.running):
        for ident in IDENTS:
            kind([LONGEST], -2.2250738585072014e-308, ident, TIMES_NS[1])
            framed = b"".join(send.framed() for send in exchange.hub.flush(0))
            sizes += map(len, messages_in(framed))

    assert max(sizes) == longest
