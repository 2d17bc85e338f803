"""The messages of a channel and symbol in the running window, and their parts of batches. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from core.market.bar import Bar
from core.market.notice import Notice
from core.market.symbol import Symbol
from gateway import encode
from gateway.channels import CONFLATED, TYPES, Channel, Codec, Mode
from gateway.frames import SEPARATORS, Fragment
from gateway.notices import NoticeRun, notice_item
from gateway.runs import Run

if TYPE_CHECKING:
    from gateway.routes import Variant

NO_SLOT: Final = -1


class Topic(ABC):
    """What comes on one channel for one symbol. ``count`` messages are in the running window."""

    __slots__ = ("channel", "count", "slot", "symbol", "variants")

    def __init__(self, channel: Channel, symbol: Symbol) -> None:
        self.channel, self.symbol = channel, symbol
        self.variants: dict[Variant, None] = {}
        self.count = 0
        self.slot = NO_SLOT  # its place among the lane's topics with ticks in this window

    @property
    def is_dirty(self) -> bool:
        """Has it messages in this window, those included that are not sorted yet?"""
        return self.count > 0 or self.slot != NO_SLOT

    def part(self, spelling: str, codec: Codec, start: int, mode: Mode) -> Fragment | None:
        """The messages from *start* on, as *mode* wants them; None without any.

        *start* is 0, or what ``count`` was at some moment of this window.
        """
        if start >= self.count:
            return None
        if mode is Mode.LATEST or self.channel in CONFLATED:
            return self.newest(spelling, codec, start)
        return self.fragment(spelling, codec, start)

    def whole(self, spelling: str, codec: Codec) -> Fragment:
        """What mode ``all`` gets of the whole window; there must be a message."""
        if self.channel in CONFLATED:
            return self.newest(spelling, codec, 0)
        return self.fragment(spelling, codec, 0)

    @abstractmethod
    def fragment(self, spelling: str, codec: Codec, start: int) -> Fragment:
        """All messages from *start* on; there must be some."""

    @abstractmethod
    def newest(self, spelling: str, codec: Codec, start: int) -> Fragment:
        """The newest message only, of those from *start* on; there must be one."""

    @abstractmethod
    def prepare(self, spelling: str, codec: Codec) -> None:
        """Encode ahead what has come so far."""

    @abstractmethod
    def clear(self) -> None:
        """Begin a new window; fragments of the old one stay whole."""


class TradeTopic(Topic):
    """Ticks and notices, in runs; each run is encoded once per spelling and codec."""

    __slots__ = ("_bodies", "_runs")

    def __init__(self, channel: Channel, symbol: Symbol) -> None:
        super().__init__(channel, symbol)
        self._runs: list[tuple[int, Run | NoticeRun]] = []  # with the number that each begins at
        self._bodies: dict[tuple[str, Codec], list[bytes]] = {}

    def add(self, run: Run | NoticeRun) -> None:
        """More ticks, or what is said about them."""
        self._runs.append((self.count, run))
        self.count += len(run)

    def fragment(self, spelling: str, codec: Codec, start: int) -> Fragment:
        bodies, runs = self._encoded(spelling, codec), self._runs
        if start:
            first = next(index for index, (begin, _) in enumerate(runs) if begin == start)
            bodies, runs = bodies[first:], runs[first:]
        else:
            runs = runs[:]

        def items() -> list[bytes]:
            return [item for _, run in runs for item in run.items(spelling, codec)]

        body = bodies[0] if len(bodies) == 1 else SEPARATORS[codec].join(bodies)
        key = (self.channel, spelling)
        return Fragment(body, self.count - start, codec, items=items, key=key)

    def newest(self, spelling: str, codec: Codec, start: int) -> Fragment:
        return message_fragment(self.channel, self._newest(start), spelling, codec)

    def prepare(self, spelling: str, codec: Codec) -> None:
        self._encoded(spelling, codec)

    def clear(self) -> None:
        self._runs, self._bodies, self.count = [], {}, 0

    def _newest(self, start: int) -> list[Any]:
        """The newest tick, if there is one, in its place among the notices."""
        found: list[Any] = []
        for begin, run in reversed(self._runs):
            if begin < start:
                break
            if isinstance(run, NoticeRun):
                found = [*run.notices, *found]
            elif not any(isinstance(message, tuple) for message in found):
                found = [run.rows()[-1], *found]
        return found

    def _encoded(self, spelling: str, codec: Codec) -> list[bytes]:
        """The body of each run."""
        bodies = self._bodies.get((spelling, codec))
        if bodies is None:
            bodies = self._bodies[spelling, codec] = []
        if len(bodies) < len(self._runs):
            bodies += [run.body(spelling, codec) for _, run in self._runs[len(bodies) :]]
        return bodies


class BarTopic(Topic):
    """Bars: closed ones, revised ones or running ones, by the channel."""

    __slots__ = ("_bars",)

    def __init__(self, channel: Channel, symbol: Symbol) -> None:
        super().__init__(channel, symbol)
        self._bars: list[Bar] = []

    def add(self, bar: Bar) -> None:
        """One more bar."""
        self._bars.append(bar)
        self.count += 1

    def fragment(self, spelling: str, codec: Codec, start: int) -> Fragment:
        return message_fragment(self.channel, self._bars[start:], spelling, codec)

    def newest(self, spelling: str, codec: Codec, start: int) -> Fragment:
        return self.fragment(spelling, codec, self.count - 1)

    def prepare(self, spelling: str, codec: Codec) -> None:
        """Bars are few, and of running ones only the newest is sent."""

    def clear(self) -> None:
        self._bars, self.count = [], 0


def new_topic(channel: Channel, symbol: Symbol) -> Topic:
    """A topic of the kind that *channel* carries."""
    kind = TradeTopic if channel is Channel.TRADES else BarTopic
    return kind(channel, symbol)


def message_fragment(
    channel: Channel, messages: Sequence[Any], spelling: str, codec: Codec
) -> Fragment:
    """Rows of ticks, or bars, of one symbol, encoded."""
    body = encoded(channel, messages, spelling, codec)
    return body_fragment(channel, messages, body, spelling, codec)


def body_fragment(
    channel: Channel, messages: Sequence[Any], body: bytes, spelling: str, codec: Codec
) -> Fragment:
    """The same, where the *body* of the messages is there already."""

    def items() -> list[bytes]:
        return [encoded(channel, (message,), spelling, codec) for message in messages]

    adds = all(isinstance(message, Notice) for message in messages)
    return Fragment(body, len(messages), codec, items=items, key=(channel, spelling), adds=adds)


def encoded(channel: Channel, messages: Sequence[Any], spelling: str, codec: Codec) -> bytes:
    """Rows of ticks and notices, or bars, of one symbol as the inside of an array."""
    if channel is Channel.TRADES:
        return _trades(messages, spelling, codec)
    return encode.bars(messages, TYPES[channel], spelling, codec)


def _trades(messages: Sequence[Any], spelling: str, codec: Codec) -> bytes:
    """Rows are encoded together as far as no notice stands between."""
    bodies: list[bytes] = []
    for is_row, some in groupby(messages, lambda message: isinstance(message, tuple)):
        if is_row:
            bodies.append(encode.trades(some, spelling, codec))
        else:
            bodies += [notice_item(notice, spelling, codec) for notice in some]
    return SEPARATORS[codec].join(bodies)
