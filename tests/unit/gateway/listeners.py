"""A client of the hub that keeps what it is sent; a hub, and a market to publish from."""

from collections.abc import Sequence
from typing import Any

import msgspec

from core.market.bar import Bar
from core.market.block import Block, BlockMeta, decode_block, encode_block
from core.market.notice import Cancel
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from gateway.burst import Crowds
from gateway.channels import Channel, Codec
from gateway.hub import Hub
from gateway.market import MarketState
from gateway.messages import DEFAULTS, Options
from gateway.routes import Batches, Group, Send, Style
from gateway.wire import NOT_DIRECT

MS_NS = 1_000_000
INTERVAL_MS = 100
START_NS = 1_700_000_000_000_000_000


def block_of(ticks: Sequence[Tick]) -> Block:
    """A block as a reader decodes it."""
    meta = BlockMeta(number=1, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
    return decode_block(encode_block(meta, ticks))


class Listener:
    """Decodes batches, of messages below 64 KiB; each message counts as one."""

    def __init__(self, codec: Codec = Codec.JSON) -> None:
        self.style = Style(codec, INTERVAL_MS)
        self.group: Group | None = None
        self.descriptor = NOT_DIRECT
        self.batches: list[list[dict[str, Any]]] = []

    @property
    def count(self) -> int:
        """Messages that came."""
        return len(self.messages)

    def send(self, framed: bytes) -> int:
        self.deliver(framed)
        return len(framed)

    def deliver(self, framed: bytes) -> None:
        at = 0
        while at < len(framed):
            size, head = framed[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(framed[at + 2 : at + 4], "big"), 4
            payload = framed[at + head : at + head + size]
            decoder = msgspec.json if self.style.codec.is_text else msgspec.msgpack
            self.batches.append(decoder.decode(payload))
            at += head + size

    def write(self, piece: bytes) -> None:
        raise AssertionError("send() has taken all")

    def stuck(self, piece: bytes, error: OSError) -> None:
        raise AssertionError("send() has raised nothing")

    def offer(self, send: Send) -> None:
        self.send(send.framed())

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All that came, in order."""
        return [message for batch in self.batches for message in batch]

    @property
    def ids(self) -> list[int]:
        return [message["i"] for message in self.messages]

    @property
    def seen(self) -> list[tuple[str, Any]]:
        """Spelling, and id of a trade or open of a bar."""
        return [(m["S"], m.get("i", m.get("o"))) for m in self.messages if m["T"] != "cursor"]


class Desk:
    """A hub with its market; the time stands still unless told."""

    def __init__(self, *symbols: str, max_symbols: int = 10, crowds: Crowds | None = None) -> None:
        self.market = MarketState()
        self.hub = Hub(
            market=self.market,
            interval_ms=INTERVAL_MS,
            max_message_bytes=60_000,
            max_symbols=max_symbols,
            cursor=lambda: str(self.next_id),
            crowds=crowds or Crowds(),
        )
        self.now_ns = 1_000 * MS_NS
        self.next_id = 0
        self.carry(*symbols)

    def carry(self, *symbols: str) -> None:
        self.hub.carry(self.market.add_symbols(Symbol(symbol) for symbol in symbols))

    def trade(self, *symbols: str) -> None:
        ticks = []
        for symbol in symbols:
            self.next_id += 1
            ticks.append(Tick(Symbol(symbol), self.next_id, 1.0, 1.0, START_NS, Side.BUY))
        self.hub.publish_ticks(block_of(ticks))

    def cancel(self, symbol: str) -> int:
        """Publish a cancel, of a trade whose id goes on from that of the last trade."""
        self.next_id += 1
        notice = Cancel(Symbol(symbol), START_NS, self.next_id, 1.0, 1.0)
        self.hub.publish_notices([notice])
        return self.next_id

    def bar(self, symbol: str, open_: float, *, final: bool = False) -> None:
        values = (open_, open_, open_, open_, 1.0, 1, 1.0)
        bar = Bar(Symbol(symbol), Timeframe.MIN_1, START_NS, *values, final=final)
        self.market.apply_bar(bar)
        self.hub.publish_bar(bar)

    def subscribe(
        self,
        client: Listener,
        *names: str,
        channel: Channel = Channel.TRADES,
        options: Options = DEFAULTS,
    ) -> None:
        wanted = [(channel, name) for name in names]
        self.send(self.hub.subscribe(client, wanted, self.now_ns, options))

    def unsubscribe(self, client: Listener, *names: str) -> None:
        wanted = [(Channel.TRADES, name) for name in names]
        self.send(self.hub.unsubscribe(client, wanted, self.now_ns))

    def lead(self) -> None:
        self.send(self.hub.step(self.now_ns))

    def flush(self, *, after_ms: int = 0) -> None:
        self.now_ns += after_ms * MS_NS
        self.send(self.hub.flush(self.now_ns))

    def send(self, sends: Sequence[Batches]) -> None:
        for send in sends:
            while not send.done:
                send.serve(1)
